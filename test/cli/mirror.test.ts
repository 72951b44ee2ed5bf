/**
 * `quorate mirror` as a process that is killed again and again, while clients write to the source, up to the cut-over: everything that the source
 * has acknowledged is at the destination, and nothing else.
 */
import { afterAll, describe, expect, test } from "vitest";
import { connect, isUnknown } from "../../client/client.ts";
import { etcdWire } from "../../client/etcd.ts";
import type { ClientStore } from "../../client/http-store.ts";
import { utf8Decode, utf8Encode } from "../../core/bytes/utf8.ts";
import { ZERO } from "../../core/bytes/bytes.ts";
import { deleteOp, oneKey, putOp, readOf, txnOf } from "../../core/recipes/requests.ts";
import { Program } from "../clients/program.ts";
import { Chance } from "../helpers/chance.ts";
import { type CommandResult, runCommand } from "../helpers/run-command.ts";
import { Cluster } from "../helpers/start-cluster.ts";
import { etcdVersion, startEtcd } from "../helpers/start-etcd.ts";
import { startQuorateWorker, workerd } from "../helpers/start-quorate-worker.ts";
import { QUORATE_SCRIPT, startQuorate } from "../helpers/start-quorate.ts";
import { untilTrue } from "../helpers/until-ready.ts";

interface Running {
  readonly urls: readonly string[];
  stop(): Promise<unknown>;
  /** Does something bad to it, once. */
  hurt?(): Promise<void>;
}

const started: Running[] = [];
afterAll(() => Promise.all(started.splice(0).map((one) => one.stop())));

async function running(start: () => Promise<Running>): Promise<Running> {
  const one = await start();
  started.push(one);
  return one;
}

const node = async (): Promise<Running> => {
  const server = await startQuorate();
  return { urls: [server.url], stop: () => server.stop() };
};
const etcd = async (): Promise<Running> => {
  const server = await startEtcd();
  return { urls: [server.url], stop: () => server.stop() };
};
const object = async (): Promise<Running> => {
  const server = await startQuorateWorker();
  return { urls: [`${server.url}/ns/moved`], stop: () => server.stop() };
};
const cluster = async (): Promise<Running> => {
  const members = await Cluster.start({ size: 3 });
  await members.untilLeader();
  const hurt = async (): Promise<void> => {
    const leader = await members.untilLeader();
    await members.member(leader).process.kill("SIGKILL");
    await members.restart(leader);
  };
  return { urls: members.urls, stop: () => members.stop(), hurt };
};

const quorate = (...args: string[]): Promise<CommandResult> => runCommand(process.execPath, [QUORATE_SCRIPT, ...args], 60_000);
const mirrorArgs = (from: Running, to: Running, ...more: string[]) => [
  "mirror",
  "--endpoints",
  from.urls.join(","),
  to.urls.join(","),
  ...more,
];

/** Writes as fast as it is answered, until nothing is written any more; what was acknowledged, and what may have been. */
class Writer {
  /** Value of each key; null: deleted. */
  readonly acknowledged = new Map<string, string | null>();
  readonly unsure = new Set<string>();
  writes = 0;
  /** Resolves when it may write. */
  turn = Promise.resolve();
  readonly #store: ClientStore;
  readonly #name: string;

  constructor(urls: readonly string[], name: string) {
    this.#store = connect({ endpoints: urls, wire: etcdWire(), retry: { attempts: 100 } }).store;
    this.#name = name;
  }

  async run(): Promise<void> {
    for (let n = 1; ; n++) {
      const isDelete = n % 7 === 0;
      // Most are written once: a change that is lost is not made good by the next one.
      const key = `app/${this.#name}/${isDelete ? n - 4 : n}`;
      const at = oneKey(utf8Encode(key));
      await this.turn;
      const both = oneKey(utf8Encode(`app/${this.#name}/last`));
      try {
        const write = isDelete ? deleteOp(at) : putOp(at.key, utf8Encode(`${n} é`));
        await this.#store.txn(txnOf([], [write, putOp(both.key, utf8Encode(`${n}`))]));
        this.acknowledged.set(key, isDelete ? null : `${n} é`).set(`app/${this.#name}/last`, `${n}`);
        this.unsure.delete(key);
        this.writes++;
      } catch (error) {
        if ((error as { reason?: string }).reason === "corrupt" || /corrupt cluster/.test(String(error))) return;
        if (!isUnknown(error)) throw error;
        this.unsure.add(key);
      }
    }
  }
}

