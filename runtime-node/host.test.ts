import { expect, test } from "vitest";
import { ConfigError, readSettings } from "./config.ts";
import { type Host, hostOf, lackOf, NOT_ON_DENO, refuseOn, servesGrpc } from "./host.ts";

const NODE: Host = { name: "Node", version: "24.21.0" };
const DENO: Host = { name: "Deno", version: "2.9.6" };
const BUN: Host = { name: "Bun", version: "1.4.5" };

test("hostOf() tells Deno and Bun from the Node that they stand for", () => {
  expect(hostOf({ node: "24.21.0" })).toEqual(NODE);
  expect(hostOf({ node: "26.3.0", deno: "2.9.6" })).toEqual(DENO);
  expect(hostOf({ node: "26.3.0", bun: "1.4.5" })).toEqual(BUN);
});

test("refuseOn() names each flag that Deno's TLS would not obey, and Node takes them", () => {
  for (const flag of Object.keys(NOT_ON_DENO)) {
    const value = flag === "cipher-suites" ? "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" : "x.example";
    const settings = readSettings({ [flag]: value }, {});
    expect(() => refuseOn(DENO, settings), flag).toThrow(new RegExp(`^--${flag} cannot be used on Deno 2.9.6`));
    expect(() => refuseOn(NODE, settings), flag).not.toThrow();
  }
  expect(() => refuseOn(DENO, readSettings({ "listen-client-urls": "https://127.0.0.1:1" }, {}))).not.toThrow();
});

test("refuseOn() refuses TLS on Bun, for clients, metrics and members", () => {
  for (const flag of ["listen-client-urls", "listen-metrics-urls", "listen-peer-urls"]) {
    const settings = readSettings({ [flag]: "https://127.0.0.1:1" }, {});
    expect(() => refuseOn(BUN, settings), flag).toThrow(ConfigError);
    expect(() => refuseOn(DENO, settings), flag).not.toThrow();
  }
  expect(() => refuseOn(BUN, readSettings({}, {}))).not.toThrow();
});

test("only Bun serves no gRPC, and the log is told", () => {
  expect([NODE, DENO, BUN].map(servesGrpc)).toEqual([true, true, false]);
  expect(lackOf(BUN)).toContain("gRPC is not served on Bun 1.4.5");
  expect(lackOf(DENO)).toBeUndefined();
});
