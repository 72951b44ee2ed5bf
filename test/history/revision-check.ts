/**
 * Is a history of clients linearizable? etcd's answers make that cheap to decide: every answer names the revision at which it was true,
 * and a watch from revision 1 tells afterwards what happened at each revision. So each operation has a place, and what is left to check
 * is that its answer is right at that place, and that the places keep the order of time (Herlihy and Wing, 1990): what returned before
 * another began does not come after it.
 *
 * Writes whose answer never came are looked for among what happened: done once or not at all. Keys and values are text; every value is
 * written once.
 */

export interface Truth {
  readonly revision: number;
  readonly key: string;
  /** undefined: deleted. */
  readonly value: string | undefined;
}

export type Request =
  | { readonly kind: "put"; readonly key: string; readonly value: string }
  | { readonly kind: "delete"; readonly key: string }
  /** Writes if the key was last changed at that revision; 0: if it is not there. */
  | { readonly kind: "swap"; readonly key: string; readonly value: string; readonly expected: number }
  | { readonly kind: "get"; readonly key: string }
  /** Any member may answer from what it has. */
  | { readonly kind: "stale-get"; readonly key: string };

export interface Found {
  readonly value: string;
  readonly modRevision: number;
  readonly version: number;
}

export interface Answer {
  /** Of the reply's header. */
  readonly revision: number;
  /** Gets, and swaps that did not take place: what was there. puts: what was there before. */
  readonly found?: Found | null;
  /** Of swaps. */
  readonly succeeded?: boolean;
  /** Of deletes. */
  readonly deleted?: number;
}

export interface Operation {
  readonly client: number;
  /** Of one clock for all clients. */
  readonly called: number;
  /** Infinity: the answer never came, and the outcome is not known. */
  readonly returned: number;
  readonly request: Request;
  readonly answer: Answer | null;
}