async function contentOf({ urls }: Running): Promise<Map<string, string>> {
  const { store } = connect({ endpoints: urls, wire: etcdWire() });
  const { kvs } = await store.range(readOf({ key: ZERO, end: ZERO }));
  return new Map(kvs.filter(({ key }) => !key.startsWith("/quorate/")).map(({ key, value }) => [utf8Decode(key), utf8Decode(value)]));
}

const WAYS = [
  { name: "three members, whose leader is killed, to a Durable Object", from: cluster, to: object, skip: workerd === undefined },
  { name: "a Durable Object to a member", from: object, to: node, skip: workerd === undefined },
  { name: "etcd to a member", from: etcd, to: node, skip: etcdVersion() === undefined },
];
const SEED = Date.now() % 1_000_000;

describe.concurrent(`a mirror that is killed, seed ${SEED}`, () => {
  test.each(WAYS)("from $name loses nothing", { timeout: 120_000 }, async ({ from, to, skip, name }) => {
    if (skip) return;
    const chance = new Chance(SEED, name);
    const [source, dest] = [await running(from), await running(to)];
    await quorate("lease", "grant", "600", "--endpoints", source.urls[0]!);
    const leased = /lease ([0-9a-f]+)/.exec((await quorate("lease", "grant", "300", "--endpoints", source.urls[0]!)).stdout)![1]!;
    await quorate("put", "app/leased", "1", `--lease=${leased}`, "--endpoints", source.urls[0]!);
    const writers = ["a", "b", "c"].map((one) => new Writer(source.urls, one));
    const writing = Promise.all(writers.map((writer) => writer.run()));
    for (let kills = 0; kills < 4; kills++) {
      const mirror = new Program(process.execPath, [QUORATE_SCRIPT, ...mirrorArgs(source, dest)]);
      await new Promise((resolve) => setTimeout(resolve, chance.int(600, 1_800)));
      await mirror.kill("SIGKILL");
      expect(mirror.stderr).toBe("");
      if (kills === 1) await source.hurt?.();
    }
    // Changes alone, without a cut-over, which compares everything, make the destination what the source is.
    let resume = (): void => {};
    const paused = new Promise<void>((resolve) => (resume = resolve));
    for (const writer of writers) writer.turn = paused;
    const mirror = new Program(process.execPath, [QUORATE_SCRIPT, ...mirrorArgs(source, dest)]);
    const isSame = async () => JSON.stringify([...(await contentOf(dest))]) === JSON.stringify([...(await contentOf(source))]);
    await untilTrue(isSame, { what: () => `the destination has what the source has ${mirror.stderr}`, timeoutMs: 30_000 });
    await mirror.kill("SIGKILL");
    resume();
    const status = await quorate(...mirrorArgs(source, dest, "--status"));
    expect(status.stdout).toMatch(/^"" to "": (copying|following), revision \d+ of the source, which is at \d+\n$/);
    const cut = await quorate(...mirrorArgs(source, dest, "--cut-over", "--allow-lower-revision"));
    expect(cut.stderr).toBe("");
    expect(cut.stdout).toMatch(/^\d+ keys and 2 leases are at the destination as they were at revision \d+ of the source/);
    await writing;

    const there = await contentOf(dest);
    expect(there).toEqual(await contentOf(source));
    const lost: string[] = [];
    for (const { acknowledged, unsure } of writers) {
      for (const [key, value] of acknowledged)
        if (!unsure.has(key) && (there.get(key) ?? null) !== value) lost.push(`${key} ${value} ${there.get(key)}`);
    }
    const sure = lost.filter((line) => !line.includes("/last "));
    expect(sure).toEqual([]);
    expect(writers.reduce((sum, { writes }) => sum + writes, 0)).toBeGreaterThan(100);

    const lease = await quorate("lease", "timetolive", leased, "--keys", "--endpoints", dest.urls[0]!);
    expect(lease.stdout).toMatch(/granted with TTL\(300s\), remaining\(\d+s\), attached keys\(\[app\/leased\]\)/);
    const again = await quorate(...mirrorArgs(source, dest));
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("has taken the source's place already")]);
    const thaw = await quorate(...mirrorArgs(source, dest, "--thaw"));
    expect([thaw.code, thaw.stderr]).toEqual([0, ""]);
    expect((await quorate("put", "app/x", "1", "--endpoints", source.urls[0]!)).stdout).toBe("OK\n");
  });
});

