/**
 * What must be true of recipes at every revision of the store: pure functions over its history, which need no clock. Those who hold something
 * write `/data/<name>` under the guard of their hold, with the fence as the value; that is how the history tells who believed what.
 */
import type { KeyValue } from "../../../core/store/command.ts";
import type { Revision } from "../../../testing/memory-member.ts";

/** The keys that are there, after each revision in turn. */
function* states(history: readonly Revision[]): Generator<{ readonly change: Revision; readonly keys: ReadonlyMap<string, KeyValue> }> {
  const keys = new Map<string, KeyValue>();
  for (const change of history) {
    for (const { type, kv } of change.events) {
      if (type === "put") keys.set(kv.key, kv);
      else keys.delete(kv.key);
    }
    yield { change, keys };
  }
}

function under(keys: ReadonlyMap<string, KeyValue>, prefix: string): KeyValue[] {
  return [...keys.values()].filter(({ key }) => key.startsWith(prefix)).sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The fence that was written to a key at this revision, if any was. */
function written(change: Revision, key: string): number | undefined {
  const event = change.events.find(({ type, kv }) => type === "put" && kv.key === key);
  return event === undefined ? undefined : Number(event.kv.value);
}

/** Of a line of etcd's layout, for locks and elections. */
export function checkLine(history: readonly Revision[], prefix: string, data: string): string[] {
  const faults: string[] = [];
  let last = 0;
  let before = 0;
  for (const { change, keys } of states(history)) {
    const line = under(keys, prefix).toSorted((a, b) => a.createRevision - b.createRevision);
    const first = line[0]?.createRevision ?? 0;
    if (new Set(line.map(({ createRevision }) => createRevision)).size < line.length) faults.push(`${change.revision}: two are first`);
    if (first !== 0 && first < before) faults.push(`${change.revision}: ${first} holds after ${before}`);
    if (first !== 0) before = first;
    const fence = written(change, data);
    if (fence === undefined) continue;
    if (fence !== first) faults.push(`${change.revision}: ${fence} wrote while ${first} held`);
    if (fence < last) faults.push(`${change.revision}: ${fence} wrote after ${last}`);
    last = fence;
  }
  return faults;
}

const numberOf = (key: string): number => Number(/\/(\d{20})[rw]?$/.exec(key)?.[1]);

/** Of read-write locks. */
export function checkReadersAndWriters(history: readonly Revision[], prefix: string, data: string): string[] {
  const faults: string[] = [];
  for (const { change, keys } of states(history)) {
    const fence = written(change, data);
    if (fence === undefined) continue;
    const places = under(keys, `${prefix}q/`);
    const own = places.find(({ key }) => numberOf(key) === fence);
    if (own === undefined) {
      faults.push(`${change.revision}: ${fence} wrote without a place`);
      continue;
    }
    const ahead = places.filter(({ key }) => key < own.key);
    const writes = own.key.endsWith("w");
    if (writes ? ahead.length > 0 : ahead.some(({ key }) => key.endsWith("w")))
      faults.push(`${change.revision}: ${own.key} before its turn`);
  }
  return [...faults, ...checkNumbers(history, prefix)];
}

/** Each place of a numbered line has its number's revision as the create revision of what stands beside it, and no session has two. */
function checkNumbers(history: readonly Revision[], prefix: string): string[] {
  const faults: string[] = [];
  for (const { change, keys } of states(history)) {
    const places = under(keys, prefix).filter(({ key }) => !Number.isNaN(numberOf(key)));
    if (new Set(places.map(({ lease }) => lease)).size < places.length) faults.push(`${change.revision}: a session has two places`);
    for (const { key, lease } of places) {
      const beside = keys.get(`${prefix}s/${lease}`);
      if (beside?.createRevision !== numberOf(key)) faults.push(`${change.revision}: ${key} has no record beside it`);
    }
  }
  return faults;
}

/** Of semaphores. */
export function checkSemaphore(history: readonly Revision[], prefix: string, data: string): string[] {
  const faults: string[] = [];
  for (const { change, keys } of states(history)) {
    const fence = written(change, data);
    if (fence === undefined) continue;
    const limit = Number(keys.get(`${prefix}limit`)?.value);
    const upTo = under(keys, `${prefix}h/`).filter(({ key }) => numberOf(key) <= fence);
    const permits = upTo.reduce((sum, { value }) => sum + (JSON.parse(value) as { permits: number }).permits, 0);
    if (!upTo.some(({ key }) => numberOf(key) === fence)) faults.push(`${change.revision}: ${fence} wrote without permits`);
    if (permits > limit) faults.push(`${change.revision}: ${permits} permits of ${limit}`);
  }
  return [...faults, ...checkNumbers(history, prefix)];
}

/** Of rendezvous. @returns the faults, and when each round became ready */
export function checkRounds(
  history: readonly Revision[],
  prefix: string,
  parties: number,
): { faults: string[]; ready: Map<number, number> } {
  const faults: string[] = [];
  const ready = new Map<number, number>();
  for (const { change, keys } of states(history)) {
    for (const { type, kv } of change.events) {
      const round = Number(new RegExp(`^${prefix}(\\d+)/ready$`).exec(kv.key)?.[1]);
      if (type !== "put" || Number.isNaN(round)) continue;
      const members = under(keys, `${prefix}${round}/m/`).length;
      if (members !== parties) faults.push(`${change.revision}: round ${round} is ready with ${members}`);
      if (ready.has(round)) faults.push(`${change.revision}: round ${round} is ready again`);
      if (ready.size > 0 && round !== Math.max(...ready.keys()) + 1) faults.push(`${change.revision}: round ${round} is ready out of turn`);
      ready.set(round, change.revision);
    }
    const rounds = new Map<string, number>();
    for (const { key } of under(keys, prefix)) {
      const round = /\/(\d+)\/m\//.exec(key)?.[1];
      if (round !== undefined) rounds.set(round, (rounds.get(round) ?? 0) + 1);
    }
    for (const [round, members] of rounds) if (members > parties) faults.push(`${change.revision}: ${members} in round ${round}`);
  }
  return { faults, ready };
}

/** A time during which a client believed to hold something, in virtual milliseconds. */
export interface Belief {
  readonly client: string;
  readonly from: number;
  readonly until: number;
  readonly weight: number;
}

/** At no time do the beliefs weigh more than allowed. */
export function checkBeliefs(beliefs: readonly Belief[], weightMax: number): string[] {
  const faults: string[] = [];
  for (const { client, from } of beliefs) {
    const at = beliefs.filter((other) => other.from <= from && from < other.until);
    const weight = at.reduce((sum, other) => sum + other.weight, 0);
    if (weight > weightMax) faults.push(`at ${from} ${client} holds, and so do ${at.map((other) => other.client).join(", ")}`);
  }
  return faults;
}
