import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Bytes, ascii } from "../../bytes/bytes.ts";
import { isQuorateError } from "../../errors.ts";
import { MEMBER, MEMBER_LIST_RESPONSE } from "./cluster-messages.ts";
import { protobufSize } from "./message-size.ts";
import { MESSAGE_NESTING_MAX, type MessageTable } from "./message-table.ts";
import * as m from "./messages.ts";
import { delimitedField, protobufDecoder, protobufEncoder } from "./protobuf-codec.ts";
import { arbitraryMessage } from "../../../test/helpers/arbitrary-message.ts";

const bytesOf = (hex: string): Bytes => Buffer.from(hex.replaceAll(" ", ""), "hex").toString("latin1") as Bytes;
const hexOf = (bytes: Bytes): string => Buffer.from(bytes, "latin1").toString("hex");

const decodePut = protobufDecoder(m.PUT_REQUEST);
const decodeWatch = protobufDecoder(m.WATCH_CREATE_REQUEST);
const decodeCompare = protobufDecoder(m.COMPARE);

function fault(decode: () => unknown): string {
  try {
    decode();
  } catch (error) {
    if (isQuorateError(error) && error.reason === "badProtobuf") return error.message.replace("grpc: error unmarshalling request: ", "");
    throw error;
  }
  return "none";
}

describe("decoding", () => {
  it("reads every kind of field", () => {
    const put = decodePut(bytesOf("0a 01 61 12 02 ff00 18 ffffffffffffffffff01 20 01"));
    expect(put).toEqual({ key: "a", value: "\xff\0", lease: "-1", prevKv: true, ignoreValue: false, ignoreLease: false });
  });

  it("reads numbers up to 64 bits, ids exactly and others as the nearest double", () => {
    const range = protobufDecoder(m.RANGE_REQUEST);
    expect(range(bytesOf("20 ffffffffffffffff7f")).revision).toBe(2 ** 63);
    expect(range(bytesOf("20 ffffffffffffff0f")).revision).toBe(Number.MAX_SAFE_INTEGER);
    expect(range(bytesOf("20 80808080808080808001")).revision).toBe(-(2 ** 63));
    expect(protobufDecoder(MEMBER)(bytesOf("08 ffffffffffffffffff01")).id).toBe("18446744073709551615");
    expect(decodePut(bytesOf("18 80808080808080808001")).lease).toBe("-9223372036854775808");
  });

  it("reads lists of numbers packed and not", () => {
    expect(decodeWatch(bytesOf("2a 02 00 01 28 00")).filters).toEqual([0, 1, 0]);
  });

  it("skips what it does not know, of every wire type", () => {
    expect(decodePut(bytesOf("f806 8001 f906 0102030405060708 fa06 02 6161 fd06 01020304 0a 01 62")).key).toBe("b");
    expect(decodePut(bytesOf("fb06 0801 fb06 1201ff fc06 fc06 0a 01 62")).key).toBe("b");
    expect(decodePut(bytesOf("fb06".repeat(50_000) + "fc06".repeat(50_000) + "0a0162")).key).toBe("b");
  });

  it("takes the last of several values, and merges messages", () => {
    expect(decodePut(bytesOf("0a 01 61 0a 01 62")).key).toBe("b");
    const header = protobufDecoder(m.PUT_RESPONSE)(bytesOf("0a 02 08 05 0a 02 18 07")).header;
    expect(header).toEqual({ clusterId: "5", memberId: "0", revision: 7, raftTerm: 0 });
  });

  it("keeps one member of a group: the last, zero or not", () => {
    const compare = decodeCompare(bytesOf("1a 01 61 28 03 20 00"));
    expect(compare).toMatchObject({ createRevision: null, modRevision: null, version: 0 });
  });

  it.each([
    ["0a", "unexpected EOF"],
    ["0a 05 61", "unexpected EOF"],
    ["0a ffffffff0f 61", "unexpected EOF"],
    ["20 80", "unexpected EOF"],
    ["20 ffffffffffffffffffff01", "proto: integer overflow"],
    ["08 01", "proto: wrong wireType = 0 for field key"],
    ["22 01 61", "proto: wrong wireType = 2 for field prev_kv"],
    ["00 01", "proto: illegal tag 0"],
    ["fc06", "proto: illegal wireType 4"],
    ["fb06 08", "unexpected EOF"],
    ["fb06 0801", "unexpected EOF"],
    ["fb06 0e fc06", "proto: illegal wireType 6"],
    ["f906 01", "unexpected EOF"],
  ])("refuses %s: %s", (hex, message) => {
    expect(fault(() => decodePut(bytesOf(hex)))).toBe(message);
  });

  it("refuses what is nested too deep, and takes what is not", () => {
    const nested = (depth: number): Bytes => {
      let body = ascii("");
      for (let level = 1; level < depth; level += 2) body = delimitedField(2, delimitedField(4, body));
      return body;
    };
    const decode = protobufDecoder(m.TXN_REQUEST);
    expect(fault(() => decode(nested(MESSAGE_NESTING_MAX - 1)))).toBe("none");
    expect(fault(() => decode(nested(50_000)))).toContain("nested deeper");
  });

  it("never fails in another way, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (data) => {
        const body = Buffer.from(data).toString("latin1") as Bytes;
        for (const table of [m.TXN_REQUEST, m.WATCH_REQUEST, m.RANGE_RESPONSE, MEMBER_LIST_RESPONSE]) {
          fault(() => protobufDecoder(table as MessageTable<unknown>)(body));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("encoding", () => {
  it("writes fields by number, leaves out defaults, and writes what is set in a group even if it is zero", () => {
    expect(hexOf(protobufEncoder(m.PUT_REQUEST)({ ...m.PUT_REQUEST.defaults, key: ascii("a"), lease: "-1" }))).toBe(
      "0a016118ffffffffffffffffff01",
    );
    expect(hexOf(protobufEncoder(m.COMPARE)({ ...m.COMPARE.defaults, version: 0 }))).toBe("2000");
    expect(hexOf(protobufEncoder(m.PUT_RESPONSE)({ header: null, prevKv: null }))).toBe("");
    expect(hexOf(protobufEncoder(m.PUT_RESPONSE)({ header: m.RESPONSE_HEADER.defaults, prevKv: null }))).toBe("0a00");
  });

  it.each([m.TXN_REQUEST, m.TXN_RESPONSE, m.WATCH_REQUEST, m.WATCH_RESPONSE, m.RANGE_REQUEST, MEMBER_LIST_RESPONSE])(
    "is undone by decoding, and has the size that limits are about: $name",
    (table) => {
      const erased = table as MessageTable<unknown>;
      const encode = protobufEncoder(erased);
      const decode = protobufDecoder(erased);
      fc.assert(
        fc.property(arbitraryMessage(erased), (message) => {
          const bytes = encode(message);
          expect(decode(bytes)).toEqual(message);
          expect(protobufSize(erased, message)).toBe(bytes.length);
        }),
        { numRuns: 300 },
      );
    },
  );
});
