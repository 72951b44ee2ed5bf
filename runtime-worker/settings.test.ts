import { expect, test } from "vitest";
import { type Env, settingsOf } from "./settings.ts";

const of = (vars: Record<string, string>) => settingsOf(vars as unknown as Env);

test("without variables there are defaults", () => {
  expect(of({})).toEqual({
    names: null,
    hostSuffix: null,
    adminToken: null,
    jurisdiction: null,
    locationHint: null,
    quotaBytes: 2 * 1024 ** 3,
    maxRequestBytes: 1_572_864,
    maxTxnOps: 128,
    autoCompactionRevisions: 10_000,
    authTokenTtlMs: 300_000,
    enableV2: true,
    corsOrigins: ["*"],
  });
});

test("variables are taken, and empty ones are none", () => {
  const settings = of({
    NAMESPACE_NAMES: "a, b",
    HOST_SUFFIX: "Example.org",
    ADMIN_TOKEN: "",
    JURISDICTION: "eu",
    LOCATION_HINT: "weur",
    ENABLE_V2: "false",
  });
  expect(settings).toMatchObject({
    hostSuffix: ".example.org",
    adminToken: null,
    jurisdiction: "eu",
    locationHint: "weur",
    enableV2: false,
  });
  expect([...settings.names!]).toEqual(["a", "b"]);
});

test.each([
  ["QUOTA_BYTES", "10000000000"],
  ["QUOTA_BYTES", "1e3"],
  ["MAX_REQUEST_BYTES", "2000000"],
  ["MAX_TXN_OPS", "0"],
  ["JURISDICTION", "mars"],
  ["LOCATION_HINT", "moon"],
  ["ENABLE_V2", "yes"],
])("%s=%s is refused by name", (name, value) => {
  expect(() => of({ [name]: value })).toThrow(`${name} is "${value}"; wanted: `);
});
