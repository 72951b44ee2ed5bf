/**
 * What a process does with each recipe, and what must be true afterwards, whichever of its requests was the last that it made. `act` is done
 * by a process that is killed or stopped on the way, and then, by another, to its end: what the first one left must not be in its way.
 */
import { type FullClient, isUnknown, text } from "../../client/all.ts";
import { ascii } from "../../core/bytes/bytes.ts";
import { isQuorateError } from "../../core/errors.ts";
import { acquireRead } from "../../core/recipes/rwlock.ts";
import { setLimit, takeFromLimit } from "../../core/recipes/limit.ts";
import { keysUnder, readOf } from "../../core/recipes/requests.ts";
import type { Hold } from "../../core/recipes/hold.ts";
import type { Revision } from "../../testing/memory-member.ts";
import { checkLine, checkReadersAndWriters, checkRounds, checkSemaphore } from "../simulation/recipes/invariants.ts";

export interface Scenario {
  /** @param who names the process: what it wants done once is done once however often it asks */
  act(q: FullClient, name: string, who: string): Promise<void>;
  /** Is judged by the whole history of the store. */
  check?(history: readonly Revision[], name: string): string[];
  /** Is judged by what is there when another has done the same. @param finished the first one told that it was done */
  after?(q: FullClient, name: string, finished: boolean): Promise<string[]>;
}

export const TTL = "2s";
const wait = "20s";
const dataOf = (name: string): string => `/data/${name}`;

/** What a holder does: it writes its fence, as long as it holds. */
async function use(q: FullClient, name: string, hold: Hold): Promise<void> {
  try {
    await q.txn().ifHeld(hold).put(dataOf(name), `${hold.fence}`).commit();
  } finally {
    await hold.release();
  }
}

