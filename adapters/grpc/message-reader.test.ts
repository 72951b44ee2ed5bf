import { describe, expect, test } from "vitest";
import { HeldBytes, MessageReader } from "./message-reader.ts";

const MESSAGE = Buffer.from("00000000056162636465", "hex");
const BYTES_MAX = 100;

const readerOf = (held: HeldBytes): MessageReader => new MessageReader(BYTES_MAX, "", held);

describe("what is held of messages that are not whole", () => {
  test("counts until they are, or are forgotten", () => {
    const held = new HeldBytes(6);
    const reader = readerOf(held);
    for (let at = 0; at < 3; at++) {
      expect(reader.read(MESSAGE.subarray(0, 4))).toEqual([]);
      expect(held.add(3)).toBe(false);
      expect(reader.read(MESSAGE.subarray(4, 6))).toEqual([]);
      expect(held.add(1)).toBe(false);
      reader.release();
    }
    expect(held.add(6)).toBe(true);
  });

  test("is nothing when messages come whole", () => {
    const reader = readerOf(new HeldBytes(0));
    expect(reader.read(Buffer.concat([MESSAGE, MESSAGE]))).toEqual(["abcde", "abcde"]);
  });

  test("has a limit for several readers, and one for all", () => {
    const all = new HeldBytes(20);
    const [one, other] = [new HeldBytes(12, all), new HeldBytes(100, all)];
    readerOf(one).read(MESSAGE.subarray(0, 9));
    expect(() => readerOf(one).read(MESSAGE.subarray(0, 9))).toThrow("etcdserver: too many requests");
    readerOf(other).read(MESSAGE.subarray(0, 9));
    expect(() => readerOf(other).read(MESSAGE.subarray(0, 9))).toThrow("etcdserver: too many requests");
    expect([one.add(2), other.add(2)]).toEqual([true, false]);
  });

  test("keeps only the bytes of the message in memory", () => {
    const socketBuffer = Buffer.alloc(64 * 1024);
    MESSAGE.copy(socketBuffer);
    const reader = readerOf(new HeldBytes(100));
    reader.read(socketBuffer.subarray(0, 7));
    socketBuffer.fill(0xff);
    expect(reader.read(MESSAGE.subarray(7))).toEqual(["abcde"]);
  });
});
