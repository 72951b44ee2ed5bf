import { expect, test } from "vitest";
import { ascii, successor } from "../../bytes/bytes.ts";
import { IN_TREE_BYTES_MAX, afterFaulty, ancestors, isBelow, isHiddenBelow, parentPath, pathOfKey } from "./v2-path.ts";

test("afterFaulty() lets clean paths and markers through", () => {
  for (const key of ["/a", "/a/", "/a/b", "/a/.b", "/a/..b/", "/...", "/_a", "/a\0b"]) expect(afterFaulty(ascii(key))).toBeUndefined();
});

test("afterFaulty() steps over the whole group that shares the fault", () => {
  expect(afterFaulty(ascii("/a//b/c"))).toBe("/a/0");
  expect(afterFaulty(ascii("//"))).toBe("/0");
  expect(afterFaulty(ascii("/a/../b"))).toBe("/a/..0");
  expect(afterFaulty(ascii("/a/./"))).toBe("/a/.0");
  expect(afterFaulty(ascii("/a/."))).toBe("/a/.\0");
  for (const key of ["", "/", "a", "a/b", "/" + "x".repeat(IN_TREE_BYTES_MAX)]) {
    expect(afterFaulty(ascii(key))).toBe(successor(ascii(key)));
  }
});

test("paths and their relations", () => {
  expect(ancestors(ascii("/a/b/c"))).toEqual(["/a", "/a/b"]);
  expect(ancestors(ascii("/a"))).toEqual([]);
  expect([parentPath(ascii("/a")), parentPath(ascii("/a/b")), pathOfKey(ascii("/a/"))]).toEqual(["/", "/a", "/a"]);
  expect(isBelow(ascii("/ab"), ascii("/a"))).toBe(false);
  expect(isBelow(ascii("/a/b"), ascii("/a"))).toBe(true);
  expect(isHiddenBelow(ascii("/d/_h/a"), ascii("/d"))).toBe(true);
  expect(isHiddenBelow(ascii("/d/_h/a"), ascii("/d/_h"))).toBe(false);
  expect(isHiddenBelow(ascii("/_h"), ascii("/"))).toBe(true);
});
