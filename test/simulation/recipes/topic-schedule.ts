/** One seeded run of a topic under the faults of schedule.ts, and what must be true of its events, subscribers and cursors. */
import { ascii } from "../../../core/bytes/bytes.ts";
import { isQuorateError } from "../../../core/errors.ts";
import { moveCursor, publish, readCursor, readEvents, setRetention, subscribe } from "../../../core/recipes/topic.ts";
import type { Revision } from "../../../testing/memory-member.ts";
import { expected, runActors } from "./actors.ts";

const PREFIX = "/quorate/topics/t/";
const EVENTS = `${PREFIX}e/`;
const CURSOR = `${PREFIX}c/one`;

interface Told {
  readonly who: number;
  readonly kind: "event" | "reset";
  readonly revision: number;
  readonly value?: string;
}

/** @returns what was found wrong, and how much was published, told and moved */
export async function runTopic(
  seed: number,
): Promise<{ readonly faults: readonly string[]; published: number; told: number; moved: number }> {
  const published = new Map<string, number>();
  const told: Told[] = [];
  const moves: number[] = [];
  let [values, subscribers] = [0, 0];
  const { lab, faults } = await runActors(seed, "topic", async ({ context }, { chance, isFaulty, faults: wrong }) => {
    const who = ++subscribers;
    void (async () => {
      for await (const step of subscribe(context, "t", { after: 0 })) told.push({ who, ...step });
    })().catch((error: unknown) => void (isQuorateError(error) || wrong.push(String(error))));
    const tell = async (): Promise<void> => {
      const value = `${seed}.${++values}`;
      const options = chance.hit(0.6) ? { idempotencyKey: value } : {};
      for (let tries = chance.int(1, 2); tries > 0; tries--) {
        const revision = await publish(context, "t", ascii(value), options);
        if ((published.get(value) ?? revision) !== revision) wrong.push(`${value} is ${published.get(value)} and ${revision}`);
        published.set(value, revision);
        if (options.idempotencyKey === undefined) return;
      }
    };
    const consume = async (): Promise<void> => {
      const cursor = await readCursor(context, "t", "one");
      const { events } = await readEvents(context, "t", { after: cursor.after, limit: chance.int(1, 3) });
      await context.host.sleep(chance.exponential(200));
      if (events.length > 0) moves.push((await moveCursor(context, "t", "one", events.at(-1)!.revision, cursor)).modRevision);
    };
    while (isFaulty()) {
      await context.host.sleep(chance.exponential(500));
      try {
        if (chance.hit(0.03)) await setRetention(context, "t", { maxAgeMs: 3_600_000, maxCount: chance.pick([null, 10, 50]) });
        else await (chance.hit(0.6) ? tell() : consume());
      } catch (error) {
        expected(error, "conflict");
      }
    }
  });
  faults.push(...checkTopic(lab.history, published, told, moves));
  await lab.close();
  return { faults, published: published.size, told: told.length, moved: moves.length };
}

/** What is in the topic is what was published, once; who subscribes is told of all of it in order, or of a reset; a cursor only rises. */
function checkTopic(
  history: readonly Revision[],
  published: ReadonlyMap<string, number>,
  told: readonly Told[],
  moves: readonly number[],
): string[] {
  const faults: string[] = [];
  const at = new Map<number, string>();
  const values = new Set<string>();
  let cursor = 0;
  for (const { revision, events } of history) {
    for (const { type, kv } of events) {
      if (type === "put" && kv.key.startsWith(EVENTS)) {
        if (Number(kv.key.slice(EVENTS.length)) !== revision) faults.push(`${revision}: an event has the number ${kv.key}`);
        if (values.has(kv.value)) faults.push(`${revision}: ${kv.value} is there twice`);
        values.add(kv.value);
        at.set(revision, kv.value);
      }
      if (kv.key !== CURSOR) continue;
      if (Number.parseInt(kv.value, 10) <= cursor) faults.push(`${revision}: the cursor goes from ${cursor} to ${kv.value}`);
      cursor = Number.parseInt(kv.value, 10);
    }
  }
  for (const [value, revision] of published)
    if (at.get(revision) !== value) faults.push(`${value} was published at ${revision}, and is not`);
  if (new Set(moves).size < moves.length) faults.push("two have moved the cursor at once");
  const revisions = [...at.keys()];
  const last = new Map<number, { readonly revision: number; readonly isReset: boolean }>();
  for (const { who, kind, revision, value } of told) {
    const before = last.get(who) ?? { revision: 0, isReset: true }; // from the beginning: what is left
    last.set(who, { revision: Math.max(revision, before.revision), isReset: kind === "reset" });
    if (kind === "reset") continue;
    if (at.get(revision) !== value) faults.push(`${who} was told of ${value} at ${revision}`);
    if (revision <= before.revision) faults.push(`${who} was told of ${revision} after ${before.revision}`);
    const missed = revisions.filter((one) => one > before.revision && one < revision);
    if (!before.isReset && missed.length > 0) faults.push(`${who} was not told of ${missed.join(", ")}`);
  }
  return faults;
}
