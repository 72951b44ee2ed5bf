/** Certificates as users (`--client-cert-auth` with authentication on), over gRPC, the JSON gateway and v2, as a real etcd has it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority, type Issued, hasOpenssl } from "../helpers/authority.ts";
import { freePort } from "../helpers/free-port.ts";
import { runCommand } from "../helpers/run-command.ts";
import { etcdVersion, startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const SIDES = etcdVersion() === undefined ? ["quorate"] : ["quorate", "etcd"];

describe.skipIf(!hasOpenssl() || etcdVersion() === undefined).each(SIDES)("certificates as users of %s", (side) => {
  let authority: Authority;
  let server: ServerProcess;
  let url: string;
  const certificates = new Map<string, Issued>();

  const keysOf = (who: string): Issued => {
    const known = certificates.get(who) ?? authority.issue(who, { alternativeNames: "" });
    certificates.set(who, known);
    return known;
  };
  const curl = async (who: string, path: string, ...args: string[]): Promise<string> => {
    const { cert, key } = keysOf(who);
    const tls = ["--cacert", authority.cert, "--cert", cert, "--key", key];
    return (await runCommand("curl", ["-s", "-w", " %{http_code}", ...tls, ...args, url + path], 10_000)).stdout;
  };
  const etcdctl = async (who: string, ...args: string[]): Promise<string> => {
    const { cert, key } = keysOf(who);
    const tls = ["--endpoints", url, "--cacert", authority.cert, "--cert", cert, "--key", key];
    const { stdout, stderr } = await runCommand("etcdctl", [...tls, "--command-timeout=5s", ...args], 20_000);
    return stdout + stderr.replaceAll(/^\{.*\n/gm, "");
  };

  beforeAll(async () => {
    authority = new Authority(tempDir("users"));
    const own = authority.issue("server");
    const port = await freePort();
    const plain = await freePort();
    url = `https://127.0.0.1:${port}`;
    const tls = ["--cert-file", own.cert, "--key-file", own.key, "--client-cert-auth", "--trusted-ca-file", authority.cert];
    const flags = ["--listen-client-urls", `http://127.0.0.1:${plain},${url}`, "--advertise-client-urls", url, ...tls];
    server = side === "etcd" ? await startEtcd({ port: plain, flags }) : await startQuorate({ port: plain, flags });
    for (const line of [
      "user add root:pw",
      "user grant-role root root",
      "user add alice --no-password",
      "user add bob:pw",
      "role add mine",
      "role grant-permission mine readwrite /mine 0",
      "user grant-role alice mine",
      "auth enable",
    ]) {
      const args = line.endsWith(" 0") ? [...line.split(" ").slice(0, -1), "/minf"] : line.split(" ");
      expect(await etcdctl("root", ...args)).not.toContain("Error");
    }
  });
  afterAll(() => server?.stop());

  test("the common name is the user, of a call and of a watch", async () => {
    expect(await etcdctl("alice", "put", "/mine", "1")).toBe("OK\n");
    expect(await etcdctl("alice", "put", "/other", "1")).toContain("etcdserver: permission denied");
    expect(await etcdctl("alice", "user", "get", "alice")).toContain("Roles: mine");
    expect(await etcdctl("alice", "user", "list")).toContain("permission denied");
    expect(await etcdctl("nobody", "get", "/mine")).toContain("etcdserver: permission denied");
    expect(await etcdctl("root", "put", "/other", "1")).toBe("OK\n");
    expect(await etcdctl("alice", "watch", "/other")).toContain("permission denied");
  });

  test("a token counts before the certificate", async () => {
    expect(await etcdctl("root", "--user", "bob:pw", "put", "/other", "1")).toContain("etcdserver: permission denied");
    expect(await etcdctl("alice", "--user", "root:pw", "put", "/other", "2")).toBe("OK\n");
    expect(await etcdctl("root", "--user", "bob:wrong", "put", "/other", "1")).toContain("authentication failed");
  });

  test("the JSON gateway takes tokens only, and refuses who could believe otherwise", async () => {
    const ignored = "CommonName of client sending a request against gateway will be ignored and not used as expected\n 400";
    const range = ["-d", '{"key":"L21pbmU="}'];
    for (const version of ["--http1.1", "--http2"]) {
      expect(await curl("alice", "/v3/kv/range", version, ...range)).toBe(ignored);
      expect(await curl("alice", "/v3beta/kv/range", version, ...range)).toBe(ignored);
      expect(await curl("alice", "/v3/nope", version)).toBe(ignored);
      expect(await curl("alice", "/version", version)).toMatch(/ 200$/);
    }
    expect(await (await fetch(`${server.url}/v3/kv/range`, { method: "POST", body: '{"key":"L21pbmU="}' })).text()).toContain(
      "user name is empty",
    );
  });

  // etcd has users of its own for v2, so only what has no user can be compared.
  test.skipIf(side === "etcd")("v2 takes the certificate where no name and password are sent", async () => {
    for (const version of ["--http1.1", "--http2"]) {
      expect(await curl("root", "/v2/keys/other", version, "-XPUT", "-d", "value=1")).toMatch(/ 20[01]$/);
      expect(await curl("alice", "/v2/keys/mine", version)).toMatch(/"value":"1"[^]* 200$/);
      expect(await curl("alice", "/v2/keys/other", version)).toMatch(/"errorCode":110[^]* 401$/);
      expect(await curl("nobody", "/v2/keys/mine", version)).toMatch(/"errorCode":110[^]* 401$/);
      expect(await curl("root", "/v2/keys/mine", version, "-u", "bob:wrong")).toMatch(/"errorCode":110[^]* 401$/);
      expect(await curl("alice", "/v2/keys/other", version, "-u", "root:pw")).toMatch(/ 200$/);
    }
  });
});
