import { expect, test } from "vitest";
import { InvariantError } from "../invariant.ts";
import type { Route } from "./exchange.ts";
import { RouteTable } from "./route-table.ts";

const route = (method: Route["method"], path: string): Route => ({
  method,
  path,
  kind: "unary",
  handle: () => {
    throw new Error("not called");
  },
});

const table = new RouteTable([route("POST", "/a"), route("*", "/a/*"), route("GET", "/a/b/*"), route("GET", "/c"), route("*", "/c")]);

test.each([
  ["POST", "/a", "/a"],
  ["GET", "/a", undefined],
  ["GET", "/a/", "/a/*"],
  ["GET", "/a/b", "/a/*"],
  ["GET", "/a/b/c", "/a/b/*"],
  ["PUT", "/a/b/c", "/a/*"],
  ["GET", "/ab", undefined],
  ["PUT", "/c", "/c"],
  ["GET", "/c/", undefined],
])("find() of %s %s is %s: exact before prefix, longer before shorter, the method's own before *", (method, path, found) => {
  expect(table.find(method, path)?.path).toBe(found);
});

test("knows() a path under whatever method", () => {
  expect([table.knows("/a"), table.knows("/a/x")]).toEqual([true, false]);
});

test("two routes for one method and path are a mistake", () => {
  expect(() => new RouteTable([route("GET", "/a"), route("GET", "/a")])).toThrow(InvariantError);
});
