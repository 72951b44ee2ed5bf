/** One seeded run of a queue under the faults of schedule.ts, and what must be true of every message at every revision. */
import { ascii } from "../../../core/bytes/bytes.ts";
import { Membership } from "../../../core/recipes/groups.ts";
import { type Gate, gateIn, removeGate, setGate } from "../../../core/recipes/queue-gate.ts";
import { itemIn } from "../../../core/recipes/queue-keys.ts";
import { enqueue } from "../../../core/recipes/queue.ts";
import { acknowledge, extendMessage, rejectMessage } from "../../../core/recipes/queue-flight.ts";
import { takeMessages } from "../../../core/recipes/queue-take.ts";
import type { Revision } from "../../../testing/memory-member.ts";
import { expected, runActors } from "./actors.ts";

const PREFIX = "/quorate/queues/q/";
const CONDITION = `${PREFIX}condition`;
const GATES = [
  { kind: "size", size: 4 },
  { kind: "has", item: "signal" },
  { kind: "members", group: "crew", size: 2 },
] as const;
const GROUPS = [undefined, undefined, "a", "b"];
/** After it every message has been taken and acknowledged. */
const DRAIN_TAKES = 1_000;

/** @returns what was found wrong, and how much happened */
export async function runQueue(seed: number): Promise<{ readonly faults: readonly string[]; accepted: number; acknowledged: number }> {
  const accepted = new Set<string>();
  const acknowledged: string[] = [];
  let keys = 0;
  const { lab, faults } = await runActors(seed, "queue", async ({ context }, { chance, isFaulty, faults: wrong }) => {
    const put = async (): Promise<void> => {
      const idempotencyKey = chance.hit(0.5) ? `${seed}.${++keys}` : undefined;
      const options = {
        idempotencyKey,
        group: chance.pick(GROUPS),
        priority: chance.int(3, 6),
        delayMs: chance.hit(0.2) ? chance.int(1, 3_000) : 0,
        item: chance.hit(0.1) ? "signal" : undefined,
      };
      const bodies = Array.from({ length: chance.int(1, 3) }, (_, n) => ascii(`${keys}.${n}`));
      const ids = await enqueue(context, "q", bodies, options);
      for (const id of ids) accepted.add(id);
      if (idempotencyKey === undefined) return;
      const again = await enqueue(context, "q", bodies, options);
      if (again.join() !== ids.join()) wrong.push(`${idempotencyKey} was put as ${ids.join()} and as ${again.join()}`);
    };
    const work = async (): Promise<void> => {
      const { messages } = await takeMessages(context, "q", { max: chance.int(1, 3), visibilityMs: chance.int(500, 4_000) });
      for (const { id, receipt } of messages) {
        await context.host.sleep(chance.exponential(400));
        try {
          const act = chance.pick(["ack", "ack", "ack", "nack", "extend", "forget"] as const);
          if (act === "nack") await rejectMessage(context, "q", receipt!, { delayMs: chance.int(0, 1_000) });
          if (act !== "ack" && act !== "extend") continue;
          const last = act === "ack" ? receipt! : await extendMessage(context, "q", receipt!, 2_000);
          await acknowledge(context, "q", last);
          acknowledged.push(id);
        } catch (error) {
          expected(error, "receiptExpired");
        }
      }
    };
    const visit = async (): Promise<void> => {
      await using _ = await Membership.join(context, "crew", null, { ttl: "5s" });
      await context.host.sleep(chance.exponential(1_000));
    };
    while (isFaulty()) {
      await context.host.sleep(chance.exponential(300));
      try {
        if (chance.hit(0.02)) await setGate(context, "q", { ...chance.pick(GATES), mode: chance.pick(["latch", "cycle"]), open: false });
        else if (chance.hit(0.1)) await visit();
        else await (chance.hit(0.45) ? put() : work());
      } catch (error) {
        expected(error);
      }
    }
  });
  const { context } = lab.client();
  faults.push(...checkGate(lab.history), ...checkOrder(lab.history));
  await lab.run(removeGate(context, "q"));
  for (let n = 0; n < DRAIN_TAKES && lab.keys(PREFIX).length > 0; n++) {
    const { messages } = await lab.run(takeMessages(context, "q", { max: 50 }));
    for (const { id, receipt } of messages) {
      await lab.run(acknowledge(context, "q", receipt!));
      acknowledged.push(id);
    }
    await lab.advance(1_000);
  }
  const left = lab.keys(PREFIX).filter(({ key }) => !key.startsWith(`${PREFIX}x/`));
  if (left.length > 0) faults.push(`nobody gets what is left: ${left.map(({ key }) => key).join(", ")}`);
  if (new Set(acknowledged).size < acknowledged.length) faults.push("a message was acknowledged twice");
  faults.push(...checkPlaces(lab.history, accepted, acknowledged));
  await lab.close();
  return { faults, accepted: accepted.size, acknowledged: acknowledged.length };
}