/** Collects operations; one for all clients. */
export class Recorder {
  readonly operations: Operation[] = [];
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Runs one operation and records it.
   * @param send resolves with the answer; "refused" when it certainly was not done; "unknown" otherwise
   */
  async record(
    client: number,
    request: Request,
    send: () => Promise<Answer | "refused" | "unknown">,
  ): Promise<Answer | "refused" | "unknown"> {
    const called = this.#now();
    const outcome = await send();
    if (outcome === "refused") return outcome;
    const unknown = outcome === "unknown";
    if (unknown && (request.kind === "get" || request.kind === "stale-get")) return outcome; // says nothing
    this.operations.push({ client, called, returned: unknown ? Infinity : this.#now(), request, answer: unknown ? null : outcome });
    return outcome;
  }
}

const writes = ({ kind }: Request): boolean => kind === "put" || kind === "delete" || kind === "swap";

/** What each key was at each revision. */
class States {
  readonly #versions = new Map<string, (Found & { readonly gone: boolean })[]>();
  readonly last: number;

  constructor(truth: readonly Truth[]) {
    for (const { revision, key, value } of truth) {
      const list = this.#versions.get(key) ?? [];
      const before = list.at(-1);
      const version = value === undefined ? 0 : before === undefined || before.gone ? 1 : before.version + 1;
      list.push({ value: value ?? "", modRevision: revision, version, gone: value === undefined });
      this.#versions.set(key, list);
    }
    this.last = truth.at(-1)?.revision ?? 1;
  }

  at(key: string, revision: number): Found | null {
    const found = this.#versions.get(key)?.findLast(({ modRevision }) => modRevision <= revision);
    return found === undefined || found.gone ? null : { value: found.value, modRevision: found.modRevision, version: found.version };
  }
}

const same = (a: Found | null | undefined, b: Found | null): boolean =>
  (a ?? null) === null ? b === null : b !== null && a!.value === b.value && a!.modRevision === b.modRevision && a!.version === b.version;

/**
 * @param truth in order of revisions, complete from 2 on; a revision changes one key
 * @returns one sentence a fault; empty when the history is linearizable
 */
export function checkHistory(operations: readonly Operation[], truth: readonly Truth[]): string[] {
  const faults: string[] = [];
  const say = (operation: Operation, what: string) => faults.push(`${what}: ${JSON.stringify(operation)}`);
  for (const [at, { revision }] of truth.entries()) {
    if (revision !== at + 2) return [`the truth has revision ${revision} where ${at + 2} should be`];
  }
  const states = new States(truth);
  const byValue = new Map(truth.filter(({ value }) => value !== undefined).map((change) => [change.value!, change]));
  const claimed = new Set<number>();
  for (const operation of operations) {
    const fault = operation.answer === null ? null : answerFault(operation, operation.answer, states, truth);
    if (fault !== null) say(operation, fault);
    if (operation.answer !== null && changed(operation)) {
      if (claimed.has(operation.answer.revision)) say(operation, "another write was told the same revision");
      claimed.add(operation.answer.revision);
    }
  }
  findUnknown(operations, truth, byValue, claimed, faults);
  checkOrder(operations, byValue, say);
  return faults;
}

/** Acknowledged, and it made a revision. */
function changed({ request, answer }: Operation): boolean {
  if (answer === null || !writes(request)) return false;
  if (request.kind === "swap") return answer.succeeded === true;
  return request.kind === "put" || (answer.deleted ?? 0) > 0;
}

function answerFault(operation: Operation, answer: Answer, states: States, truth: readonly Truth[]): string | null {
  const { request } = operation;
  const { revision } = answer;
  if (revision > states.last) return `revision ${revision} is not in the history, which ends at ${states.last}`;
  if (!changed(operation)) {
    const there = states.at(request.key, revision);
    if (request.kind === "delete") return there === null ? null : "a delete found nothing where there was something";
    if (request.kind === "swap" && (there?.modRevision ?? 0) === request.expected) return "a swap was refused although it fits";
    return same(answer.found, there) ? null : `an answer is wrong at its revision, where it is ${JSON.stringify(there)}`;
  }
  const change = truth[revision - 2];
  const value = request.kind === "delete" ? undefined : (request as { value: string }).value;
  if (change === undefined || change.key !== request.key || change.value !== value) {
    return `an acknowledged write is not in the history at its revision; there is ${JSON.stringify(change)}`;
  }
  const before = states.at(request.key, revision - 1);
  if (request.kind === "swap" && (before?.modRevision ?? 0) !== request.expected) return "a swap took place although it does not fit";
  if (request.kind === "put" && answer.found !== undefined && !same(answer.found, before)) return "a put was told a wrong previous value";
  return null;
}

/** What happened and nobody was told: each change is that of one write without an answer, which came before it. */
function findUnknown(
  operations: readonly Operation[],
  truth: readonly Truth[],
  byValue: ReadonlyMap<string, Truth>,
  claimed: ReadonlySet<number>,
  faults: string[],
): void {
  const open = operations.filter(({ answer }) => answer === null);
  const values = new Set(open.flatMap(({ request }) => ("value" in request ? [request.value] : [])));
  const deletes = new Map<string, number>();
  for (const { request } of open) if (request.kind === "delete") deletes.set(request.key, (deletes.get(request.key) ?? 0) + 1);
  for (const change of truth) {
    if (claimed.has(change.revision)) continue;
    if (change.value !== undefined) {
      if (!values.has(change.value)) faults.push(`nobody wrote what is in the history: ${JSON.stringify(change)}`);
      else if (byValue.get(change.value)!.revision !== change.revision) faults.push(`one write was done twice: ${JSON.stringify(change)}`);
      continue;
    }
    const left = deletes.get(change.key) ?? 0;
    if (left === 0) faults.push(`nobody deleted what the history says is deleted: ${JSON.stringify(change)}`);
    deletes.set(change.key, left - 1);
  }
}

/** No operation is placed before one that had returned when it was called. */
function checkOrder(
  operations: readonly Operation[],
  byValue: ReadonlyMap<string, Truth>,
  say: (operation: Operation, what: string) => void,
): void {
  const placed = operations.flatMap((operation) => {
    const { request, answer } = operation;
    if (request.kind === "stale-get") return [];
    const revision = answer?.revision ?? ("value" in request ? byValue.get(request.value)?.revision : undefined);
    return revision === undefined ? [] : [{ operation, revision, makes: answer === null || changed(operation) }];
  });
  const byCall = placed.toSorted((a, b) => a.operation.called - b.operation.called);
  const byReturn = placed
    .filter(({ operation }) => operation.returned < Infinity)
    .toSorted((a, b) => a.operation.returned - b.operation.returned);
  let newest = 0;
  let next = 0;
  for (const { operation, revision, makes } of byCall) {
    for (; next < byReturn.length && byReturn[next]!.operation.returned < operation.called; next++) {
      newest = Math.max(newest, byReturn[next]!.revision);
    }
    if (revision < newest || (makes && revision === newest)) {
      say(operation, `it is at revision ${revision}, and ${newest} had been told before it was called`);
    }
  }
}
