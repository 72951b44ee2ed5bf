/** The command as a real process: what it prints, how it ends, what it refuses. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { freePort } from "../test/helpers/free-port.ts";
import { PROJECT_ROOT, type QuorateOptions, startQuorate } from "../test/helpers/start-quorate.ts";
import type { ServerProcess } from "../test/helpers/start-server.ts";

const servers: ServerProcess[] = [];
async function start(options: QuorateOptions = {}): Promise<ServerProcess> {
  const server = await startQuorate(options);
  servers.push(server);
  return server;
}
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(PROJECT_ROOT, "runtime-node", "quorate.js"), ...args], {
    encoding: "utf8",
    timeout: 20_000,
    env: { ...process.env, NO_COLOR: "1" },
  });
  return { status, stdout, stderr };
}

const put = (url: string, key: string, value: string) =>
  fetch(`${url}/v2/keys/${key}`, { method: "PUT", body: new URLSearchParams({ value }) });
const get = async (url: string, key: string): Promise<string> => {
  const reply = (await (await fetch(`${url}/v2/keys/${key}`)).json()) as { node?: { value: string }; errorCode?: number };
  return reply.node?.value ?? `error ${reply.errorCode}`;
};

test("files of TLS between members that cannot be used are named with their flag, and nothing is begun", async () => {
  const directory = await mkdtemp(join(tmpdir(), "quorate-tls-"));
  const file = (name: string) => join(directory, name);
  const issue = (name: string) => {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", file(`${name}.key`)];
    const made = spawnSync("openssl", ["req", "-x509", ...key, "-subj", `/CN=${name}`, "-days", "2", "-out", file(`${name}.pem`)]);
    expect(made.status).toBe(0);
  };
  issue("a");
  issue("b");
  await writeFile(file("garbage"), "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n");
  const serve = (cert: string, key: string, ca: string) => {
    const url = "https://127.0.0.1:1";
    const urls = ["--listen-peer-urls", url, "--initial-advertise-peer-urls", url, "--initial-cluster", `default=${url}`];
    const files = ["--peer-cert-file", file(cert), "--peer-key-file", file(key), "--peer-trusted-ca-file", file(ca)];
    return run("serve", "--data-dir", file("data"), "--listen-client-urls", "http://127.0.0.1:0", ...urls, ...files);
  };
  const cases = [
    [serve("none", "a.key", "a.pem"), `--peer-cert-file is "${file("none")}", which does not exist`],
    [serve("garbage", "a.key", "a.pem"), `--peer-cert-file is "${file("garbage")}", whose certificate 1 cannot be read: `],
    [serve("a.pem", "garbage", "a.pem"), `--peer-key-file is "${file("garbage")}", which holds no private key in PEM`],
    [serve("a.pem", "a.key", "garbage"), `--peer-trusted-ca-file is "${file("garbage")}", whose certificate 1 cannot be read: `],
    [
      serve("a.pem", "b.key", "a.pem"),
      `--peer-key-file is "${file("b.key")}", which is not the key of the certificate in --peer-cert-file "${file("a.pem")}"`,
    ],
  ] as const;
  for (const [{ status, stdout, stderr }, told] of cases) {
    expect([status, stdout, stderr]).toEqual([2, "", expect.stringMatching(/^quorate: .*\n$/)]);
    expect(stderr).toContain(told);
  }
  expect(existsSync(file("data"))).toBe(false);
  await rm(directory, { recursive: true });
});

test("a member that is to join goes on asking while nobody answers", async () => {
  const directory = await mkdtemp(join(tmpdir(), "quorate-join-"));
  const [own, other] = [await freePort(), await freePort()].map((port) => `http://127.0.0.1:${port}`);
  const cluster = ["--initial-cluster-state", "existing", "--initial-cluster", `a=${own},b=${other}`];
  const addresses = ["--listen-peer-urls", own!, "--initial-advertise-peer-urls", own!, "--listen-client-urls", "http://127.0.0.1:0"];
  const script = join(PROJECT_ROOT, "runtime-node", "quorate.js");
  const member = spawn(process.execPath, [script, "serve", "--name", "a", "--data-dir", directory, ...cluster, ...addresses]);
  let log = "";
  const ended = once(member, "exit");
  await new Promise<void>((resolve) => {
    member.once("exit", () => resolve());
    member.stderr.on("data", (piece: Buffer) => {
      log += piece.toString();
      if (log.split("asking again").length > 2) resolve();
    });
  });
  expect(member.exitCode, log).toBeNull();
  expect(log).toContain(`${other}: connect ECONNREFUSED`);
  member.kill("SIGKILL");
  await ended;
  await rm(directory, { recursive: true });
});

describe("the command line", () => {
  test("--version and --help answer, with examples, and end well", () => {
    expect(run("--version")).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    const help = run("serve", "--help");
    expect(help).toMatchObject({ status: 0, stderr: "" });
    expect(help.stdout).toContain("--data-dir <DIR>");
    expect(help.stdout).toContain("Examples:");
  });

  test.each([
    [["serve", "--data-dri", "x"], "Did you mean --data-dir?"],
    [["serve", "--snapshot-count"], "argument missing"],
    [["serve", "--snapshot-count=none"], '--snapshot-count is "none"; wanted: a whole number'],
    [["serve", "--enable-v2=perhaps"], '--enable-v2 is "perhaps"; wanted: true or false'],
    [["serve", "--peer-client-cert-file", "x"], "--peer-client-cert-file is not taken: one certificate serves both directions"],
    [["serve", "-pre-vote=true"], "--pre-vote is not taken: the consensus is another one"],
    [["serve", "--initial-cluster", "a=http://a:1,b=http://b:1"], "default=http://localhost:2380"],
    [["serve", "extra"], "too many arguments"],
    [["sevre"], "Did you mean serve?"],
  ])("%j ends with 2 and says why", (args, message) => {
    const { status, stderr } = run(...args);
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });
});

describe("a server", () => {
  test("prints where it listens, its data directory and a line to try", async () => {
    const server = await start();
    const output = server.output();
    expect(output).toContain(`Listening on ${server.url}\n`);
    expect(output).toContain(`Data in ${server.dataDir}\n`);
    expect(output).toContain(`curl ${server.url}/v2/keys/greeting -XPUT -d value=hello`);
  });

  test.each(["SIGTERM", "SIGINT"] as const)("ends with 0 on %s, and what it acknowledged is there after the next start", async (signal) => {
    const first = await start();
    for (let n = 0; n < 20; n++) expect((await put(first.url, `k${n}`, `v${n}`)).status).toBe(201);
    expect(await first.kill(signal)).toEqual({ code: 0, signal: null });
    const second = await start({ dataDir: first.dataDir });
    for (let n = 0; n < 20; n++) expect(await get(second.url, `k${n}`)).toBe(`v${n}`);
  });

  test("ends with 0 while watches are open and writes are under way: each is answered or refused", async () => {
    const server = await start();
    const watch = await fetch(`${server.url}/v2/keys/never?wait=true`);
    const ended = watch.text().then(
      () => "ended",
      () => "cut",
    );
    const outcomes = Array.from({ length: 100 }, (_, n) =>
      put(server.url, `w${n}`, "x").then(
        (reply) => reply.status,
        () => 0,
      ),
    );
    await Promise.race(outcomes);
    expect(await server.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(await ended).toBe("ended");
    const statuses = await Promise.all(outcomes);
    expect(statuses.filter((status) => ![201, 500, 503, 0].includes(status))).toEqual([]);
    const again = await start({ dataDir: server.dataDir });
    for (const [n, status] of statuses.entries()) if (status === 201) expect(await get(again.url, `w${n}`)).toBe("x");
  });

  test("ends with care when the first signal is told twice, as a Ctrl-C is by what stands between", async () => {
    const server = await start();
    server.signal("SIGINT");
    expect(await server.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(server.output()).toContain('"ended"');
  });

  test("is back after kill -9 with everything it acknowledged", async () => {
    const first = await start();
    expect((await put(first.url, "k", "v")).status).toBe(201);
    await first.kill("SIGKILL");
    const second = await start({ dataDir: first.dataDir });
    expect(await get(second.url, "k")).toBe("v");
  });

  test("refuses a data directory that another one has open, naming it", async () => {
    const first = await start();
    const second = await start({ dataDir: first.dataDir, waitReady: false });
    expect(await second.exited).toEqual({ code: 1, signal: null });
    expect(second.output()).toContain(`${first.dataDir}`);
    expect(second.output()).toContain("in use by another process");
    expect((await put(first.url, "k", "v")).status).toBe(201);
  });

  test("refuses a port in use, naming it and the flag", async () => {
    const first = await start();
    const second = await start({ port: first.port, waitReady: false });
    expect(await second.exited).toEqual({ code: 1, signal: null });
    expect(second.output()).toContain(`127.0.0.1:${first.port} is in use by another program`);
    expect(second.output()).toContain("--listen-client-urls");
    const third = await start({ flags: ["--listen-metrics-urls", first.url], waitReady: false });
    expect(await third.exited).toEqual({ code: 1, signal: null });
    expect(third.output()).toContain("--listen-metrics-urls");
  });

  test("refuses a data directory that it cannot make", async () => {
    const server = await start({ dataDir: "/dev/null/place", waitReady: false });
    expect((await server.exited).code).toBe(1);
    expect(server.output()).toContain("/dev/null/place");
  });

  test("takes settings from the environment, and warns of variables that are none", async () => {
    const server = await start({ env: { QUORATE_MAX_TXN_OPS: "1", QUORATE_DATADIR: "x" } });
    const operation = { request_range: { key: "YQ==" } };
    const reply = await fetch(`${server.url}/v3/kv/txn`, { method: "POST", body: JSON.stringify({ success: [operation, operation] }) });
    expect(await reply.text()).toContain("too many operations");
    expect(server.output()).toContain("QUORATE_DATADIR is no setting");
  });

  test("without v2 answers its paths with 404", async () => {
    const server = await start({ flags: ["--enable-v2=false"] });
    expect((await fetch(`${server.url}/v2/keys/a`)).status).toBe(404);
  });

  test("advertises where it listens, or what it is told to", async () => {
    const told = await start({ flags: ["--advertise-client-urls", "http://elsewhere.example:1234"] });
    expect(await (await fetch(`${told.url}/v2/machines`)).text()).toBe("http://elsewhere.example:1234");
  });

  test("serves metrics and health on an address of their own", async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    await start({ flags: ["--listen-metrics-urls", url] });
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect(await (await fetch(`${url}/metrics`)).text()).toContain("etcd_server_has_leader 1");
    expect((await fetch(`${url}/v2/keys/a`)).status).toBe(404);
  });

  test("is not moved by a flood of garbage", async () => {
    const server = await start();
    await Promise.all(
      Array.from({ length: 50 }, (_, n) => {
        const socket = connect(server.port, "127.0.0.1");
        socket.on("error", () => {}); // being reset is an answer
        socket.end(String.fromCharCode(...Array.from({ length: 2_000 }, (_unused, at) => (n * 7 + at * 13) % 256)), "latin1");
        socket.resume();
        return new Promise((resolve) => socket.once("close", resolve));
      }),
    );
    expect((await put(server.url, "k", "v")).status).toBe(201);
  });
});
