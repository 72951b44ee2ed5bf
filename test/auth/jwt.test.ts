/** Signed tokens (`--auth-token jwt,…`), compared with a real etcd that has the same keys. */
import { execFileSync } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SignJWT, decodeJwt } from "jose";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { hasOpenssl } from "../helpers/authority.ts";
import { runCommand } from "../helpers/run-command.ts";
import { etcdVersion, startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import { KEY, addUsers, call, tokenOf } from "./users.ts";

type Side = "quorate" | "etcd";
const SIDES: readonly Side[] = etcdVersion() === undefined ? ["quorate"] : ["quorate", "etcd"];
const EC = ["genpkey", "-algorithm", "EC", "-pkeyopt"];

let directory: string;
const file = (name: string): string => join(directory, name);
const processes: ServerProcess[] = [];
afterEach(() => Promise.all(processes.splice(0).map((process) => process.stop())));

beforeAll(() => {
  if (!hasOpenssl()) return;
  directory = tempDir("jwt");
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: directory, stdio: ["ignore", "ignore", "pipe"] });
  openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "RS.key");
  openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ES256.key");
  openssl(...EC, "ec_paramgen_curve:P-384", "-out", "ES384.pkcs8");
  openssl("ec", "-in", "ES384.pkcs8", "-out", "ES384.key");
  for (const name of ["RS", "ES256", "ES384"]) openssl("pkey", "-in", `${name}.key`, "-pubout", "-out", `${name}.pub`);
  writeFileSync(file("HS.key"), "a secret that all members share\n");
});

