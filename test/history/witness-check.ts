/**
 * Is a history linearizable? The header revision of each answer is the witness: it says where in the order of writes the answer belongs.
 *
 * The writes are replayed by revision through the model of model.ts, and every answer is compared with the model's at its revision. A
 * revision that no answered write has is a gap: one write of unknown outcome (or the end of a lease) made it. Values are written once, so
 * a value seen anywhere tells which write that was; where nothing tells, candidates are tried in turn, going back to the latest choice
 * when an answer contradicts it. Last, the places have to keep the order of time (Herlihy and Wing, 1990): if A returned before B was
 * called, A's revision is not above B's, and below it where B is a write.
 * O(n log n) but for gaps with several candidates, whose trials are bounded by REPLAYED_MAX.
 */
import { type Operation, type Request, type Response, type Violation, describe, describeRequest, mayWrite, wrote } from "./history.ts";
import { type LeaseEnd, State, apply, endLease, wouldWrite } from "./model.ts";
import { checkRealTime, checkSessions } from "./real-time-check.ts";
import { SeenKeys, putsOf } from "./seen-keys.ts";

/**
 * Revisions replayed again after choices were taken back, of one history. A history that needs more is undecided, which is a violation too.
 * That happens when many answers are lost at one time; with the truth it does not.
 */
const REPLAYED_MAX = 20_000;
/** More of them do not help to find the fault. */
const VIOLATIONS_MAX = 20;

/** What happened at one revision, as a watch of all keys tells; see watch-check.ts. */
export interface TruthRevision {
  readonly revision: number;
  readonly events: readonly { readonly type: "put" | "delete"; readonly key: string; readonly value?: string }[];
}

export interface WitnessOptions {
  /** The store before the history; default: empty at revision 1. */
  readonly initial?: State;
  /** In order of revisions, complete from the one after `initial`. The replay has to do the same; and there is little left to try. */
  readonly truth?: readonly TruthRevision[];
}

export interface WitnessResult {
  /** Empty: linearizable. */
  readonly violations: readonly Violation[];
  /** Writes of unknown outcome that were found, by their revision. */
  readonly placed: ReadonlyMap<number, Operation>;
  /** The store after the history. */
  readonly state: State;
}

/** @param operations in any order, refused ones left out */
export function checkWitness(operations: readonly Operation[], options: WitnessOptions = {}): WitnessResult {
  const initial = options.initial?.clone() ?? new State();
  const bad = operations.filter(({ response }) => response !== null && !validRevision(response.revision, initial.revision));
  if (bad.length > 0) {
    const violations = bad
      .slice(0, VIOLATIONS_MAX)
      .map((one) => ({ rule: "header", text: `an answer without a possible revision: ${describe(one)}`, operations: [one] }));
    return { violations, placed: new Map(), state: initial };
  }
  const replay = new Replay(operations, initial, options.truth ?? []);
  replay.run();
  const violations = [...replay.violations, ...checkRealTime(operations, replay.placed), ...checkSessions(operations)];
  return { violations: violations.slice(0, VIOLATIONS_MAX), placed: replay.placed, state: replay.state };
}

function validRevision(revision: number, first: number): boolean {
  return Number.isSafeInteger(revision) && revision >= first;
}

/** Operations with one header revision. */
interface Place {
  readonly writes: Operation[];
  readonly others: Operation[];
}

type Candidate = Operation | LeaseEnd;

/** A gap at which more than one candidate fits. */
interface Choice {
  readonly revision: number;
  readonly state: State;
  readonly placed: ReadonlyMap<number, Operation>;
  readonly left: Candidate[];
}

interface DeadEnd {
  readonly revision: number;
  readonly violations: readonly Violation[];
  readonly state: State;
  readonly placed: ReadonlyMap<number, Operation>;
}

class Replay {
  state: State;
  placed = new Map<number, Operation>();
  readonly violations: Violation[] = [];
  readonly #places = new Map<number, Place>();
  readonly #truth: ReadonlyMap<number, TruthRevision>;
  readonly #open: readonly Operation[];
  readonly #last: number;
  readonly #earliestReturn: (revision: number) => number;
  readonly #seen = new SeenKeys();
  #choices: Choice[] = [];
  #replayed = 0;
  #furthest: DeadEnd | null = null;

  constructor(operations: readonly Operation[], initial: State, truth: readonly TruthRevision[]) {
    this.state = initial;
    this.#truth = new Map(truth.map((one) => [one.revision, one]));
    this.#open = operations.filter(({ response, request }) => response === null && mayWrite(request)).toSorted((a, b) => a.call - b.call);
    for (const operation of operations) if (operation.response !== null) this.#take(operation, operation.response);
    for (const { revision, events } of truth) {
      for (const { type, key, value } of events) if (type === "put") this.#seen.addPut(key, value ?? "", revision);
    }
    this.#last = Math.max(initial.revision, truth.at(-1)?.revision ?? 0, largest(this.#places.keys()));
    this.#earliestReturn = earliestReturns(operations);
  }

