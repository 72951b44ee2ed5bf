/** Data directories of earlier builds (fixtures/README.md) are opened by this one, and nothing of them is lost. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { freePort } from "../helpers/free-port.ts";
import { PROJECT_ROOT, startQuorate } from "../helpers/start-quorate.ts";
import { type ServerProcess, startServer } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { base64, callV3, callV3Until } from "./http.ts";

const FIXTURES = join(import.meta.dirname, "fixtures");
const EVERYTHING = { key: base64("\0"), range_end: base64("\0") };
const agent = new Agent({ keepAlive: true });

interface Kept {
  readonly revision: string;
  readonly clusterId: string;
  readonly kvs: readonly unknown[];
}

function unpack(name: string): { directory: string; kept: Kept } {
  const directory = tempDir("upgrade");
  execFileSync("tar", ["-xzf", join(FIXTURES, `${name}.tar.gz`), "-C", directory]);
  return { directory, kept: JSON.parse(readFileSync(join(FIXTURES, `${name}.json`), "utf8")) as Kept };
}

async function everything(url: string): Promise<Kept> {
  const { header, kvs } = await callV3<{ header: Record<string, string>; kvs: unknown[] }>(agent, url, "/v3/kv/range", EVERYTHING);
  return { revision: header["revision"]!, clusterId: header["cluster_id"]!, kvs };
}

test("a member alone from before clusters goes on as a cluster of one, and can grow", async () => {
  const { directory, kept } = unpack("alone");
  for (const time of ["first", "second"]) {
    const server = await startQuorate({ dataDir: join(directory, "alone") });
    try {
      const found = await everything(server.url);
      expect({ ...found, revision: kept.revision, kvs: found.kvs.slice(0, kept.kvs.length) }, time).toEqual(kept);
      const lease = await callV3<{ grantedTTL: string; keys: string[] }>(agent, server.url, "/v3/lease/timetolive", {
        ID: "77",
        keys: true,
      });
      expect(lease).toMatchObject({ grantedTTL: "100000", keys: [base64("leased")] });
      await callV3(agent, server.url, "/v3/kv/put", { key: base64("zzz"), value: base64(time) });
      const { members } = await callV3<{ members: { peerURLs: string[] }[] }>(agent, server.url, "/v3/cluster/member/list", {});
      expect(members.map(({ peerURLs }) => peerURLs)).toEqual([["http://localhost:2380"]]);
      await server.kill("SIGKILL");
    } finally {
      await server.stop();
    }
  }
});

// The members' addresses are in their data: on an address of the loopback network that no other test uses, which only Linux has.
test.skipIf(process.platform !== "linux")(
  "three members of the first build with clusters restart one by one, under writes",
  { timeout: 60_000 },
  async () => {
    const { directory, kept } = unpack("three");
    const ports = await Promise.all([1, 2, 3].map(() => freePort()));
    const start = (n: number): Promise<ServerProcess> => {
      const url = `http://127.0.0.1:${ports[n - 1]}`;
      const addresses = ["--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", `http://127.0.0.23:1824${n}`];
      const dataDir = join(directory, `m${n}`);
      const args = [join(PROJECT_ROOT, "runtime-node", "quorate.js"), "serve", "--name", `m${n}`, "--data-dir", dataDir, ...addresses];
      return startServer({ name: `m${n}`, command: process.execPath, args, port: ports[n - 1]!, dataDir, waitReady: false });
    };
    const servers = await Promise.all([1, 2, 3].map(start));
    try {
      await Promise.all(servers.map((server) => server.untilReady()));
      expect(await everything(servers[0]!.url)).toEqual(kept);
      for (const n of [1, 2, 3]) {
        await servers[n - 1]!.kill("SIGTERM");
        await callV3Until(agent, servers[n % 3]!.url, "/v3/kv/put", { key: base64(`zzz${n}`), value: "" });
        servers[n - 1] = await start(n);
        await servers[n - 1]!.untilReady();
      }
      for (const { url } of servers) {
        const found = await everything(url);
        expect(found.kvs.slice(0, kept.kvs.length)).toEqual(kept.kvs);
        expect(found.kvs).toHaveLength(kept.kvs.length + 3);
      }
    } finally {
      await Promise.all(servers.map((server) => server.stop()));
    }
  },
);
