import { describe, expect, test } from "vitest";
import { FrameError, FrameReader, encodeFrame } from "./frame.ts";

describe("frames", () => {
  test("the bytes of a small frame are those of docs/formats/peer.md", () => {
    expect(encodeFrame({ m: 1 }).toString("hex")).toBe("05000000d81d49d10181a16d01");
  });

  test("a reader gives the same values however the bytes are cut", () => {
    const values = [{ m: 1 }, [1, "two", null], { data: Buffer.from([1, 2, 3]) }, "x".repeat(1000)];
    const bytes = Buffer.concat(values.map(encodeFrame));
    for (const size of [1, 2, 3, 7, 64, bytes.length]) {
      const reader = new FrameReader();
      const got: unknown[] = [];
      for (let at = 0; at < bytes.length; at += size) got.push(...reader.push(bytes.subarray(at, at + size)));
      expect(got).toEqual(values);
    }
  });

  test("every single flipped bit is noticed, or leaves a frame that waits for more", () => {
    const frame = encodeFrame({ hello: 1, from: "12", data: new Uint8Array([9, 9]) });
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const copy = Buffer.from(frame);
      copy[bit >> 3]! ^= 1 << (bit & 7);
      const reader = new FrameReader();
      let values: unknown[] = [];
      try {
        values = reader.push(copy);
      } catch (error) {
        expect(error).toBeInstanceOf(FrameError);
      }
      expect(values).toEqual([]);
    }
  });
});
