/**
 * Is the history of one key linearizable? A search (search.ts) that trusts no revision of a header: it looks for an order of the operations
 * that a register could have done. As linearizability is local (Herlihy and Wing), a history of requests for single keys is linearizable if
 * the part of each key is.
 */
import type { Operation } from "./history.ts";
import { type RegisterState, EMPTY_REGISTER, keyOf, stepRegister } from "./register.ts";
import { type SearchResult as Found, type SequentialModel, type TimeBound, search } from "./search.ts";

export interface SearchOptions extends TimeBound {
  /**
   * "free": revisions of headers are not looked at but those that a write gives its key. "exact": the key is the only one of the store, so
   * the revision of each header is a part of the answer; this is as strict as the witness check.
   */
  readonly revisions?: "free" | "exact";
  /** In "exact": of the store before the history; default 1. */
  readonly firstRevision?: number;
}

export type SearchResult = Found<Operation>;

/** The parts of a history, by key, serializable reads left out. @throws Error when a request is for more than one key */
export function partitionByKey(operations: readonly Operation[]): Map<string, Operation[]> {
  const parts = new Map<string, Operation[]>();
  for (const operation of operations) {
    const { request } = operation;
    if (request.kind === "range" && request.serializable === true) continue;
    const key = keyOf(request);
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [operation]);
    else part.push(operation);
  }
  return parts;
}

/** All keys of a history, one after the other. @returns the first that is not linearizable or not decided; null when there is none */
export function checkLinearizable(
  operations: readonly Operation[],
  options: SearchOptions,
): (SearchResult & { readonly key: string }) | null {
  const end = options.now() + options.limit;
  for (const [key, part] of partitionByKey(operations)) {
    const result = searchRegister(part, { ...options, limit: end - options.now() });
    if (result.verdict !== "linearizable") return { ...result, key };
  }
  return null;
}

/** @param operations of one key */
export function searchRegister(operations: readonly Operation[], options: SearchOptions): SearchResult {
  return search(operations, registerModel(options), options);
}

function registerModel({ revisions = "free", firstRevision = 1 }: SearchOptions): SequentialModel<RegisterState, Operation> {
  return {
    initial: { ...EMPTY_REGISTER, revision: firstRevision },
    step: (state, operation) => stepRegister(state, operation, revisions),
    keyOf: ({ value, version, modRevision, createRevision, revision }) =>
      `${value ?? ""}|${version}|${modRevision}|${createRevision}|${revision}`,
  };
}