describe("a mirror", () => {
  const json = (text: string) => ({ method: "PUT", body: text, headers: { "content-type": "application/json" } });

  test("takes a part under another prefix, with content types, and goes on behind a compaction", { timeout: 60_000 }, async () => {
    const [source, dest] = [await running(node), await running(node)];
    const [from, to] = [source.urls[0]!, dest.urls[0]!];
    await fetch(`${from}/v1/kv/app/config`, json('{"a":1}'));
    await fetch(`${from}/v1/kv/app/%FF%00`, { method: "PUT", body: Uint8Array.of(0, 255) });
    await fetch(`${from}/v1/kv/other`, json("1"));
    await fetch(`${to}/v1/kv/copy/old`, json("1"));
    const args = [...mirrorArgs(source, dest), "--prefix", "app/", "--dest-prefix", "copy/"];
    const refused = await quorate(...args);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining('the destination has 1 keys there already, "copy/old" the first'),
    ]);
    const mirror = new Program(process.execPath, [QUORATE_SCRIPT, ...args, "--overwrite"]);
    const until = async (path: string, status: number) => {
      await untilTrue(async () => (await fetch(`${to}/v1/kv/${path}`)).status === status, {
        what: () => `${path} is ${status} ${mirror.stderr}`,
      });
    };
    await until("copy/config", 200);
    await until("copy/old", 404);
    await fetch(`${from}/v1/kv/app/later`, json("1"));
    await until("copy/later", 200);
    mirror.signal("SIGTERM");
    const { code, stdout } = await mirror.ended;
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^\d+ changes taken over; following at revision \d+ of the source\n$/)]);

    await fetch(`${from}/v1/kv/app/later`, { method: "DELETE" });
    await fetch(`${from}/v1/kv/app/newest`, json("1"));
    const { revision } = (await (await fetch(`${from}/v1/kv?prefix=app/`)).json()) as { revision?: number };
    expect(revision ?? 0).toBeGreaterThanOrEqual(0);
    await quorate("compact", String(revision ?? 7), "--endpoints", from);
    for (let n = 0; n < 100; n++) await fetch(`${from}/v1/kv/other`, json(String(n)));
    const cut = await quorate(...args, "--cut-over");
    expect([cut.code, cut.stderr]).toEqual([1, expect.stringContaining("fencing tokens and numbers of messages would be given out twice")]);
    expect((await fetch(`${from}/v1/kv/app/newest`, json("2"))).status).toBe(200); // nothing was frozen
    const allowed = await quorate(...args, "--cut-over", "--allow-lower-revision");
    expect([allowed.code, allowed.stdout]).toEqual([0, expect.stringMatching(/^3 keys and 0 leases/)]);
    const config = await fetch(`${to}/v1/kv/copy/config`);
    expect([config.headers.get("content-type"), await config.text()]).toEqual(["application/json", '{"a":1}']);
    expect(new Uint8Array(await (await fetch(`${to}/v1/kv/copy/%FF%00`)).arrayBuffer())).toEqual(Uint8Array.of(0, 255));
    expect((await fetch(`${to}/v1/kv/copy/later`)).status).toBe(404);
    for (const [path, method] of [
      ["v1/kv/app/x", "PUT"],
      ["v2/keys/x?value=1", "PUT"],
      ["v1/kv/app/newest", "DELETE"],
    ]) {
      expect((await fetch(`${from}/${path}`, { method: method! })).ok, `${method} ${path}`).toBe(false);
    }
  });

  test("refuses to go round, and a destination that is the source", { timeout: 60_000 }, async () => {
    const [one, other] = [await running(node), await running(node)];
    await fetch(`${one.urls[0]}/v1/kv/a`, json("1"));
    const there = new Program(process.execPath, [QUORATE_SCRIPT, ...mirrorArgs(one, other)]);
    await untilTrue(async () => (await fetch(`${other.urls[0]}/v1/kv/a`)).status === 200, { what: () => there.stderr });
    const back = await quorate(...mirrorArgs(other, one, "--overwrite"));
    expect([back.code, back.stderr]).toEqual([1, expect.stringContaining("changes would go round for ever")]);
    const same = await quorate(...mirrorArgs(one, one, "--dest-prefix", "copy/"));
    expect([same.code, same.stderr]).toEqual([1, expect.stringContaining("it would mirror its own writes")]);
    const second = new Program(process.execPath, [QUORATE_SCRIPT, ...mirrorArgs(one, other)]);
    // Whoever writes after the other is told.
    for (let n = 0; n < 100 && !/another mirror/.test(there.stderr + second.stderr); n++) {
      await fetch(`${one.urls[0]}/v1/kv/n`, json(String(n)));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(there.stderr + second.stderr).toContain("another mirror writes to this destination");
    await Promise.all([there.kill("SIGKILL"), second.kill("SIGKILL")]);
  });
});