  #take(operation: Operation, response: Response): void {
    const place = this.#places.get(response.revision) ?? { writes: [], others: [] };
    this.#places.set(response.revision, place);
    (wrote(response) ? place.writes : place.others).push(operation);
    this.#seen.addResponse(operation.request, response);
  }

  run(): void {
    let { revision } = this.state;
    const early = this.#places.get(revision)?.writes ?? [];
    if (early.length > 0)
      this.violations.push(fault("header", `writes were told revision ${revision}, which was there before them`, early));
    this.violations.push(...this.#compareOthers(revision));
    while (revision < this.#last && this.violations.length < VIOLATIONS_MAX) {
      revision += 1;
      const faults = this.#step(revision);
      if (faults.length > 0) revision = this.#settle(faults, revision);
    }
  }

  /** Replays one revision. @returns what contradicts it */
  #step(revision: number): Violation[] {
    const place = this.#places.get(revision);
    if (place === undefined || place.writes.length === 0) {
      const [first, ...left] = this.#candidates(revision);
      if (first === undefined) return [this.#unfilled(revision)];
      if (left.length > 0) this.#choices.push({ revision, state: this.state.clone(), placed: new Map(this.placed), left });
      this.#fill(revision, first);
    } else {
      const faults = this.#replayWrites(revision, place.writes);
      if (faults.length > 0) return faults;
    }
    return [...this.#compareTruth(revision), ...this.#compareOthers(revision)];
  }

  #replayWrites(revision: number, writes: readonly Operation[]): Violation[] {
    const [write, second] = writes as [Operation, ...Operation[]];
    const expected = apply(this.state, write.request);
    if (second !== undefined) {
      return [fault("one revision a write", `two writes were told revision ${revision}`, [write, second])];
    }
    if (sameResponse(write.response, expected, write.request)) return [];
    return [fault("answer", `a write was answered wrongly; at revision ${revision} the answer is ${JSON.stringify(expected)}`, [write])];
  }

  /** Requests that wrote nothing, against the state at their revision. */
  #compareOthers(revision: number): Violation[] {
    return (this.#places.get(revision)?.others ?? []).flatMap((operation) => {
      const { request, response } = operation;
      if (wouldWrite(this.state, request)) {
        const text = `a request was told at revision ${revision} that it changed nothing, and it would have`;
        return [fault("answer", text, [operation])];
      }
      const expected = apply(this.state, request);
      if (sameResponse(response, expected, request)) return [];
      const rule = request.kind === "range" && request.serializable === true ? "serializable read" : "answer";
      return [fault(rule, `an answer is wrong at revision ${revision}, where it is ${JSON.stringify(expected)}`, [operation])];
    });
  }

  #compareTruth(revision: number): Violation[] {
    if (this.#truth.size === 0) return [];
    if (this.#isTruth(this.state, revision)) return [];
    const events = this.#truth.get(revision)?.events ?? [];
    const { changes } = this.state;
    const writes = this.#places.get(revision)?.writes ?? [this.placed.get(revision)!].filter(Boolean);
    const text = `revision ${revision} did ${JSON.stringify(events)}, and its write does ${JSON.stringify([...changes])}`;
    return [fault("truth", text, writes)];
  }

  #isTruth({ changes }: State, revision: number): boolean {
    const events = this.#truth.get(revision)?.events ?? [];
    return (
      events.length === changes.size &&
      events.every(({ type, key, value }) => (type === "delete" ? changes.get(key) === null : changes.get(key)?.value === value))
    );
  }

  /** Writes of unknown outcome that can have made a revision, those first that were called first. */
  #candidates(revision: number): Candidate[] {
    const latest = this.#earliestReturn(revision);
    const used = new Set(this.placed.values());
    const kinds = new Set<string>();
    const found: Candidate[] = this.#open.filter((operation) => {
      const { request } = operation;
      if (operation.call > latest || used.has(operation)) return false;
      if (!this.#seen.mayFill(request, revision) || !wouldWrite(this.state, request)) return false;
      // Of equal requests one is enough: each gap after this one can be filled by all that can fill this.
      const kind = describeRequest(request);
      if (kinds.has(kind)) return false;
      kinds.add(kind);
      return this.#allows(operation, revision);
    });
    for (const lease of this.state.leases()) {
      const end: LeaseEnd = { kind: "lease-end", lease };
      if (this.#allows(end, revision)) found.push(end);
    }
    return found;
  }

  /** Does a candidate do what was seen, and nothing that cannot have been? */
  #allows(candidate: Candidate, revision: number): boolean {
    const trial = this.state.clone();
    if ("kind" in candidate) endLease(trial, candidate);
    else apply(trial, candidate.request);
    return this.#seen.allows(trial.changes, revision) && (this.#truth.size === 0 || this.#isTruth(trial, revision));
  }

  #fill(revision: number, candidate: Candidate): void {
    if ("kind" in candidate) endLease(this.state, candidate);
    else {
      apply(this.state, candidate.request);
      this.placed.set(revision, candidate);
    }
  }

  #unfilled(revision: number): Violation {
    const seen = [...(this.#seen.putsAt(revision) ?? [])].map(([key, value]) => (value === null ? key : `${key}=${value}`));
    const what = seen.length === 0 ? "" : `, at which ${seen.join(", ")} was seen written`;
    const writers = [...this.#places.values(), { writes: [...this.placed.values()], others: [] }]
      .flatMap(({ writes }) => writes)
      .filter(({ request }) => putsOf(request).some(({ key, value }) => this.#seen.putsAt(revision)?.get(key) === value));
    const again = writers.length === 0 ? "" : "; a write that has another place wrote this, so it was done twice";
    return fault("gap", `no write of unknown outcome can have made revision ${revision}${what}${again}`, writers);
  }

  /** Takes back the latest choice; says what contradicts when there is none left. @returns the revision at which the replay stands */
  #settle(faults: readonly Violation[], revision: number): number {
    while (this.#choices.length > 0 && this.#replayed < REPLAYED_MAX) {
      if (this.#furthest === null || revision > this.#furthest.revision) {
        this.#furthest = { revision, violations: faults, state: this.state.clone(), placed: new Map(this.placed) };
      }
      const choice = this.#choices.at(-1)!;
      this.#replayed += 1 + revision - choice.revision;
      revision = choice.revision;
      this.#retry(choice);
      faults = [...this.#compareTruth(revision), ...this.#compareOthers(revision)];
      if (faults.length === 0) return revision;
    }
    return this.#giveUp(faults, revision);
  }

  #retry({ revision, state, placed, left }: Choice): void {
    const next = left.shift()!;
    if (left.length === 0) this.#choices.pop();
    this.state = left.length === 0 ? state : state.clone();
    this.placed = new Map(placed);
    this.#fill(revision, next);
  }

  /** Every way ends: reports the one that came furthest, and goes on from there. */
  #giveUp(faults: readonly Violation[], revision: number): number {
    const here = { revision, violations: faults, state: this.state, placed: this.placed };
    const end = this.#furthest === null || revision > this.#furthest.revision ? here : this.#furthest;
    if (this.#choices.length > 0) {
      const text = "too many ways to place writes of unknown outcome; of those that were tried the one that came furthest ends here: ";
      this.violations.push(...end.violations.slice(0, 1).map((one) => ({ ...one, rule: "undecided", text: text + one.text })));
      return this.#last;
    }
    this.violations.push(...end.violations);
    this.state = end.state;
    this.placed = new Map(end.placed);
    this.state.revision = end.revision; // a write that the model refuses has its revision all the same
    this.#choices = [];
    this.#furthest = null;
    return end.revision;
  }
}

function largest(numbers: Iterable<number>): number {
  let found = 0;
  for (const one of numbers) found = Math.max(found, one);
  return found;
}

/** When, at the earliest, an answer showed that a revision was there; for any revision, in O(log n). */
function earliestReturns(operations: readonly Operation[]): (revision: number) => number {
  const answered = operations
    .flatMap(({ response, return: returned }) => (response === null ? [] : [{ revision: response.revision, returned: returned! }]))
    .toSorted((a, b) => a.revision - b.revision);
  for (let at = answered.length - 2; at >= 0; at--) {
    answered[at] = { revision: answered[at]!.revision, returned: Math.min(answered[at]!.returned, answered[at + 1]!.returned) };
  }
  return (revision) => {
    let [low, high] = [0, answered.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (answered[middle]!.revision < revision) low = middle + 1;
      else high = middle;
    }
    return answered[low]?.returned ?? Infinity;
  };
}

/** Field by field. */
function sameResponse(actual: Response | null, expected: Response, request: Request): boolean {
  if (actual === null || actual.revision !== expected.revision || actual.kind !== expected.kind) return false;
  if (actual.kind !== "txn") return canonical(actual) === canonical(expected);
  if (expected.kind !== "txn" || request.kind !== "txn") return false;
  if (actual.succeeded !== expected.succeeded || actual.results.length !== expected.results.length) return false;
  return actual.results.every((one, at) => canonical(one) === canonical(expected.results[at]!));
}

/** Text that is equal for equal results, whatever the order of their fields. */
function canonical(result: object): string {
  return JSON.stringify(result, (_name, value: unknown) =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

function fault(rule: string, text: string, operations: readonly Operation[]): Violation {
  return { rule, text: [text, ...operations.map(describe)].join("\n  "), operations };
}
