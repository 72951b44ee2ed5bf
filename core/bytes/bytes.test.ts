import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc32 as zlibCrc32 } from "node:zlib";
import { type Bytes, ZERO, bytesFrom, fromUint8Array, prefixEnd, successor, toUint8Array } from "./bytes.ts";
import { crc32 } from "./crc32.ts";
import { decode } from "@msgpack/msgpack";
import { MsgpackReader, MsgpackWriter } from "./msgpack.ts";

const raw = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 400, max: 127 }));

test("bytes and arrays turn into each other without loss", () => {
  fc.assert(
    fc.property(raw, (data) => {
      expect(toUint8Array(fromUint8Array(data))).toEqual(data);
    }),
  );
  const long = Uint8Array.from({ length: 20_000 }, (_, at) => at % 256);
  expect(toUint8Array(fromUint8Array(long))).toEqual(long);
  expect(bytesFrom(long, 100, 103)).toBe("def");
});

test("successor() and prefixEnd() bound what they say", () => {
  expect(successor("a" as Bytes)).toBe("a\0");
  expect(prefixEnd("ab" as Bytes)).toBe("ac");
  expect(prefixEnd("a\xff" as Bytes)).toBe("b");
  expect(prefixEnd("\xff\xff" as Bytes)).toBe(ZERO);
  expect(prefixEnd("" as Bytes)).toBe(ZERO);
});

test("crc32() is zlib's, in one piece or several", () => {
  expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (data, cut) => {
      expect(crc32(data)).toBe(zlibCrc32(data));
      expect(crc32(data.subarray(cut), crc32(data.subarray(0, cut)))).toBe(zlibCrc32(data));
    }),
  );
});

describe("MessagePack", () => {
  test("numbers are written in the shortest form and read back", () => {
    const forms: [number, string][] = [
      [0, "00"],
      [127, "7f"],
      [128, "cc80"],
      [255, "ccff"],
      [256, "cd0100"],
      [65535, "cdffff"],
      [65536, "ce00010000"],
      [2 ** 32 - 1, "ceffffffff"],
      [2 ** 32, "cf0000000100000000"],
      [Number.MAX_SAFE_INTEGER, "cf001fffffffffffff"],
      [-1, "ff"],
      [-32, "e0"],
      [-33, "d3ffffffffffffffdf"],
      [Number.MIN_SAFE_INTEGER, "d3ffe0000000000001"],
      [0.5, "cb3fe0000000000000"],
    ];
    for (const [value, hex] of forms) {
      const writer = new MsgpackWriter(1);
      writer.number(value);
      expect(Buffer.from(writer.finish()).toString("hex")).toBe(hex);
      expect(new MsgpackReader(Buffer.from(hex, "hex")).number()).toBe(value);
    }
  });

  test("what is written is read by a library too", () => {
    const all = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code)) as Bytes;
    const writer = new MsgpackWriter(8);
    writer.array(5);
    writer.nil();
    writer.boolean(true);
    writer.number(-70_000);
    writer.number(0.25);
    writer.bytes(all);
    const [nothing, yes, whole, part, bytes] = decode(writer.finish()) as [null, boolean, number, number, Uint8Array];
    expect([nothing, yes, whole, part]).toEqual([null, true, -70_000, 0.25]);
    expect(Buffer.from(bytes).toString("latin1")).toBe(all);
  });

  test("byte strings of every length class, all 256 values, round-trip", () => {
    const all = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code));
    for (const text of ["", "a", all.slice(1), all, all.repeat(300)] as Bytes[]) {
      const writer = new MsgpackWriter(0);
      writer.bytes(text);
      const reader = new MsgpackReader(writer.finish());
      expect([reader.bytes(), reader.atEnd]).toEqual([text, true]);
    }
  });

  test("what is cut short or something else is refused, never read as something", () => {
    const writer = new MsgpackWriter(16);
    writer.array(2);
    writer.bytes("abcdefgh" as Bytes);
    writer.number(70_000);
    const data = writer.finish();
    for (let length = 0; length < data.length; length++) {
      const reader = new MsgpackReader(data.subarray(0, length));
      expect(() => [reader.array(), reader.bytes(), reader.number()]).toThrow(/malformed data/);
    }
    expect(() => new MsgpackReader(data).bytes()).toThrow("0x92 at byte 0 where a byte string was expected");
    expect(() => new MsgpackReader(data).number()).toThrow("where a number was expected");
    expect(() => new MsgpackReader(Uint8Array.of(0xcf, 255, 255, 255, 255, 255, 255, 255, 255)).number()).toThrow("beyond 2^53");
  });
});
