/**
 * Could a sequential model have given the answers of a history? The search looks for an order of the operations in which each answer is
 * possible, and in which nothing comes before what had returned when it was called.
 *
 * The list of calls and returns in order of time is walked; an operation whose call is met may be done next, until a return is met whose
 * operation is not done: then the last one done is taken back. What was tried, a set of operations done and the state that they led to,
 * is not tried again. Open operations return at infinity: they may be done at any time, or never.
 * Source: Wing and Gong, "Testing and verifying concurrent objects" (1993); Lowe, "Testing for linearizability" (2016).
 */

/** An operation of a history. */
export interface Timed {
  /** Of one clock for all clients, any unit. */
  readonly call: number;
  /** null: the outcome is not known. */
  readonly return: number | null;
  /** null when `return` is. */
  readonly response: unknown;
}

/** What the object under test would be if it did one operation after the other. */
export interface SequentialModel<State, Op> {
  readonly initial: State;
  /** @returns the state after the operation; null when it cannot have been answered so in this state */
  readonly step: (state: State, operation: Op) => State | null;
  /** The same for states that are the same. */
  readonly keyOf: (state: State) => string;
}

export interface TimeBound {
  /** Any clock; `limit` is in its unit. */
  readonly now: () => number;
  readonly limit: number;
}

export interface SearchResult<Op> {
  readonly verdict: "linearizable" | "illegal" | "unknown";
  /** An order that the model could have done: of all, or of as many as it takes to come to the return that stops the search. */
  readonly longest: readonly Op[];
  /** Illegal: the shortest beginning that is so. Operations that return after it are open in it. */
  readonly prefix: readonly Op[];
  /** Illegal: whose return ends the prefix. */
  readonly blocked: Op | null;
}

/** Looks at the clock after that many steps. */
const STEPS_BETWEEN_LOOKS = 1024;

export function search<State, Op extends Timed>(
  operations: readonly Op[],
  model: SequentialModel<State, Op>,
  options: TimeBound,
): SearchResult<Op> {
  const end = options.now() + options.limit;
  const result = new Search(operations, model, options).run();
  if (result.verdict !== "illegal" || result.blocked === null) return result;
  // Answers that come later than where the search stops may be what stops it. So the shortest illegal beginning ends there or later.
  const stop = result.blocked.return!;
  const returns = operations.filter((one) => one.return !== null && one.return >= stop).toSorted((a, b) => a.return! - b.return!);
  let [low, high] = [0, returns.length - 1];
  let shortest = result;
  while (low < high) {
    const middle = (low + high) >> 1;
    const attempt = new Search(prefixOf(operations, returns[middle]!.return!), model, { ...options, limit: end - options.now() }).run();
    if (attempt.verdict === "unknown") break;
    if (attempt.verdict === "illegal") [high, shortest] = [middle, attempt];
    else low = middle + 1;
  }
  const blocked = returns[high]!;
  return { ...shortest, prefix: prefixOf(operations, blocked.return!), blocked };
}

/** A call or a return in the list of what is not done yet. */
interface Entry {
  readonly at: number;
  /** Number of the operation, in order of calls. */
  readonly index: number;
  /** null: this is a return. */
  readonly match: Entry | null;
  previous: Entry | null;
  next: Entry | null;
}

/** What was called until `end`, in order of calls; what had not returned by then is open. */
function prefixOf<Op extends Timed>(operations: readonly Op[], end: number): Op[] {
  return operations
    .filter(({ call }) => call <= end)
    .map((one) => (one.return !== null && one.return <= end ? one : { ...one, return: null, response: null }))
    .toSorted((a, b) => a.call - b.call);
}

class Search<State, Op extends Timed> {
  readonly #operations: readonly Op[];
  readonly #model: SequentialModel<State, Op>;
  readonly #options: TimeBound;
  readonly #head: Entry;
  readonly #done: { readonly entry: Entry; readonly before: State }[] = [];
  readonly #doneSet: Uint32Array;
  readonly #tried = new Set<string>();
  #state: State;
  #returnsLeft: number;
  #longest: readonly Op[] = [];
  #blocked: Entry | null = null;

