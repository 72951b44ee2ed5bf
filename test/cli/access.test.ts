/** The client commands over TLS with certificates on both sides, with users and tokens, and with several endpoints of which one is gone. */
import { spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority, hasOpenssl, type Issued } from "../helpers/authority.ts";
import { freePort } from "../helpers/free-port.ts";
import { QUORATE_SCRIPT, startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";

describe.skipIf(!hasOpenssl())("over TLS with certificates on both sides", () => {
  let server: ServerProcess;
  let authority: Authority;
  let client: Issued;
  let url: string;

  beforeAll(async () => {
    authority = new Authority(tempDir("cli-tls"));
    const own = authority.issue("server");
    client = authority.issue("client");
    const port = await freePort();
    url = `https://127.0.0.1:${port}`;
    const flags = ["--listen-client-urls", url, "--advertise-client-urls", url, "--cert-file", own.cert, "--key-file", own.key];
    server = await startQuorate({ port, flags: [...flags, "--client-cert-auth", "--trusted-ca-file", authority.cert], waitReady: false });
    await untilTrue(async () => server.output().includes("ready to serve"), { timeoutMs: 60_000, what: () => server.output() });
  }, 90_000);
  afterAll(() => server.stop());

  const quorate = (...args: string[]) =>
    new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
      const files = { QUORATE_CACERT: authority.cert, QUORATE_CERT: client.cert, QUORATE_KEY: client.key };
      const child = spawn(process.execPath, [QUORATE_SCRIPT, ...args], {
        env: { ...process.env, QUORATE_ENDPOINTS: url, ...files },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let [stdout, stderr] = ["", ""];
      child.stdout.on("data", (piece: Buffer) => (stdout += piece.toString()));
      child.stderr.on("data", (piece: Buffer) => (stderr += piece.toString()));
      child.once("close", (code) => resolve({ code, stdout, stderr }));
    });

  test("keys, locks and an endpoint without its scheme; one that is gone costs nothing", { timeout: 60_000 }, async () => {
    expect(await quorate("put", "a", "1")).toMatchObject({ code: 0, stdout: "OK\n" });
    expect(await quorate("get", "a", "--endpoints", `127.0.0.1:1,${url.slice("https://".length)}`)).toMatchObject({ stdout: "a\n1\n" });
    expect(await quorate("lock", "deploy", "--", "echo", "inside")).toMatchObject({ code: 0, stdout: "inside\n" });
  });

  test("a member whose authority is not trusted is not spoken to", { timeout: 60_000 }, async () => {
    const stranger = new Authority(tempDir("cli-tls"), "stranger");
    expect(await quorate("get", "a", "--cacert", stranger.cert)).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/certificate/),
    });
    expect(await quorate("get", "a", "--cacert", `${stranger.cert}.none`)).toMatchObject({ code: 128 });
  });

  test("users by their password, and a token for less", { timeout: 90_000 }, async () => {
    const plain = await startQuorate(); // the JSON gateway refuses certificates with a common name where authentication is on, as in etcd
    const at = ["--endpoints", plain.url];
    const root = [...at, "--user", "root:pw"];
    await quorate("user", "add", "root:pw", ...at);
    expect(await quorate("auth", "enable", ...at)).toMatchObject({ code: 0 });
    expect(await quorate("put", "a", "2", ...at, "--user", "root:no")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("invalid user ID"),
    });
    expect(await quorate("put", "a", "2", ...root)).toMatchObject({ code: 0 });
    expect(await quorate("lock", "deploy", ...root, "--", "echo", "inside")).toMatchObject({ code: 0, stdout: "inside\n" });
    const { stdout } = await quorate("token", "create", "--allow", "kv:a:read", ...root);
    const token = [...at, "--token", stdout.trim()];
    expect(await quorate("get", "a", ...token)).toMatchObject({ code: 0, stdout: "a\n2\n" });
    expect(await quorate("put", "a", "3", ...token)).toMatchObject({ code: 1, stderr: expect.stringContaining("permission denied") });
    expect(await quorate("auth", "disable", ...root)).toMatchObject({ code: 0 });
    await plain.stop();
  });
});
