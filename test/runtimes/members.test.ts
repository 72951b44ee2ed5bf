/** Deno and Bun as members: clusters with Node, over TCP and TLS, in which leaders are killed; crashes under load; and what is refused. */
import { execFileSync } from "node:child_process";
import { Agent } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { CrashRun } from "../cluster/crash-run.ts";
import { base64, callV3, callV3Until, fromBase64 } from "../cluster/http.ts";
import { Authority, hasOpenssl } from "../helpers/authority.ts";
import { freePort } from "../helpers/free-port.ts";
import { runCommand } from "../helpers/run-command.ts";
import { type RuntimeName, runtime } from "../helpers/runtimes.ts";
import { Cluster } from "../helpers/start-cluster.ts";
import { etcdVersion } from "../helpers/start-etcd.ts";
import { PROJECT_ROOT, QUORATE_SCRIPT, startQuorate } from "../helpers/start-quorate.ts";
import { type ServerProcess, startServer } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";

const agent = new Agent({ keepAlive: true });
const clusters: Cluster[] = [];
const servers: ServerProcess[] = [];
const deno = runtime("deno");
const bun = runtime("bun");
const SEED = Date.now() % 1_000_000;

afterEach(async () => {
  await Promise.all([...clusters.splice(0).map((cluster) => cluster.stop()), ...servers.splice(0).map((server) => server.stop())]);
});

async function startMixed(names: readonly RuntimeName[], options: { scheme?: "https"; flags?: readonly string[] } = {}): Promise<Cluster> {
  const cluster = await Cluster.start({
    size: names.length,
    runtime: (member) => runtime(names[Number(member.slice(1)) - 1]!)!,
    ...options,
  });
  clusters.push(cluster);
  return cluster;
}

/** Every member leads once and is killed as the leader; nothing that was acknowledged is missing on any of them at the end. */
async function survivesEachLeader(cluster: Cluster): Promise<void> {
  const written: string[] = [];
  const put = async (url: string, key: string): Promise<void> => {
    await callV3Until(agent, url, "/v3/kv/put", { key: base64(key), value: base64(key) });
    written.push(key);
  };
  for (const { name } of cluster.members) {
    await untilLeads(cluster, name);
    await put(cluster.member(name).url, `before-${name}`);
    await cluster.member(name).process.kill("SIGKILL");
    const others = cluster.members.filter((one) => one.name !== name);
    await cluster.untilLeader(others.map((one) => one.name));
    await put(others[0]!.url, `without-${name}`);
    await cluster.restart(name);
    await cluster.untilLeader();
  }
  for (const url of cluster.urls) {
    for (const key of written) {
      const { kvs } = await callV3<{ kvs?: { value: string }[] }>(agent, url, "/v3/kv/range", { key: base64(key) });
      expect(kvs?.map(({ value }) => fromBase64(value))).toEqual([key]);
    }
  }
  const hashes = new Set<string>();
  for (const url of cluster.urls) hashes.add((await callV3<{ hash: number }>(agent, url, "/v3/maintenance/hash", {})).hash.toString());
  expect([...hashes]).toHaveLength(1);
}

/** Leadership is asked to move until it has. */
async function untilLeads(cluster: Cluster, name: string): Promise<void> {
  await untilTrue(
    async () => {
      const leader = await cluster.untilLeader();
      if (leader === name) return true;
      const { id } = (await cluster.statuses()).get(name)!;
      await fetch(`${cluster.member(leader).url}/v3/maintenance/transfer-leadership`, {
        method: "POST",
        body: JSON.stringify({ targetID: id }),
      });
      return false;
    },
    { what: () => `${name} leads` },
  );
}

describe.skipIf(deno === undefined || bun === undefined)("members on Node, Deno and Bun (skipped where one is not installed)", () => {
  test("agree, and each may lead and be killed", { timeout: 60_000 }, async () => {
    await survivesEachLeader(await startMixed(["node", "deno", "bun"]));
  });
});

