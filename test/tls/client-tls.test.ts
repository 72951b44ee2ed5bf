/** TLS for clients, on real processes: whom a server serves, with which certificate, and what it does with everybody else. */
import { X509Certificate } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { connect as connectPlain } from "node:net";
import { join } from "node:path";
import { type ConnectionOptions, type TLSSocket, connect } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Authority, type Issued, hasOpenssl, text } from "../helpers/authority.ts";
import { freePort } from "../helpers/free-port.ts";
import { runCommand } from "../helpers/run-command.ts";
import { etcdVersion } from "../helpers/start-etcd.ts";
import { PROJECT_ROOT, startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";

let directory: string;
let authority: Authority;
let server: Issued;
const processes: ServerProcess[] = [];
const sockets: TLSSocket[] = [];

interface TlsServer {
  readonly process: ServerProcess;
  readonly port: number;
  readonly url: string;
}

/** It listens on a plain port too, which is asked whether it is ready. */
async function start(...flags: string[]): Promise<TlsServer> {
  const [port, plain] = [await freePort(), await freePort()];
  const url = `https://127.0.0.1:${port}`;
  const process = await startQuorate({ port: plain, flags: ["--listen-client-urls", `http://127.0.0.1:${plain},${url}`, ...flags] });
  processes.push(process);
  return { process, port, url };
}

const withCertificate = (issued: Issued = server): string[] => ["--cert-file", issued.cert, "--key-file", issued.key];
const withAuthority = (): string[] => ["--client-cert-auth", "--trusted-ca-file", authority.cert];

function keysOf({ cert, key }: Issued): ConnectionOptions {
  return { cert: text(cert), key: text(key) };
}

/** @returns the body; what stood in the way, as text that begins with "no answer" */
function ask(port: number, options: ConnectionOptions & { readonly agent?: Agent } = {}): Promise<string> {
  return new Promise((resolve) => {
    const sent = request({ port, host: "127.0.0.1", path: "/version", ca: text(authority.cert), agent: false, ...options }, (reply) => {
      let body = "";
      reply.on("data", (chunk: Buffer) => (body += chunk.toString()));
      reply.on("end", () => resolve(body));
      reply.on("error", (error) => resolve(`no answer: ${String(error)}`));
    });
    sent.on("error", (error: NodeJS.ErrnoException) => resolve(`no answer: ${error.code} ${error.message}`));
    sent.end();
  });
}

/** The certificate that a new connection is shown. */
async function shown(port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = await open(port, options);
  const { subject } = socket.getPeerX509Certificate()!;
  socket.destroy();
  return subject;
}

function open(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options }, () => resolve(socket));
    socket.on("error", reject);
    sockets.push(socket);
  });
}

const VERSION = expect.stringContaining('"etcdserver":"3.4');
const NONE = expect.stringMatching(/^no answer/);

beforeEach(() => {
  directory = tempDir("tls");
  authority = new Authority(directory);
  server = authority.issue("server");
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(processes.splice(0).map((process) => process.stop()));
});