  constructor(operations: readonly Op[], model: SequentialModel<State, Op>, options: TimeBound) {
    this.#operations = operations.toSorted((a, b) => a.call - b.call);
    this.#model = model;
    this.#options = options;
    this.#head = listOf(this.#operations);
    this.#doneSet = new Uint32Array(Math.ceil(operations.length / 32));
    this.#state = model.initial;
    this.#returnsLeft = operations.filter((one) => one.return !== null).length;
  }

  run(): SearchResult<Op> {
    const { now, limit } = this.#options;
    const end = now() + limit;
    let entry = this.#head.next;
    for (let steps = 1; this.#returnsLeft > 0; steps++) {
      if (steps % STEPS_BETWEEN_LOOKS === 0 && now() > end) return this.#result("unknown");
      if (entry === null) throw new Error("the list of calls and returns ended before the last return");
      if (entry.match !== null) {
        entry = this.#tryNext(entry) ? this.#head.next : entry.next;
        continue;
      }
      if (this.#blocked === null || entry.at > this.#blocked.at) this.#block(entry);
      const taken = this.#takeBack();
      if (taken === null) return this.#result("illegal");
      entry = taken.next;
    }
    return this.#result("linearizable");
  }

  /** Does the operation of a call next, if the model could, and this was not tried. */
  #tryNext(call: Entry): boolean {
    const operation = this.#operations[call.index]!;
    const after = this.#model.step(this.#state, operation);
    if (after === null) return false;
    this.#flip(call.index);
    const configuration = `${this.#doneSet.join()}|${this.#model.keyOf(after)}`;
    if (this.#tried.has(configuration)) {
      this.#flip(call.index);
      return false;
    }
    this.#tried.add(configuration);
    this.#done.push({ entry: call, before: this.#state });
    this.#state = after;
    if (operation.return !== null) this.#returnsLeft -= 1;
    unlink(call);
    unlink(call.match!);
    return true;
  }

  #takeBack(): Entry | null {
    const last = this.#done.pop();
    if (last === undefined) return null;
    this.#state = last.before;
    this.#flip(last.entry.index);
    if (this.#operations[last.entry.index]!.return !== null) this.#returnsLeft += 1;
    relink(last.entry.match!);
    relink(last.entry);
    return last.entry;
  }

  #flip(index: number): void {
    this.#doneSet[index >> 5]! ^= 1 << (index & 31);
  }

  /** No order gets beyond this return, so far. */
  #block(entry: Entry): void {
    this.#blocked = entry;
    this.#longest = this.#order();
  }

  #order(): Op[] {
    return this.#done.map(({ entry }) => this.#operations[entry.index]!);
  }

  #result(verdict: SearchResult<Op>["verdict"]): SearchResult<Op> {
    const longest = verdict === "linearizable" ? this.#order() : this.#longest;
    const blocked = verdict === "illegal" ? this.#operations[this.#blocked!.index]! : null;
    return { verdict, longest, prefix: [], blocked };
  }
}

/** Calls and returns in order of time; at one time calls come first, so that operations which touch are concurrent. */
function listOf(operations: readonly Timed[]): Entry {
  const entries = operations.flatMap((operation, index): Entry[] => {
    const back: Entry = { at: operation.return ?? Infinity, index, match: null, previous: null, next: null };
    return [{ at: operation.call, index, match: back, previous: null, next: null }, back];
  });
  entries.sort((a, b) => {
    if (a.at !== b.at) return a.at < b.at ? -1 : 1;
    return Number(a.match === null) - Number(b.match === null);
  });
  const head: Entry = { at: -Infinity, index: -1, match: null, previous: null, next: null };
  let last = head;
  for (const entry of entries) {
    entry.previous = last;
    last.next = entry;
    last = entry;
  }
  return head;
}

function unlink({ previous, next }: Entry): void {
  previous!.next = next;
  if (next !== null) next.previous = previous;
}

/** Undoes the latest `unlink` that is not undone. */
function relink(entry: Entry): void {
  entry.previous!.next = entry;
  if (entry.next !== null) entry.next.previous = entry;
}
