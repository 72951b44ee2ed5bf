/** One seeded run of groups, and with them of services, under the faults of schedule.ts, and what must be true of them at every revision. */
import { Membership, type ViewStep, readGroup, watchGroup } from "../../../core/recipes/groups.ts";
import type { KeyValue } from "../../../core/store/command.ts";
import type { Revision } from "../../../testing/memory-member.ts";
import { type Actors, expected, runActors } from "./actors.ts";

const PREFIX = "/quorate/groups/x/";
const IDS = ["a", "b", "c"];
const STEADY = "steady";
const TTL_MS = 5_000;

/** The ids, with incarnation and last change, that are there after each revision. */
type State = ReadonlyMap<string, KeyValue>;

/** @returns what was found wrong, and how much happened */
export async function runRosters(
  seed: number,
): Promise<{ readonly faults: readonly string[]; joins: number; leaves: number; fails: number }> {
  const asked = new Set<string>();
  const seen: { readonly who: string; readonly step: ViewStep }[] = [];
  let joins = 0;
  let watchers = 0;
  let steady: Promise<Membership> | undefined;
  const { lab, faults } = await runActors(seed, "rosters", async (client, { lab: place, chance, isFaulty }) => {
    const { context } = client;
    steady ??= Membership.join(place.client().context, "x", "here", { id: STEADY, ttl: TTL_MS });
    const who = `watcher ${++watchers}`;
    void (async () => {
      for await (const step of watchGroup(context, "x")) seen.push({ who, step });
    })();
    while (isFaulty()) {
      await context.host.sleep(chance.exponential(1_000));
      try {
        const member = await Membership.join(context, "x", who, { id: chance.pick(IDS), ttl: TTL_MS });
        joins++;
        for (let updates = chance.int(0, 3); updates > 0; updates--) {
          await context.host.sleep(chance.exponential(2_000));
          await member.update(updates).catch((error: unknown) => expected(error, "conflict"));
        }
        asked.add(`${member.id} of ${who}`);
        await member.leave().catch((error: unknown) => expected(error));
      } catch (error) {
        expected(error, "conflict");
      }
    }
  });
  await lab.advance(2 * TTL_MS); // whoever could not say so has left by now
  const left = (await lab.run(readGroup(lab.client().context, "x"))).members.map(({ id }) => id);
  if (left.join() !== STEADY) faults.push(`at the end there are ${left.join(", ")}`);
  const states = statesOf(lab);
  const { faults: wrong, leaves, fails } = checkRosters(states, seen, asked, lab.history, lab.cluster !== undefined);
  faults.push(...wrong);
  await lab.run((await steady!).leave());
  await lab.advance(TTL_MS);
  if (lab.leases().length > 0) faults.push(`leases are left: ${lab.leases().join(", ")}`);
  await lab.close();
  return { faults, joins, leaves, fails };
}

function statesOf({ history }: Actors["lab"]): ReadonlyMap<number, State> {
  const states = new Map<number, State>();
  let state: State = new Map();
  for (const { revision, events } of history) {
    const next = new Map(state);
    for (const { type, kv } of events) {
      const id = kv.key.slice(PREFIX.length);
      if (!kv.key.startsWith(PREFIX) || id === ".left") continue;
      if (type === "put") next.set(id, kv);
      else next.delete(id);
    }
    states.set(revision, (state = next));
  }
  return states;
}

function checkRosters(
  states: ReadonlyMap<number, State>,
  seen: readonly { readonly who: string; readonly step: ViewStep }[],
  asked: ReadonlySet<string>,
  history: readonly Revision[],
  mayMiss: boolean,
): { readonly faults: string[]; readonly leaves: number; readonly fails: number } {
  const faults: string[] = [];
  const owners = new Map<string, string>();
  let hasSteady = false;
  for (const [revision, state] of states) {
    for (const [id, { value, createRevision, lease }] of state) {
      const { owner } = JSON.parse(value) as { owner: string };
      const incarnation = `${id}@${createRevision}`;
      if ((owners.get(incarnation) ?? owner) !== owner) faults.push(`${revision}: ${incarnation} has two owners`);
      owners.set(incarnation, owner);
      if (lease === "0") faults.push(`${revision}: ${id} is on no lease`);
    }
    // Where members fail, nobody can renew for a while.
    if (!mayMiss && hasSteady && !state.has(STEADY)) faults.push(`${revision}: who renewed in time is not there`);
    hasSteady ||= state.has(STEADY);
  }
  const last = new Map<string, number>();
  let leaves = 0;
  let fails = 0;
  const byRevision = new Map(history.map((one) => [one.revision, one]));
  for (const { who, step } of seen) {
    const { revision, members, changes } = step;
    if (revision <= (last.get(who) ?? 0)) faults.push(`${who} saw ${revision} after ${last.get(who)}`);
    last.set(who, revision);
    const state = states.get(revision);
    const is = members.map(({ id, incarnation, revision: changed }) => `${id}@${incarnation}.${changed}`);
    const should = [...(state ?? [])].map(([id, kv]) => `${id}@${kv.createRevision}.${kv.modRevision}`).toSorted();
    if (is.join() !== should.join()) faults.push(`${who} saw ${is.join()} at ${revision}, where ${should.join()} was`);
    for (const { type, member } of changes ?? []) {
      if (type === "fail") fails++;
      if (type !== "leave") continue;
      leaves++;
      if (![...asked].some((one) => one.startsWith(`${member.id} of `))) faults.push(`${revision}: ${member.id} left unasked`);
      const events = byRevision.get(revision)?.events ?? [];
      if (events.length < 2) faults.push(`${revision}: ${member.id} left without a word`);
    }
  }
  return { faults, leaves, fails };
}
