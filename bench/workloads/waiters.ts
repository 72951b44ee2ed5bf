/**
 * 1,000 who wait for one lock, each with a connection of its own: what a waiter costs in memory, and how long it takes from a release until
 * the next one knows, over v1; etcd's waiters over its v3 gateway.
 */
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServerProcess } from "../../test/helpers/start-server.ts";
import { contenders, withServers } from "../contender.ts";
import { median } from "../load/load-result.ts";
import { base64 } from "../load/requests.ts";
import { residentMegabytes } from "../resident-memory.ts";
import type { Progress, Row } from "../row.ts";

const WAITERS = 1_000;
const RELEASES = 200;
const SETTLE_MS = 2_000;

interface Side {
  /** Resolves when this one has the lock. */
  acquire(id: number): Promise<void>;
  release(id: number): Promise<void>;
}

export async function waiters({ progress }: { readonly progress: Progress }): Promise<Row[]> {
  const figures: { kilobytes: number; handover: number }[] = [];
  for (const contender of contenders()) {
    const found = await withServers([contender], [], ([server]) => measure(server!, contender.name === "quorate" ? v1 : gateway));
    progress(`${contender.name}: ${JSON.stringify(found)}`);
    figures.push(found);
  }
  const [ours, etcd] = figures as [(typeof figures)[0], (typeof figures)[0]?];
  const workload = `${WAITERS.toLocaleString("en-US")} wait for one lock`;
  return [
    { workload, measure: "memory kB a waiter", ours: ours.kilobytes, etcd: etcd?.kilobytes },
    { workload, measure: "release to next p50 ms", ours: ours.handover, etcd: etcd?.handover },
  ];
}

async function measure(server: ServerProcess, sideOf: (post: Post) => Side): Promise<{ kilobytes: number; handover: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  try {
    const side = sideOf(poster(server, agent));
    await side.acquire(1);
    await sleep(SETTLE_MS);
    const before = residentMegabytes(server.pid);
    const turns = new Map<number, Promise<void>>();
    // One after another, so that it is known who is next.
    for (let id = 2; id < WAITERS + 2; id++) {
      const turn = side.acquire(id);
      turn.catch(() => {}); // cut off at the end
      turns.set(id, turn);
      if (id % 20 === 0) await sleep(20);
    }
    await sleep(SETTLE_MS);
    const kilobytes = ((residentMegabytes(server.pid) - before) * 1024) / WAITERS;
    const times: number[] = [];
    let holder = 1;
    for (let n = 0; n < RELEASES; n++) {
      const begun = performance.now();
      const next = Promise.race([...turns].map(([id, turn]) => turn.then(() => id)));
      await side.release(holder);
      holder = await next;
      times.push(performance.now() - begun);
      turns.delete(holder);
    }
    return { kilobytes, handover: median(times) };
  } finally {
    agent.destroy();
  }
}

type Post = (method: string, path: string, body?: object) => Promise<void>;

const v1 = (post: Post): Side => ({
  acquire: (id) => post("POST", `/v1/locks/one?id=${id}&ttl=5m&wait=55s`),
  release: (id) => post("DELETE", `/v1/locks/one/${id}`),
});

const gateway = (post: Post): Side => ({
  acquire: async (id) => {
    await post("POST", "/v3/lease/grant", { TTL: "300", ID: String(id) });
    await post("POST", "/v3/lock/lock", { name: base64("one"), lease: String(id) });
  },
  release: (id) => post("POST", "/v3/lock/unlock", { key: base64(`one/${id.toString(16)}`) }),
});

function poster({ port }: ServerProcess, agent: Agent): Post {
  return (method, path, body) =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? "" : JSON.stringify(body);
      const sent = request(
        { host: "127.0.0.1", port, method, path, agent, headers: { "content-length": Buffer.byteLength(text) } },
        (reply) => {
          reply.resume();
          reply.once("end", () => (reply.statusCode! < 400 ? resolve() : reject(new Error(`${method} ${path}: ${reply.statusCode}`))));
        },
      );
      sent.on("error", reject);
      sent.end(text);
    });
}
