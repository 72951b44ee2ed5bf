import { expect, test } from "vitest";
import { chooseNamespace } from "./namespaces.ts";

const choose = (path: string, header: string | null = null, host = "example.org", names: ReadonlySet<string> | null = null) =>
  chooseNamespace(path, { header, host }, { hostSuffix: ".quorate.example.org", names });

test("the path goes before the header, the header before the host name, and default is the rest", () => {
  expect(choose("/ns/a/v3/kv/put", "b", "c.quorate.example.org")).toEqual({ name: "a", path: "/v3/kv/put" });
  expect(choose("/v3/kv/put", "b", "c.quorate.example.org")).toEqual({ name: "b", path: "/v3/kv/put" });
  expect(choose("/v3/kv/put", null, "C.Quorate.example.org:8443")).toEqual({ name: "c", path: "/v3/kv/put" });
  expect(choose("/v3/kv/put")).toEqual({ name: "default", path: "/v3/kv/put" });
  expect([choose("/ns/a"), choose("/ns/a/")]).toEqual([
    { name: "a", path: "/" },
    { name: "a", path: "/" },
  ]);
});

test("a name that none can have is refused by what is wanted, one that is not listed as none of this Worker's", () => {
  for (const name of ["", "A", "-a", "a-", "a.b", "a_b", "%61", "a".repeat(64)]) {
    expect(choose(`/ns/${name}/v1`)).toMatchObject({ status: 400, why: expect.stringContaining("wanted: 1 to 63 of a-z") });
  }
  expect(choose("/", "a b")).toMatchObject({ status: 400 });
  expect(choose(`/ns/${"a".repeat(63)}/`)).toMatchObject({ path: "/" });
  expect(choose("/ns/b/", null, "", new Set(["a"]))).toMatchObject({ status: 404 });
  expect(choose("/ns/a/", null, "", new Set(["a"]))).toMatchObject({ name: "a" });
});
