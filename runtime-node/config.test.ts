import { describe, expect, test } from "vitest";
import {
  ConfigError,
  compactionPolicy,
  initialCluster,
  keepAliveTimes,
  minLeaseTtlSeconds,
  quotaBytes,
  readSettings,
  strangeVariables,
} from "./config.ts";
import { parseDuration } from "./duration.ts";
import { whyNotTaken } from "./etcd-flags.ts";
import { SETTING_NAMES } from "./settings.ts";

const read = (flags: Record<string, unknown> = {}, environment: Record<string, string> = {}) => readSettings(flags, environment);
const refusal = (flags: Record<string, unknown>, environment: Record<string, string> = {}): string => {
  try {
    read(flags, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error("it was taken");
};

describe("readSettings()", () => {
  test("without any flag gives etcd's defaults", () => {
    expect(read()).toEqual({
      name: "default",
      "data-dir": "quorate.data",
      "snapshot-count": 100_000,
      "quota-backend-bytes": 0,
      "initial-advertise-peer-urls": ["http://localhost:2380"],
      "initial-cluster-state": "new",
      "initial-cluster-token": "etcd-cluster",
      "strict-reconfig-check": true,
      "force-new-cluster": false,
      "peer-client-cert-auth": false,
      "peer-auto-tls": false,
      "heartbeat-interval": 100,
      "election-timeout": 1_000,
      "listen-client-urls": ["http://127.0.0.1:2379"],
      cors: ["*"],
      "host-whitelist": ["*"],
      "enable-v2": true,
      "auth-token": "simple",
      "auth-token-ttl": 300,
      "client-cert-auth": false,
      "auto-tls": false,
      "self-signed-cert-validity": 1,
      "tls-min-version": "TLS1.2",
      "grpc-keepalive-min-time": "5s",
      "grpc-keepalive-interval": "2h",
      "grpc-keepalive-timeout": "20s",
      "max-request-bytes": 1_572_864,
      "max-txn-ops": 128,
      "max-concurrent-streams": 100_000,
      "max-connections": 10_000,
      "auto-compaction-mode": "periodic",
      "auto-compaction-retention": "0",
      "log-level": "info",
      "log-format": "auto",
    });
  });

  test("a flag wins over a variable, a variable over the default", () => {
    expect(read({}, { QUORATE_MAX_TXN_OPS: "7" })["max-txn-ops"]).toBe(7);
    expect(read({ "max-txn-ops": "8" }, { QUORATE_MAX_TXN_OPS: "7" })["max-txn-ops"]).toBe(8);
    expect(read({}, { QUORATE_MAX_TXN_OPS: "" })["max-txn-ops"]).toBe(128);
  });

  test("lists are split at commas", () => {
    expect(read({ "listen-client-urls": "http://127.0.0.1:1, http://[::1]:2/" })["listen-client-urls"]).toEqual([
      "http://127.0.0.1:1",
      "http://[::1]:2/",
    ]);
  });

  test.each(["true", "T", "1"])("%s is true", (text) => expect(read({ "enable-v2": text })["enable-v2"]).toBe(true));
  test.each(["false", "F", "0"])("%s is false", (text) => expect(read({ "enable-v2": text })["enable-v2"]).toBe(false));

  test.each([
    [{ "max-txn-ops": "many" }, '--max-txn-ops is "many"; wanted: a whole number from 1 to 1000000'],
    [{ "max-txn-ops": "0" }, "--max-txn-ops is"],
    [{ "max-txn-ops": "1.5" }, "--max-txn-ops is"],
    [{ "snapshot-count": "-1" }, '--snapshot-count is "-1"; wanted: a whole number of at least 1'],
    [{ "enable-v2": "yes" }, '--enable-v2 is "yes"; wanted: true or false'],
    [{ "auto-compaction-mode": "hourly" }, '--auto-compaction-mode is "hourly"; wanted: periodic or revision'],
    [{ "auto-compaction-retention": "soon" }, '--auto-compaction-retention is "soon"; wanted: hours'],
    [{ "auto-compaction-mode": "revision", "auto-compaction-retention": "1h" }, '--auto-compaction-retention is "1h"; wanted: '],
    [{ "listen-client-urls": "127.0.0.1:2379" }, '--listen-client-urls is "127.0.0.1:2379"; wanted: one or more of http://HOST:PORT'],
    [{ "listen-client-urls": "http://127.0.0.1" }, "--listen-client-urls is"],
    [{ "listen-client-urls": "http://127.0.0.1:70000" }, "--listen-client-urls is"],
    [{ "listen-client-urls": "http://127.0.0.1:1/v2" }, "--listen-client-urls is"],
    [{ "cipher-suites": "TLS_RSA_WITH_RC4_128_SHA" }, '--cipher-suites is "TLS_RSA_WITH_RC4_128_SHA"; wanted: names such as'],
    [{ "tls-min-version": "TLS1.1" }, '--tls-min-version is "TLS1.1"; wanted: TLS1.2 or TLS1.3'],
    [{ "grpc-keepalive-min-time": "5" }, '--grpc-keepalive-min-time is "5"; wanted: a duration such as 300ms'],
    [{ "log-level": "loud" }, '--log-level is "loud"; wanted: debug, info, warn, error, panic, fatal'],
    [{ name: "" }, '--name is ""; wanted: a name'],
  ])("%j is refused with the flag, the value and what is wanted", (flags, message) => {
    expect(refusal(flags)).toContain(message);
  });

  test("a variable is named in its refusal", () => {
    expect(refusal({}, { QUORATE_SNAPSHOT_COUNT: "x" })).toContain('QUORATE_SNAPSHOT_COUNT is "x"');
  });
});

test("strangeVariables() finds slips, not the variables of other tools", () => {
  expect(strangeVariables({ QUORATE_DATADIR: "x", QUORATE_DATA_DIR: "y", QUORATE_BENCH_OURS: "z", HOME: "h" })).toEqual([
    "QUORATE_DATADIR",
  ]);
});

test.each([
  ["0", 2 * 1024 ** 3],
  ["-1", Number.MAX_SAFE_INTEGER],
  ["4096", 4096],
])("quotaBytes() of %s is %i", (given, bytes) => {
  expect(quotaBytes(read({ "quota-backend-bytes": given }))).toBe(bytes);
});

test.each([
  ["periodic", "0", { mode: "off" }],
  ["periodic", "2", { mode: "periodic", retentionMs: 7_200_000 }],
  ["periodic", "1h30m", { mode: "periodic", retentionMs: 5_400_000 }],
  ["revision", "0", { mode: "off" }],
  ["revision", "1000", { mode: "revision", retentionRevisions: 1000 }],
])("compactionPolicy() of %s %s", (mode, retention, policy) => {
  expect(compactionPolicy(read({ "auto-compaction-mode": mode, "auto-compaction-retention": retention }))).toEqual(policy);
});

test("keepAliveTimes() of zero are gRPC's own", () => {
  expect(keepAliveTimes(read({ "grpc-keepalive-interval": "10s", "grpc-keepalive-timeout": "1s" }))).toEqual({
    minTimeMs: 5_000,
    intervalMs: 10_000,
    timeoutMs: 1_000,
  });
  const off = { "grpc-keepalive-min-time": "0", "grpc-keepalive-interval": "0", "grpc-keepalive-timeout": "1s" };
  expect(keepAliveTimes(read(off))).toEqual({ minTimeMs: 300_000, intervalMs: 7_200_000, timeoutMs: 20_000 });
});

test.each([
  ["300ms", 300],
  ["1.5h", 5_400_000],
  ["1m2s", 62_000],
  ["0", 0],
  ["1", undefined],
  ["h", undefined],
  ["-1h", undefined],
])("parseDuration() of %s", (text, millis) => expect(parseDuration(text)).toBe(millis));

test("a flag of etcd is either a setting or refused with a reason, never both", () => {
  for (const name of SETTING_NAMES) expect(whyNotTaken(name)).toBeUndefined();
  expect(whyNotTaken("pre-vote")).toContain("always on");
  expect(whyNotTaken("no-such-flag")).toBeUndefined();
});

test("--initial-cluster has this member with its own addresses among the others", () => {
  const own = { name: "a", "initial-advertise-peer-urls": "http://x:1,http://x:2" };
  expect(readSettings({ ...own, "initial-cluster": "a=http://x:2, a=http://x:1" }, {})["initial-cluster"]).toBeDefined();
  expect(initialCluster(readSettings({ ...own, "initial-cluster": "b=https://y:1,a=http://x:2/, a=http://x:1" }, {}))).toEqual([
    { name: "b", peerUrls: ["https://y:1"] },
    { name: "a", peerUrls: ["http://x:1", "http://x:2"] },
  ]);
  expect(initialCluster(readSettings(own, {}))).toEqual([{ name: "a", peerUrls: ["http://x:1", "http://x:2"] }]);
  const wrongs = [
    "a=http://x:1",
    "b=http://x:1,b=http://x:2",
    "a=http://x:1,a=http://x:2,b=http://x:1",
    "a=http://x:1,a=http://x:2,b",
    "a=ftp://x:1",
  ];
  for (const wrong of wrongs) {
    expect(() => readSettings({ ...own, "initial-cluster": wrong }, {})).toThrow(
      /--initial-cluster is .*NAME=URL.*: a=http:\/\/x:1,a=http:\/\/x:2/,
    );
  }
});

test("an election timeout is at least five heartbeats", () => {
  expect(() => readSettings({ "election-timeout": "400" }, {})).toThrow(/--election-timeout is 400; wanted: at least five times/);
  expect(readSettings({ "election-timeout": "500" }, {})["election-timeout"]).toBe(500);
});

test("the shortest lease follows the election timeout", () => {
  expect(minLeaseTtlSeconds(readSettings({}, {}))).toBe(2);
  expect(minLeaseTtlSeconds(readSettings({ "election-timeout": "5000" }, {}))).toBe(8);
});
