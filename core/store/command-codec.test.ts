import fc from "fast-check";
import { expect, test } from "vitest";
import { anyCommand } from "../../test/helpers/any-command.ts";
import type { Bytes } from "../bytes/bytes.ts";
import { isQuorateError } from "../errors.ts";
import type { Command } from "./command.ts";
import { decodeCommand, encodeCommand } from "./command-codec.ts";

const b = (text: string) => text as Bytes;
const hex = (data: Uint8Array) => Buffer.from(data).toString("hex");

test("every command reads back as it was written", () => {
  fc.assert(
    fc.property(anyCommand, (command) => {
      expect(decodeCommand(encodeCommand(command))).toEqual(command);
    }),
    { numRuns: 2000 },
  );
});

test("a put keeps all 256 byte values", () => {
  const bytes = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join("") as Bytes;
  const put = {
    kind: "put",
    key: bytes,
    value: bytes,
    lease: "0",
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
    time: 1,
  } as const;
  expect(decodeCommand(encodeCommand(put))).toEqual(put);
});

test("the worked example of docs/formats/command.md", () => {
  const put = {
    kind: "put",
    key: "foo" as Bytes,
    value: "bar" as Bytes,
    lease: "0",
    prevKv: true,
    ignoreValue: false,
    ignoreLease: false,
  } as const;
  expect(hex(encodeCommand({ ...put, time: 1_700_000_000_000 }))).toBe("019600cf0000018bcfe56800c403666f6fc403626172c001");
});

test("forms that came later, and with them the first one, stay as they are", () => {
  const forms: [string, Command][] = [
    ["0193040105", { kind: "compact", revision: 5, time: 1 }],
    ["02950401c4026331cd012c05", { kind: "compact", revision: 5, time: 1, session: { client: "c1", sequence: 300 } }],
    ["03970401c000c403616e6e0705", { kind: "compact", revision: 5, time: 1, auth: { user: "ann", revision: 7 } }],
    [
      "049b0001c000c000c40161c40131c000c40474782f70",
      {
        kind: "put",
        key: b("a"),
        value: b("1"),
        lease: "0",
        prevKv: false,
        ignoreValue: false,
        ignoreLease: false,
        contentType: b("tx/p"),
        time: 1,
      },
    ],
    ["01930a0109", { kind: "hashMark", term: 9, time: 1 }],
    ["01950b0108ceffffffff09", { kind: "hashVerify", index: 8, hash: 0xffffffff, term: 9, time: 1 }],
  ];
  for (const [text, command] of forms) {
    expect(hex(encodeCommand(command))).toBe(text);
    expect(decodeCommand(Buffer.from(text, "hex"))).toEqual(command);
  }
});

test("a version, kind or operation of a newer release is named", () => {
  const reasonOf = (text: string) => {
    try {
      decodeCommand(Buffer.from(text, "hex"));
    } catch (error) {
      if (isQuorateError(error)) return `${error.reason}: ${error.message}`;
      throw error;
    }
    return "none";
  };
  expect(reasonOf("05")).toBe("unknownCommand: command version 5: written by a newer release");
  expect(reasonOf("01922800")).toBe("unknownCommand: command kind 40: written by a newer release");
  expect(reasonOf("0195030090919109")).toBe("unknownCommand: operation 9: written by a newer release");
  expect(reasonOf("")).toBe("malformed: malformed data: it ends at byte 0");
});

test("damage is refused with a named error, whatever it is", () => {
  fc.assert(
    fc.property(anyCommand, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean(), (command, place, flip, cut) => {
      const data = encodeCommand(command).slice();
      const at = place % data.length;
      data[at]! ^= flip;
      try {
        decodeCommand(cut ? data.subarray(0, at) : data);
      } catch (error) {
        expect(isQuorateError(error) && ["malformed", "unknownCommand"].includes(error.reason)).toBe(true);
      }
    }),
    { numRuns: 1000 },
  );
});
