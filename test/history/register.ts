/**
 * One key of the store as a register, for the search of linearizability.ts: what can an operation do to it, and was its answer possible?
 * Operations: put, delete, get, and compare-and-swap, which is a transaction that puts if the mod revision (or create revision) is a given
 * one and otherwise gets or does nothing.
 *
 * Revisions are numbers that only grow. Where the write is of unknown outcome its revision is not known until an answer tells; until then
 * it is null and fits any number that is large enough.
 */
import type { KeyValue, Operation, Request, Response, SingleRequest, TxnRequest } from "./history.ts";

export interface RegisterState {
  /** null: the key is not there; versions and revisions are 0 then. */
  readonly value: string | null;
  readonly version: number;
  /** null: not known yet. */
  readonly modRevision: number | null;
  /** null: not known yet. */
  readonly createRevision: number | null;
  /** Of the latest write, or the least that it can be. */
  readonly revision: number;
}

export const EMPTY_REGISTER: RegisterState = { value: null, version: 0, modRevision: 0, createRevision: 0, revision: 1 };

export type Revisions = "free" | "exact";

/** The key that a request is for. @throws Error when it is not a request for one key that this file knows */
export function keyOf(request: Request): string {
  const requests: readonly SingleRequest[] = request.kind === "txn" ? [...request.success, ...request.failure] : [request];
  const keys = new Set([...requests.map(({ key }) => key), ...(request.kind === "txn" ? request.compare.map(({ key }) => key) : [])]);
  const simple = requests.every((one) => one.kind === "put" || one.end === undefined);
  const swap = request.kind !== "txn" || isSwap(request);
  const [key] = keys;
  if (key === undefined || keys.size !== 1 || !simple || !swap) throw new Error(`not a request for one key: ${JSON.stringify(request)}`);
  return key;
}

function isSwap({ compare, success, failure }: TxnRequest): boolean {
  const [condition, ...others] = compare;
  if (condition === undefined || others.length > 0 || condition.op !== "=") return false;
  if (condition.target !== "mod" && condition.target !== "create") return false;
  return success.length === 1 && success[0]!.kind !== "range" && failure.length <= 1 && failure.every(({ kind }) => kind === "range");
}

/** @returns the state after the operation; null when it cannot have been answered so in this state */
export function stepRegister(state: RegisterState, { request, response }: Operation, revisions: Revisions): RegisterState | null {
  if (request.kind === "txn") return swap(state, request, response, revisions);
  return single(state, request, response, response?.revision ?? null, revisions);
}

function single(
  state: RegisterState,
  request: SingleRequest,
  answer: Response | null | { readonly kind: string },
  revision: number | null,
  revisions: Revisions,
): RegisterState | null {
  if (answer !== null && answer.kind !== request.kind) return null;
  const result = answer as Exclude<Response, { kind: "txn" }> | null;
  if (request.kind === "put") return put(state, request.value, result as Extract<Response, { kind: "put" }> | null, revision, revisions);
  if (request.kind === "delete") return remove(state, result as Extract<Response, { kind: "delete" }> | null, revision, revisions);
  return result === null ? state : look(state, (result as Extract<Response, { kind: "range" }>).kvs, revision, revisions);
}

function put(
  state: RegisterState,
  value: string,
  result: { readonly prev?: KeyValue | null } | null,
  revision: number | null,
  revisions: Revisions,
): RegisterState | null {
  const known = result?.prev === undefined ? state : bind(state, result.prev === null ? [] : [result.prev]);
  if (known === null) return null;
  const next = nextRevision(known, revision, revisions);
  if (next === null) return null;
  const modRevision = next.known;
  const createRevision = known.value === null ? modRevision : known.createRevision;
  return { value, version: known.version + 1, modRevision, createRevision, revision: next.revision };
}

function remove(
  state: RegisterState,
  result: { readonly deleted: number; readonly prev?: readonly KeyValue[] } | null,
  revision: number | null,
  revisions: Revisions,
): RegisterState | null {
  if (result !== null && result.deleted !== (state.value === null ? 0 : 1)) return null;
  const known = result?.prev === undefined ? state : bind(state, result.prev);
  if (known === null) return null;
  if (known.value === null) return standsAt(known, revision, revisions);
  const next = nextRevision(known, revision, revisions);
  return next === null ? null : { ...EMPTY_REGISTER, revision: next.revision };
}

function look(state: RegisterState, kvs: readonly KeyValue[], revision: number | null, revisions: Revisions): RegisterState | null {
  const known = bind(state, kvs);
  return known === null ? null : standsAt(known, revision, revisions);
}

function swap(state: RegisterState, request: TxnRequest, response: Response | null, revisions: Revisions): RegisterState | null {
  const condition = request.compare[0]!;
  const actual = condition.target === "create" ? state.createRevision : state.modRevision;
  if (response === null) return openSwap(state, request, actual === null ? null : actual === condition.value, revisions);
  if (response.kind !== "txn") return null;
  if (actual !== null && response.succeeded !== (actual === condition.value)) return null;
  if (actual === null && response.succeeded && (condition.value as number) < 1) return null;
  const branch = response.succeeded ? request.success : request.failure;
  if (response.results.length !== branch.length) return null;
  if (branch.length === 0) return standsAt(state, response.revision, revisions);
  return single(state, branch[0]!, response.results[0]!, response.revision, revisions);
}

/** Of unknown outcome. Where it is not known whether the condition holds it is taken to: that it did nothing is the same as never done. */
function openSwap(state: RegisterState, request: TxnRequest, held: boolean | null, revisions: Revisions): RegisterState {
  if (held === false) return state;
  return single(state, request.success[0]!, null, null, revisions) ?? state;
}

/** Is this what is there? Revisions that were not known are known then. */
function bind(state: RegisterState, found: readonly KeyValue[]): RegisterState | null {
  const [one, ...others] = found;
  if (one === undefined) return state.value === null ? state : null;
  if (others.length > 0 || one.value !== state.value || one.version !== state.version) return null;
  const { modRevision, createRevision } = one;
  if (state.modRevision === null ? modRevision < state.revision : modRevision !== state.modRevision) return null;
  if (state.createRevision !== null && createRevision !== state.createRevision) return null;
  if (one.version === 1 ? createRevision !== modRevision : createRevision >= modRevision) return null;
  return { ...state, modRevision, createRevision, revision: Math.max(state.revision, modRevision) };
}

/** The revision of a write: `known` when it is known, and the least that it can be. */
function nextRevision(
  { revision: before }: RegisterState,
  told: number | null,
  revisions: Revisions,
): { readonly known: number | null; readonly revision: number } | null {
  if (revisions === "exact") return told === null || told === before + 1 ? { known: before + 1, revision: before + 1 } : null;
  if (told === null) return { known: null, revision: before + 1 };
  return told > before ? { known: told, revision: told } : null;
}

/** After something that writes nothing. */
function standsAt(state: RegisterState, told: number | null, revisions: Revisions): RegisterState | null {
  return revisions === "free" || told === null || told === state.revision ? state : null;
}