/** At each revision a message is in one place, and once it is in none it does not come back; of a group one is in flight. */
function checkPlaces(history: readonly Revision[], accepted: ReadonlySet<string>, acknowledged: readonly string[]): string[] {
  const faults: string[] = [];
  const places = new Map<string, Set<string>>();
  const gone = new Set<string>();
  for (const { revision, events } of history) {
    const touched = new Set<string>();
    for (const { type, kv } of events) {
      const item = /^[idfx]\//.test(kv.key.slice(PREFIX.length)) && kv.key.startsWith(PREFIX) ? itemIn(kv.key) : undefined;
      if (item === undefined) continue;
      const at = places.get(item.id) ?? new Set();
      places.set(item.id, at);
      touched.add(item.id);
      if (type === "put") at.add(kv.key);
      else at.delete(kv.key);
    }
    for (const id of touched) {
      const at = places.get(id)!;
      if (at.size > 1) faults.push(`${revision}: ${id} is in ${[...at].join(" and ")}`);
      if (at.size > 0 && gone.has(id)) faults.push(`${revision}: ${id} came back after it was acknowledged`);
      if (at.size === 0) gone.add(id);
    }
    const flights = [...places.values()].flatMap((at) => [...at].filter((key) => key.startsWith(`${PREFIX}f/`)));
    const groups = flights.flatMap((key) => itemIn(key as never)?.group ?? []);
    if (new Set(groups).size < groups.length) faults.push(`${revision}: two of one group are in flight: ${flights.join(", ")}`);
  }
  for (const id of accepted) if (!places.has(id)) faults.push(`${id} was accepted and never there`);
  for (const id of acknowledged) if (!gone.has(id)) faults.push(`${id} was acknowledged and is still there`);
  return faults;
}

/** Whoever takes a message of a group, or of none, takes the first of them that is visible, by priority and then by when it was put. */
function checkOrder(history: readonly Revision[]): string[] {
  const faults: string[] = [];
  const visible = new Map<string, string | null>();
  for (const { revision, events } of history) {
    const isTaken = events.some(isTaking);
    for (const { type, kv } of events) {
      const item = kv.key.startsWith(`${PREFIX}i/`) ? itemIn(kv.key) : undefined;
      if (item === undefined) continue;
      if (type === "put") visible.set(kv.key, item.group);
      else visible.delete(kv.key);
      if (type === "put" || !isTaken) continue;
      const before = [...visible].find(([key, group]) => group === item.group && key < kv.key);
      if (before !== undefined) faults.push(`${revision}: ${kv.key} is taken before ${before[0]}`);
    }
  }
  return faults;
}

/** Nothing is taken while the gate is shut, and it opens only when what it waits for has been there since it was shut. */
function checkGate(history: readonly Revision[]): string[] {
  const faults: string[] = [];
  const there = new Set<string>();
  const under = (prefix: string): number => [...there].filter((key) => key.startsWith(prefix) && !key.endsWith("/.left")).length;
  let shut: Gate | undefined;
  let hasHeld = false;
  for (const { revision, events } of history) {
    for (const { type, kv } of events) {
      if (shut !== undefined && type === "put" && kv.key.startsWith(`${PREFIX}f/`) && events.some(isTaking)) {
        faults.push(`${revision}: ${kv.key} is taken, and the gate is shut`);
      }
      if (kv.key === CONDITION) {
        const gate = type === "put" ? gateIn(kv.value) : undefined;
        if (shut !== undefined && gate?.open && !hasHeld) faults.push(`${revision}: ${JSON.stringify(shut)} opens`);
        shut = gate === undefined || gate.open ? undefined : gate;
        hasHeld = false;
      }
      if (type === "put") there.add(kv.key);
      else there.delete(kv.key);
    }
    if (shut?.kind === "size") hasHeld ||= under(`${PREFIX}i/`) >= shut.size;
    if (shut?.kind === "has") hasHeld ||= under(`${PREFIX}n/${shut.item}`) > 0;
    if (shut?.kind === "members") hasHeld ||= under(`/quorate/groups/${shut.group}/`) >= shut.size;
  }
  return faults;
}

/** Extending a flight is none. */
function isTaking({ type, kv }: Revision["events"][number]): boolean {
  return type === "delete" && kv.key.startsWith(`${PREFIX}i/`);
}