describe.skipIf(!hasOpenssl())("TLS for clients", () => {
  test("serves who trusts its certificate, over HTTP/1.1 and HTTP/2, TLS 1.2 and 1.3", async () => {
    const { port, url, process } = await start(...withCertificate());
    expect(process.output()).toContain(`Listening on http://127.0.0.1:${process.port}, ${url}`);
    expect(await ask(port)).toEqual(VERSION);
    expect(await ask(port, { maxVersion: "TLSv1.2" })).toEqual(VERSION);
    expect(await ask(port, { ca: [] })).toContain("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
    for (const version of ["--http1.1", "--http2"]) {
      const { stdout } = await runCommand(
        "curl",
        ["-s", version, "--cacert", authority.cert, "-w", " %{http_version}", `${url}/version`],
        10_000,
      );
      expect(stdout).toMatch(version === "--http2" ? /3\.4.* 2$/ : /3\.4.* 1\.1$/);
    }
  });

  test("and plain connections come to one port, if both of its URLs are listened on", async () => {
    const port = await freePort();
    const urls = `http://127.0.0.1:${port},https://127.0.0.1:${port}`;
    const process = await startQuorate({ port, flags: ["--listen-client-urls", urls, ...withCertificate(), ...withAuthority()] });
    processes.push(process);
    expect(process.output()).toContain(`Listening on ${urls.replace(",", ", ")}`);
    expect(await (await fetch(`http://127.0.0.1:${port}/version`)).text()).toEqual(VERSION);
    const certificate = keysOf(authority.issue("client", { alternativeNames: "" }));
    expect(await ask(port, certificate)).toEqual(VERSION);
    expect(await ask(port, { ...certificate, maxVersion: "TLSv1.2" })).toEqual(VERSION);
    expect(await ask(port)).toEqual(NONE);
    if (etcdVersion() !== undefined) {
      const client = authority.issue("etcdctl", { alternativeNames: "" });
      for (const flags of [
        [`http://127.0.0.1:${port}`],
        [`https://127.0.0.1:${port}`, "--cacert", authority.cert, "--cert", client.cert, "--key", client.key],
      ]) {
        const { stdout, stderr } = await runCommand("etcdctl", ["put", "a", "b", "--endpoints", ...flags], 20_000);
        expect(stdout, stderr).toContain("OK");
      }
    }
    expect((await process.kill("SIGTERM")).code).toBe(0);
  });

  test.skipIf(etcdVersion() === undefined)("is spoken by etcdctl, with and without a certificate of its own", async () => {
    const { url } = await start(...withCertificate(), ...withAuthority());
    const client = authority.issue("client", { alternativeNames: "" });
    const etcdctl = (...args: string[]) =>
      runCommand("etcdctl", ["--endpoints", url, "--cacert", authority.cert, "--dial-timeout=2s", "--command-timeout=3s", ...args], 20_000);
    const keys = ["--cert", client.cert, "--key", client.key];
    expect(await etcdctl(...keys, "put", "k", "v")).toMatchObject({ code: 0, stdout: "OK\n" });
    expect(await etcdctl(...keys, "get", "k")).toMatchObject({ code: 0, stdout: "k\nv\n" });
    expect((await etcdctl("get", "k")).code).not.toBe(0);
  });

  test("asks for a certificate of the right authority, and tells the log who had none", async () => {
    const { port, process } = await start(...withCertificate(), ...withAuthority());
    const other = new Authority(directory, "other");
    expect(await ask(port, keysOf(authority.issue("client", { alternativeNames: "" })))).toEqual(VERSION);
    expect(await ask(port)).toEqual(NONE);
    await untilTrue(() => process.output().includes("peer did not return a certificate"), { what: process.output });
    expect(await ask(port, keysOf(other.issue("stranger")))).toEqual(NONE);
    expect(await ask(port, keysOf(authority.issue("late", { from: "20200101000000Z", to: "20200102000000Z" })))).toEqual(NONE);
    expect(process.output()).toContain('"remote":"127.0.0.1"');
    expect(await ask(port, keysOf(authority.issue("client", { alternativeNames: "" })))).toEqual(VERSION);
  });

  test("--trusted-ca-file alone asks for certificates, as in etcd", async () => {
    const { port } = await start(...withCertificate(), "--trusted-ca-file", authority.cert);
    expect(await ask(port)).toEqual(NONE);
    expect(await ask(port, keysOf(authority.issue("client")))).toEqual(VERSION);
  });

  test("turns revoked certificates away, from the connection after the list was changed", async () => {
    const [good, bad] = [authority.issue("good"), authority.issue("bad")];
    const list = authority.revocationList();
    const { port, process } = await start(...withCertificate(), ...withAuthority(), "--client-crl-file", list);
    expect(await ask(port, keysOf(bad))).toEqual(VERSION);
    authority.revoke(bad);
    authority.revocationList("DER");
    expect(await ask(port, keysOf(bad))).toEqual(NONE);
    expect(await ask(port, keysOf(good))).toEqual(VERSION);
    await untilTrue(() => process.output().includes("CERT_REVOKED"), { what: process.output });
  });

  test("a revoked client cannot go on with the ticket of an older session", async () => {
    const bad = authority.issue("bad");
    const list = authority.revocationList();
    const { port } = await start(...withCertificate(), ...withAuthority(), "--client-crl-file", list);
    const agent = new Agent({ maxCachedSessions: 10 });
    expect(await ask(port, { ...keysOf(bad), agent })).toEqual(VERSION);
    authority.revoke(bad);
    authority.revocationList();
    expect(await ask(port, { ...keysOf(bad), agent })).toEqual(NONE);
  });

  test("serves only who has the allowed name", async () => {
    const { port, process } = await start(...withCertificate(), ...withAuthority(), "--client-cert-allowed-hostname", "a.apps.example");
    expect(await ask(port, keysOf(authority.issue("a", { alternativeNames: "DNS:*.apps.example" })))).toEqual(VERSION);
    expect(await ask(port, keysOf(authority.issue("b", { alternativeNames: "DNS:other.example" })))).toEqual(NONE);
    expect(await ask(port, keysOf(authority.issue("c", { commonName: "a.apps.example", alternativeNames: "" })))).toEqual(NONE);
    expect(await ask(port, { ...keysOf(authority.issue("b", { alternativeNames: "DNS:other.example" })), ALPNProtocols: ["h2"] })).toEqual(
      NONE,
    );
    expect(process.output()).toContain("--client-cert-allowed-hostname");
  });

  test("keeps to the versions and cipher suites that are set", async () => {
    const newest = await start(...withCertificate(), "--tls-min-version", "TLS1.3");
    expect(await ask(newest.port, { maxVersion: "TLSv1.2" })).toEqual(NONE);
    expect(await ask(newest.port)).toEqual(VERSION);
    const suites = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    const older = await start(...withCertificate(), "--tls-max-version", "TLS1.2", "--cipher-suites", suites);
    expect(await ask(older.port, { minVersion: "TLSv1.3" })).toEqual(NONE);
    const socket = await open(older.port);
    expect([socket.getProtocol(), socket.getCipher().name]).toEqual(["TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305"]);
    expect(await ask(older.port, { ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" })).toEqual(NONE);
  });
});

describe.skipIf(!hasOpenssl())("beside clients", () => {
  test("a backup is taken over TLS, with a certificate", async () => {
    const { url } = await start(...withCertificate(), ...withAuthority());
    const { cert, key } = authority.issue("backup");
    const file = join(directory, "backup.snap");
    const save = (...flags: string[]) =>
      runCommand(
        process.execPath,
        [join(PROJECT_ROOT, "runtime-node", "quorate.js"), "snapshot", "save", file, "--endpoints", url, ...flags],
        20_000,
      );
    expect(await save("--cacert", authority.cert)).toMatchObject({ code: 1, stderr: expect.stringContaining("no snapshot from") });
    expect(await save("--cacert", authority.cert, "--cert", cert, "--key", server.key)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--key is"),
    });
    expect(await save("--cacert", authority.cert, "--cert", cert, "--key", key)).toMatchObject({ code: 0 });
    expect(existsSync(file)).toBe(true);
  });

  test("metrics have an https address of their own, for any host name; other names count on plain addresses only", async () => {
    const [plain, secure] = [await freePort(), await freePort()];
    const metrics = ["--listen-metrics-urls", `http://127.0.0.1:${plain},https://127.0.0.1:${secure}`];
    const { process: running, url } = await start(...withCertificate(), ...metrics, "--host-whitelist", "127.0.0.1");
    const curl = async (...args: string[]) =>
      (
        await runCommand(
          "curl",
          ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", authority.cert, "-H", "Host: evil.example", ...args],
          10_000,
        )
      ).stdout;
    expect(await curl(`http://127.0.0.1:${plain}/metrics`)).toBe("200");
    expect(await curl(`https://127.0.0.1:${secure}/health`)).toBe("200");
    expect(await curl(`https://127.0.0.1:${secure}/v3/kv/range`)).toBe("404");
    expect(await curl(`${running.url}/version`)).toBe("421");
    expect(await curl("--http2-prior-knowledge", `${running.url}/version`)).toBe("421");
    for (const version of ["--http1.1", "--http2"]) expect(await curl(version, `${url}/version`)).toBe("200");
  });
});

describe.skipIf(!hasOpenssl())("a renewed certificate", () => {
  test("is shown to the next connection, and those that are open live on", async () => {
    const { port, url, process } = await start(...withCertificate());
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await ask(port, { agent })).toEqual(VERSION);
    expect(await shown(port)).toBe("CN=server");
    authority.issue("server", { commonName: "renewed" });
    expect(await shown(port)).toBe("CN=renewed");
    expect(process.output()).toContain("were read anew");
    expect(await ask(port, { agent })).toEqual(VERSION);
    const [kept] = Object.values(agent.freeSockets)[0] as unknown as TLSSocket[];
    expect(kept!.getPeerX509Certificate()!.subject).toBe("CN=server");
    agent.destroy();
    const h2 = await runCommand("curl", ["-s", "--cacert", authority.cert, `${url}/version`], 10_000);
    expect(h2.code).toBe(0);
  });

  test("is found behind a link that is swapped, as Kubernetes does", async () => {
    const folder = (name: string, issued: Issued): string => {
      const path = join(directory, name);
      mkdirSync(path);
      copyFileSync(issued.cert, join(path, "tls.crt"));
      copyFileSync(issued.key, join(path, "tls.key"));
      return path;
    };
    const link = join(directory, "data");
    symlinkSync(folder("first", server), link);
    const { port } = await start("--cert-file", join(link, "tls.crt"), "--key-file", join(link, "tls.key"));
    expect(await shown(port)).toBe("CN=server");
    symlinkSync(folder("second", authority.issue("second")), `${link}.new`);
    renameSync(`${link}.new`, link);
    expect(await shown(port)).toBe("CN=second");
  });

  test("that cannot be used is told once, and the one before goes on being shown", async () => {
    const { port, process } = await start(...withCertificate());
    const other = authority.issue("other");
    copyFileSync(other.cert, server.cert); // and not the key
    expect(await shown(port)).toBe("CN=server");
    expect(await shown(port)).toBe("CN=server");
    expect(process.output().match(/those from before stay: --key-file is .* not the key of the certificate/g)).toHaveLength(1);
    copyFileSync(other.key, server.key);
    expect(await shown(port)).toBe("CN=other");
    rmSync(server.cert);
    expect(await shown(port)).toBe("CN=other");
    symlinkSync(server.cert, server.cert);
    expect(await shown(port)).toBe("CN=other");
    expect(process.output()).toMatch(/those from before stay: --cert-file is .*, which does not exist/);
    expect(process.output()).toMatch(/those from before stay: --cert-file is .*, which cannot be read: ELOOP/);
  });

  test("is looked for at once on SIGHUP", async () => {
    const { process } = await start(...withCertificate());
    writeFileSync(server.cert, "nonsense");
    process.signal("SIGHUP");
    await untilTrue(() => process.output().includes("--cert-file is"), { what: process.output });
    expect(process.exit()).toBeUndefined();
  });
});

describe.skipIf(!hasOpenssl())("--auto-tls", () => {
  test("makes a certificate for its addresses, keeps it, and serves with it", async () => {
    const dataDir = tempDir("data");
    const first = await start("--auto-tls", "--data-dir", dataDir, "--self-signed-cert-validity", "3");
    const cert = join(dataDir, "fixtures", "client", "cert.pem");
    const found = new X509Certificate(text(cert));
    expect([found.checkIP("127.0.0.1"), found.checkHost("localhost")]).toEqual(["127.0.0.1", "localhost"]);
    expect(Math.round((Date.parse(found.validTo) - Date.now()) / 86_400_000)).toBe(3 * 365);
    expect(await ask(first.port, { ca: text(cert) })).toEqual(VERSION);
    const curl = await runCommand("curl", ["-s", "--cacert", cert, `${first.url}/version`], 10_000);
    expect(curl.stdout).toContain("3.4");
    await first.process.kill("SIGTERM");
    const second = await start("--auto-tls", "--data-dir", dataDir);
    expect(text(cert)).toBe(found.toString());
    expect(await ask(second.port, { ca: text(cert) })).toEqual(VERSION);
  });

  test("does not count beside a certificate", async () => {
    const { port, process } = await start("--auto-tls", ...withCertificate());
    expect(await shown(port)).toBe("CN=server");
    expect(process.output()).toContain("--auto-tls does not count");
    expect(existsSync(join(process.dataDir, "fixtures"))).toBe(false);
  });
});

describe.skipIf(!hasOpenssl())("what is no TLS", () => {
  test("is ended, named once a second, and moves nobody else", async () => {
    const { port, process } = await start(...withCertificate());
    const replies = await Promise.all(
      [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\xff\xff".repeat(2_000),
        "\0".repeat(70_000),
      ].map(
        (bytes) =>
          new Promise<string>((resolve) => {
            let read = "";
            const socket = connectPlain(port, "127.0.0.1", () => socket.end(Buffer.from(bytes, "latin1")));
            socket.on("data", (chunk: Buffer) => (read += chunk.toString("latin1")));
            socket.on("error", () => {});
            socket.on("close", () => resolve(read));
          }),
      ),
    );
    for (const reply of replies) expect(reply).not.toMatch(/HTTP|etcd/);
    expect(await ask(port)).toEqual(VERSION);
    const lines = process.output().match(/a client was turned away/g);
    expect(lines?.length).toBeGreaterThanOrEqual(1);
    expect(lines?.length).toBeLessThan(4);
    expect(process.output()).toContain('"remote":"127.0.0.1","reason":"TLS: ');
    const metrics = await (await fetch(`${process.url}/metrics`)).text();
    expect(Number(/quorate_http_client_errors_total (\d+)/.exec(metrics)?.[1])).toBe(4);
  });
});

describe.skipIf(!hasOpenssl())("a start with", () => {
  const refused = async (...flags: string[]): Promise<string> => {
    const port = await freePort();
    const process = await startQuorate({ port, waitReady: false, flags: ["--listen-client-urls", `https://127.0.0.1:${port}`, ...flags] });
    processes.push(process);
    expect(await process.exited).toEqual({ code: 2, signal: null });
    return process.output();
  };
  const file = (name: string, content: string): string => {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
  };

  test("files that cannot be used ends with 2, and names flag and file", async () => {
    const { cert, key } = server;
    const garbage = file("garbage", "garbage");
    const broken = file("broken", text(cert).replace(/MII../, "AAAAA"));
    const other = authority.issue("other");
    const answers = await Promise.all([
      refused("--cert-file", join(directory, "none"), "--key-file", key),
      refused("--cert-file", directory, "--key-file", key),
      refused("--cert-file", garbage, "--key-file", key),
      refused("--cert-file", broken, "--key-file", key),
      refused("--cert-file", cert, "--key-file", garbage),
      refused("--cert-file", cert, "--key-file", other.key),
      refused("--cert-file", cert, "--key-file", key, "--client-cert-auth", "--trusted-ca-file", garbage),
      refused("--cert-file", cert, "--key-file", key, ...withAuthority(), "--client-crl-file", cert),
    ]);
    const q = JSON.stringify;
    expect(answers.map((answer) => answer.trim())).toEqual([
      `quorate: --cert-file is ${q(join(directory, "none"))}, which does not exist`,
      expect.stringContaining(`quorate: --cert-file is ${q(directory)}, which cannot be read: EISDIR`),
      `quorate: --cert-file is ${q(garbage)}, which holds no certificate in PEM`,
      expect.stringContaining(`quorate: --cert-file is ${q(broken)}, whose certificate 1 cannot be read: `),
      `quorate: --key-file is ${q(garbage)}, which holds no private key in PEM`,
      `quorate: --key-file is ${q(other.key)}, which is not the key of the certificate in --cert-file ${q(cert)}`,
      `quorate: --trusted-ca-file is ${q(garbage)}, which holds no certificate in PEM`,
      `quorate: --client-crl-file is ${q(cert)}, which holds no list of revoked certificates, in PEM or DER`,
    ]);
  });

  test("settings that contradict each other ends with 2", async () => {
    const own = withCertificate();
    const answers = await Promise.all([
      refused(),
      refused("--cert-file", server.cert),
      refused(...own, "--client-cert-auth"),
      refused(...own, "--client-crl-file", server.cert),
      refused(...own, "--client-cert-allowed-hostname", "a.example"),
      refused(...own, "--peer-cert-allowed-cn", "member"),
      refused(...own, "--tls-min-version", "TLS1.3", "--tls-max-version", "TLS1.2"),
      refused(...own, "--tls-min-version", "TLS1.3", "--cipher-suites", "TLS_RSA_WITH_AES_128_GCM_SHA256"),
    ]);
    expect(answers.map((answer) => answer.trim())).toEqual([
      expect.stringMatching(/--listen-client-urls has https:.*, which needs --cert-file and --key-file, or --auto-tls$/),
      "quorate: --cert-file and --key-file belong together",
      "quorate: --client-cert-auth needs --trusted-ca-file",
      "quorate: --client-crl-file needs --trusted-ca-file",
      "quorate: --client-cert-allowed-hostname needs --trusted-ca-file",
      "quorate: --peer-cert-allowed-cn needs --peer-trusted-ca-file",
      "quorate: --tls-max-version is TLS1.2, which is less than --tls-min-version, TLS1.3",
      "quorate: --cipher-suites is for TLS 1.2, which --tls-min-version excludes",
    ]);
  });

  test("an expired certificate, or one for plain addresses alone, is told and goes on", async () => {
    const late = authority.issue("late", { from: "20200101000000Z", to: "20200102000000Z" });
    const { process } = await start(...withCertificate(late));
    expect(process.output()).toContain("has expired");
    expect(process.output()).toContain("which is plain: --cert-file and --key-file do not count there");
  });
});