describe.skipIf(deno === undefined || !hasOpenssl())("Deno over TLS (skipped where it or openssl is not installed)", () => {
  test("members on Node and Deno meet over mTLS, and each may lead and be killed", { timeout: 60_000 }, async () => {
    const authority = new Authority(tempDir("tls"));
    const { cert, key } = authority.issue("member");
    const flags = ["--peer-cert-file", cert, "--peer-key-file", key, "--peer-trusted-ca-file", authority.cert];
    await survivesEachLeader(await startMixed(["node", "deno", "deno"], { scheme: "https", flags }));
  });

  test.skipIf(etcdVersion() === undefined)("etcdctl speaks gRPC over mTLS, and is refused without a certificate", async () => {
    const authority = new Authority(tempDir("tls"));
    const [issued, client] = [authority.issue("server"), authority.issue("client")];
    const [plain, secure] = [await freePort(), await freePort()];
    const url = `https://127.0.0.1:${secure}`;
    const flags = [
      ...["--listen-client-urls", `http://127.0.0.1:${plain},${url}`, "--cert-file", issued.cert, "--key-file", issued.key],
      ...["--client-cert-auth", "--trusted-ca-file", authority.cert],
    ];
    servers.push(await startQuorate({ runtime: deno!, port: plain, flags }));
    const etcdctl = (...args: string[]) =>
      runCommand("etcdctl", ["--endpoints", url, "--cacert", authority.cert, "--dial-timeout=2s", "--command-timeout=3s", ...args], 20_000);
    const keys = ["--cert", client.cert, "--key", client.key];
    expect(await etcdctl(...keys, "put", "k", "v")).toMatchObject({ code: 0, stdout: "OK\n" });
    expect(await etcdctl(...keys, "get", "k")).toMatchObject({ code: 0, stdout: "k\nv\n" });
    expect((await etcdctl("get", "k")).code).not.toBe(0);
  });
});

describe.each(["deno", "bun"] as const)("a member on %s", (name) => {
  const found = runtime(name);
  if (found === undefined) {
    test.skip(`${name} has no package for this platform and is not on the path`);
    return;
  }

  test(`kill -9 under load loses nothing (seed ${SEED})`, { timeout: 60_000 }, async () => {
    const start = (at: ServerProcess | undefined): Promise<ServerProcess> =>
      startQuorate({ runtime: found, ...(at && { port: at.port, dataDir: at.dataDir }), flags: ["--snapshot-count", "500"] });
    const { faults, cycles, acknowledged } = await new CrashRun({
      seed: SEED,
      start,
      endings: ["kill", "garbage", "terminate"],
      cycles: 4,
    }).run();
    expect({ seed: SEED, faults, cycles }).toEqual({ seed: SEED, faults: [], cycles: 4 });
    expect(acknowledged).toBeGreaterThan(60);
  });

  test("a setting that it cannot do ends the start with 2 and the reason", async () => {
    const asked = name === "deno" ? ["--client-crl-file", "list.pem"] : ["--listen-client-urls", "https://127.0.0.1:1", "--auto-tls"];
    const args = [...found.args, QUORATE_SCRIPT, "serve", "--data-dir", tempDir("refused"), ...asked];
    const { code, stderr } = await runCommand(found.command, args, 20_000);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/^quorate: --[a-z-]+ .*(Deno|Bun) [\d.]+.*Node/) });
  });
});

test.skipIf(deno === undefined)("deno task start serves from the sources", async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const args = ["task", "--cwd", PROJECT_ROOT, "start", "--data-dir", tempDir("task"), "--listen-client-urls", url];
  const server = await startServer({ name: "deno task", command: deno!.command, args, port, dataDir: "" });
  try {
    await callV3(agent, url, "/v3/kv/put", { key: base64("k"), value: base64("v") });
    expect(server.output()).toMatch(/"runtime":"Deno \d/);
  } finally {
    await server.kill("SIGTERM"); // the task ends its server; SIGKILL would leave that alone
  }
});

test.skipIf(bun === undefined)("Bun says at the start that it serves no gRPC, and answers plain HTTP/2 with an error", async () => {
  const server = await startQuorate({ runtime: bun! });
  servers.push(server);
  expect(server.output()).toContain("gRPC is not served on Bun");
  const answer = execFileSync(
    "bash",
    [
      "-c",
      `exec 3<>/dev/tcp/127.0.0.1/${server.port}; printf 'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' >&3; timeout 5 head -1 <&3 || true`,
    ],
    {
      encoding: "utf8",
    },
  );
  expect(answer).toMatch(/^HTTP\/1\.1 4\d\d/);
  expect((await fetch(`${server.url}/version`)).status).toBe(200);
});