const fault = (isWrong: boolean, what: string): string[] => (isWrong ? [what] : []);

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  lock: {
    act: async (q, name) => use(q, name, await q.lock(name, { ttl: TTL, wait })),
    check: (history, name) => checkLine(history, `/quorate/locks/${name}/`, dataOf(name)),
  },
  election: {
    act: async (q, name) => use(q, name, await q.election(name).campaign("me", { ttl: TTL, wait })),
    check: (history, name) => checkLine(history, `/quorate/elections/${name}/`, dataOf(name)),
  },
  "read lock": {
    act: async (q, name) => use(q, name, await acquireRead(q, name, { ttl: TTL, wait })),
    check: (history, name) => checkReadersAndWriters(history, `/quorate/rw/${name}/`, dataOf(name)),
  },
  "write lock": {
    act: async (q, name) => use(q, name, await q.rwlock(name).write({ ttl: TTL, wait })),
    check: (history, name) => checkReadersAndWriters(history, `/quorate/rw/${name}/`, dataOf(name)),
  },
  semaphore: {
    act: async (q, name) => use(q, name, await q.semaphore(name, 2).acquire(2, { ttl: TTL, wait })),
    check: (history, name) => checkSemaphore(history, `/quorate/sem/${name}/`, dataOf(name)),
  },
  barrier: {
    act: async (q, name) => {
      await q.barrier(name).close({ ttl: TTL });
      await q.barrier(name).open();
      await q.barrier(name).wait({ wait });
    },
  },
  rendezvous: {
    // Of a round that one of the dead had begun, one party is left without another: both come again until both have met somebody.
    act: async (q, name) => {
      let met = 0;
      const party = async (): Promise<void> => {
        for (let mine = 0; met < 2;) {
          try {
            const round = await q.rendezvous(name, 2).enter({ ttl: TTL, wait: "3s" });
            if (mine++ === 0) met++;
            await round.leave({ wait });
          } catch (error) {
            if (!isQuorateError(error) || error.reason !== "held") throw error;
          }
        }
      };
      await Promise.all([party(), party()]);
    },
    check: (history, name) => checkRounds(history, `/quorate/rendezvous/${name}/`, 2).faults,
  },
  queue: {
    act: async (q, name, who) => {
      const jobs = q.queue(name, { visibility: TTL });
      await jobs.put(who, { idempotencyKey: who });
      for (;;) {
        const [message] = await jobs.take({ wait: "4s" });
        if (message === undefined) return;
        await q.txn().append(`/done/${name}/${message.value}/`, "").acknowledge(message).commit();
      }
    },
    after: async (q, name, finished) => {
      // What the first one put, if it did, and the second one's.
      await q.queue(name).put("first", { idempotencyKey: "first" });
      await SCENARIOS["queue"]!.act(q, name, "second");
      const done = (who: string): Promise<number> => q.keys(`/done/${name}/${who}/`).count();
      const { visible, inFlight, delayed, dead } = await q.queue(name).state();
      const counts = `${await done("first")} ${await done("second")} ${visible + inFlight + delayed + dead}`;
      return fault(counts !== "1 1 0", `done by the first, by the second, left: ${counts}, finished: ${finished}`);
    },
  },
  schedule: {
    act: async (q, name, who) => {
      await q.schedules.put(name, { every: "1h", queue: name });
      await q.schedules.run(name, { idempotencyKey: who });
    },
    after: async (q, name) => {
      await q.schedules.run(name, { idempotencyKey: "first" });
      const { visible } = await q.queue(name).state();
      return fault(visible !== 2, `${visible} messages of two runs`);
    },
  },
  counter: {
    act: async (q, name, who) => void (await q.counter(name).add(1n, { idempotencyKey: who })),
    after: async (q, name) => {
      await q.counter(name).add(1n, { idempotencyKey: "first" });
      const value = await q.counter(name).get();
      return fault(value !== 2n, `${value} after two additions`);
    },
  },
  config: {
    act: async (q, name, who) => {
      await q.config(name, text).transact(
        (changes) => {
          changes.set("a", who);
          changes.set("b", who);
        },
        { idempotencyKey: who },
      );
    },
    check: (history, name) => {
      const touched = history.map(({ events }) => events.filter(({ kv }) => kv.key.startsWith(`/quorate/config/${name}/`)).length);
      return fault(
        touched.some((count) => count !== 0 && count !== 2),
        `published in parts: ${touched.join()}`,
      );
    },
  },
  topic: {
    act: async (q, name, who) => {
      const topic = q.topic(name);
      await topic.publish(who, { idempotencyKey: who });
      // Another process of this consumer may have moved its cursor past the event: then nothing comes.
      for await (const step of topic.subscribe({ consumer: "c", signal: AbortSignal.timeout(4_000) })) {
        if (step.kind === "event") await step.ack();
        if (step.kind === "event" && step.value === who) return;
      }
    },
    after: async (q, name) => {
      await q.topic(name).publish("first", { idempotencyKey: "first" });
      const seen: string[] = [];
      for await (const step of q.topic(name).subscribe({ after: 0 })) {
        if (step.kind === "event") seen.push(step.value);
        if (seen.length === 2) break;
      }
      const { length } = (await q.store.range(readOf(keysUnder(ascii(`/quorate/topics/${name}/e/`))))).kvs;
      return fault(seen.toSorted().join() !== "first,second" || length > 2, `${seen.join()} of ${length} events`);
    },
  },
  task: {
    act: async (q, name, who) => {
      await using session = await q.session({ ttl: TTL });
      await q.task(name).direct(who);
      await q.task(name).report(who, { state: "running", percent: 50 }, session);
      await q.task(name).report(who, { state: "done" }, session);
      await q.task(name).forget(who);
    },
  },
  service: {
    act: async (q, name, who) => {
      const me = await q.services.register(name, who, { address: "10.0.0.1" }, { ttl: TTL, secret: who });
      await me.update({ status: "draining" });
      await me.leave();
    },
    after: async (q, name) => {
      for (let tries = 0; tries < 100; tries++) {
        if ((await q.services.list(name)).length === 0) return [];
        await q.host.sleep(100);
      }
      return ["one that is dead is listed"];
    },
  },
  limit: {
    act: async (q, name, who) => {
      await setLimit(q, name, { limit: 2, per: "1h", burst: 2 });
      await takeFromLimit(q, name, "s", { idempotencyKey: who });
    },
    after: async (q, name) => {
      await takeFromLimit(q, name, "s", { idempotencyKey: "first" });
      const third = await takeFromLimit(q, name, "s", { idempotencyKey: "third" });
      return fault(third.ok, "three were allowed of two");
    },
  },
};

/** What a client may be told that stood still: what it held is gone, or nobody knows what came of its request. */
export function isLoss(error: unknown): boolean {
  return (
    isUnknown(error) ||
    (isQuorateError(error) && ["sessionLost", "held", "receiptExpired", "conflict", "leaseNotFound", "waitOver"].includes(error.reason))
  );
}
