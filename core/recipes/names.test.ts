import { describe, expect, test } from "vitest";
import type { Bytes } from "../bytes/bytes.ts";
import { nameOfKey, nameOfSegment, prefixOf, rev20, revisionAt, segmentOf } from "./names.ts";

describe("segmentOf()", () => {
  test.each([
    ["deploy", "deploy"],
    ["a/b", "a%2Fb"],
    ["a b%c", "a%20b%25c"],
    ["grün", "gr%C3%BCn"],
    [".", "%2E"],
    ["..", "%2E%2E"],
    ["a.b", "a.b"],
    ["\0", "%00"],
  ])("%j is %s, and back", (name, segment) => {
    expect(segmentOf(name)).toBe(segment);
    expect(nameOfSegment(segment as Bytes)).toBe(name);
  });

  test("half a surrogate pair is the replacement character", () => {
    expect(segmentOf("\ud800")).toBe("%EF%BF%BD");
  });

  test("counts bytes of UTF-8", () => {
    expect(segmentOf("a".repeat(256))).toHaveLength(256);
    for (const name of ["", "a".repeat(257), "ü".repeat(129)]) expect(() => segmentOf(name)).toThrow(/name must have 1 to 256 bytes/);
    expect(() => segmentOf("", "consumer")).toThrow(/^consumer must have/);
  });
});

describe("keys", () => {
  test("lie under the kind and the name", () => {
    expect(prefixOf("locks", "a/b")).toBe("/quorate/locks/a%2Fb/");
    expect(nameOfKey("locks", "/quorate/locks/a%2Fb/1f" as Bytes)).toBe("a/b");
    expect(nameOfKey("barriers", "/quorate/barriers/x" as Bytes)).toBe("x");
    expect(nameOfKey("locks", "/quorate/elections/x/1" as Bytes)).toBeUndefined();
  });

  test("revisions sort as numbers do, and can be read again", () => {
    expect(rev20(42)).toBe("00000000000000000042");
    expect(revisionAt("/q/00000000000000000042r" as Bytes, 3)).toBe(42);
  });
});