/** @param dataDir of a server that was ended, where users are asked for already */
async function start(side: Side, token: string, dataDir?: string): Promise<ServerProcess> {
  const options = { flags: ["--auth-token", token], ...(dataDir === undefined ? {} : { dataDir, waitReady: false }) };
  const server = await (side === "etcd" ? startEtcd(options) : startQuorate(options));
  processes.push(server);
  const isHealthy = () =>
    fetch(`${server.url}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
  if (dataDir !== undefined) await untilTrue(isHealthy, { what: server.output });
  return server;
}

const keysOf = (method: string): string => {
  const name = /^(RS|PS)/.test(method) ? "RS" : method.startsWith("HS") ? "HS" : method;
  return name === "HS" ? `priv-key=${file("HS.key")}` : `pub-key=${file(`${name}.pub`)},priv-key=${file(`${name}.key`)}`;
};

describe.skipIf(!hasOpenssl())("tokens", () => {
  test.skipIf(SIDES.length < 2).each(["RS256", "RS512", "PS256", "ES256", "ES384", "HS256"])(
    "of %s are good at etcd when they are ours, and here when they are etcd's",
    async (method) => {
      const token = `jwt,sign-method=${method},${keysOf(method)}`;
      const [ours, etcd] = await Promise.all([start("quorate", token), start("etcd", token)]);
      await Promise.all([addUsers(ours), addUsers(etcd)]);
      const [made, theirs] = [await tokenOf(ours, "u"), await tokenOf(etcd, "u")];
      expect(decodeJwt(made)).toEqual({ username: "u", revision: decodeJwt(theirs)["revision"], exp: expect.any(Number) });
      expect(Math.abs(decodeJwt(made).exp! - decodeJwt(theirs).exp!)).toBeLessThan(10);
      for (const [server, shown] of [
        [etcd, made],
        [ours, theirs],
        [ours, made],
      ] as const) {
        expect(await call(server, "kv/put", KEY, shown)).toBe("200 ok");
        expect(await call(server, "kv/range", KEY, shown)).toBe("200 ok");
        expect(await call(server, "kv/range", { key: "Yg==" }, shown)).toBe("403 etcdserver: permission denied");
        expect(await call(server, "kv/range", KEY, shown.slice(0, -4))).toBe("401 etcdserver: invalid auth token");
      }
    },
  );

  describe.each(SIDES)("of %s", (side) => {
    const old = "etcdserver: revision of auth store is old";

    test("open no keys once users or roles have changed, and stay good for the rest", async () => {
      const server = await start(side, `jwt,sign-method=ES256,${keysOf("ES256")}`);
      await addUsers(server);
      const [root, user] = [await tokenOf(server, "root"), await tokenOf(server, "u")];
      expect(await call(server, "auth/user/add", { name: "x", password: "pw" }, root)).toBe("200 ok");
      const asked = { success: [{ request_range: KEY }] };
      for (const [path, body] of [
        ["kv/put", KEY],
        ["kv/range", KEY],
        ["kv/range", { ...KEY, serializable: true }],
        ["kv/txn", asked],
        ["kv/deleterange", KEY],
      ] as const) {
        expect(await call(server, path, body, user), path).toBe(`400 ${old}`);
      }
      expect(await call(server, "lease/grant", { TTL: 100, ID: 7 }, user)).toBe("200 ok");
      expect(await call(server, "lease/revoke", { ID: 7 }, user)).toBe("200 ok");
      expect(await call(server, "auth/user/list", {}, root)).toBe("200 ok");
      expect(await call(server, "auth/user/add", { name: "y", password: "pw" }, root)).toBe("200 ok");
      expect(await call(server, "maintenance/hash", {}, root)).toBe("200 ok");
      expect(await call(server, "lock/lock", { name: "YQ==" }, root)).toBe(`500 ${old}`);
      const watch = await fetch(`${server.url}/v3/watch`, {
        method: "POST",
        headers: { authorization: user },
        body: JSON.stringify({ create_request: KEY }),
      });
      const { value } = await watch.body!.getReader().read();
      expect(Buffer.from(value!).toString()).toContain(`"cancel_reason":"rpc error: code = InvalidArgument desc = ${old}"`);
      expect(await call(server, "kv/put", KEY, await tokenOf(server, "u"))).toBe("200 ok");
    });

    test("that are none, or were good once, are refused, also while authentication is off", async () => {
      const server = await start(side, `jwt,sign-method=HS256,${keysOf("HS256")}`);
      const secret = readFileSync(file("HS.key"));
      const sign = (claims: Record<string, unknown>, seconds: number | null, alg = "HS256", key: Uint8Array = secret) => {
        const made = new SignJWT(claims).setProtectedHeader({ alg, typ: "JWT" });
        return (seconds === null ? made : made.setExpirationTime(Math.floor(Date.now() / 1000) + seconds)).sign(key);
      };
      const unsigned = `${Buffer.from('{"alg":"none","typ":"JWT"}').toString("base64url")}.${Buffer.from('{"username":"root","revision":99}').toString("base64url")}.`;
      const bad = [
        "garbage",
        "a.b.c",
        unsigned,
        await sign({ username: "root", revision: 99 }, -10),
        await sign({ username: "root", revision: 99 }, 100, "HS512"),
        await sign({ username: "root", revision: 99 }, 100, "HS256", Buffer.from("another secret")),
      ];
      for (const token of bad) expect(await call(server, "kv/range", KEY, token), token).toBe("401 etcdserver: invalid auth token");
      await addUsers(server);
      for (const token of bad) expect(await call(server, "kv/range", KEY, token), token).toBe("401 etcdserver: invalid auth token");
      const { revision } = decodeJwt(await tokenOf(server, "u"));
      expect(await call(server, "kv/range", KEY, await sign({ username: "u", revision }, null))).toBe("200 ok");
      expect(await call(server, "kv/put", KEY, await sign({ username: "u", revision: 99 }, null))).toBe("200 ok");
      const ahead = await sign({ username: "u", revision: 99 }, null);
      expect(await call(server, "kv/range", KEY, ahead)).toBe("400 etcdserver: revision of auth store is old");
      expect(await call(server, "kv/range", KEY, await sign({ username: "nobody", revision }, 100))).toBe(
        "403 etcdserver: permission denied",
      );
    });

    test("are given out elsewhere where there is a public key only", async () => {
      const whole = await start(side, `jwt,sign-method=RS256,${keysOf("RS256")}`);
      await addUsers(whole);
      await whole.kill("SIGTERM");
      const server = await start(side, `jwt,sign-method=RS256,pub-key=${file("RS.pub")}`, whole.dataDir);
      expect(await call(server, "auth/authenticate", { name: "u", password: "pw" })).toBe(
        "500 auth: token signing attempted with verify-only key",
      );
      const key = createPrivateKey(readFileSync(file("RS.key")));
      const token = await new SignJWT({ username: "u", revision: 99 })
        .setProtectedHeader({ alg: "RS256" })
        .setExpirationTime("1h")
        .sign(key);
      expect(await call(server, "kv/put", KEY, token)).toBe("200 ok");
    });
  });

  test("are good after a restart, and etcdctl lives with them", async () => {
    const token = `jwt,sign-method=ES256,priv-key=${file("ES256.key")},ttl=1h`;
    const first = await start("quorate", token);
    await addUsers(first);
    const kept = await tokenOf(first, "u");
    expect(decodeJwt(kept).exp! - Date.now() / 1000).toBeGreaterThan(3_500);
    await first.kill("SIGTERM");
    const second = await start("quorate", token, first.dataDir);
    expect(await call(second, "kv/put", KEY, kept)).toBe("200 ok");
    if (SIDES.length < 2) return;
    const etcdctl = async (...args: string[]) => {
      const { stdout, stderr } = await runCommand("etcdctl", ["--endpoints", second.url, "--user", "root:pw", ...args], 20_000);
      return stdout + stderr;
    };
    expect(await etcdctl("put", "b", "1")).toBe("OK\n");
    expect(await etcdctl("user", "add", "z:pw")).toContain("User z created");
    expect(await etcdctl("get", "b")).toBe("b\n1\n");
    expect(await etcdctl("lock", "l", "true")).toBe("");
  });
});
