/**
 * Tasks: an operator says what is to be done, workers report how far they are. A report lives as long as the worker's lease; of a worker
 * whose report is gone before it said that it had ended, it is known that it was there: it is lost.
 *
 *     /quorate/tasks/<name>/spec             what is to be done
 *     /quorate/tasks/<name>/p/<worker>       how far a worker is, on its lease; without one once it has ended
 *     /quorate/tasks/<name>/w/<worker>       that it has reported
 */
import type { Bytes } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errBadField, errConflict } from "../errors.ts";
import type { LeaseId } from "../store/command.ts";
import type { AsOf, CallOptions, ReadOptions, RecipeContext } from "./client-port.ts";
import { nameOfSegment, prefixOf, segmentOf } from "./names.ts";
import { putAt } from "./put-at.ts";
import { repeat } from "./repeat.ts";
import { deleteOp, foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";

const KIND = "tasks";
const NOTE_CHARS_MAX = 1_000;

export interface Progress {
  readonly state: "running" | "done" | "failed";
  /** 0 to 100. */
  readonly percent?: number | undefined;
  readonly note?: string | undefined;
}

export interface WorkerState extends Omit<Progress, "state"> {
  readonly worker: string;
  /** `lost`: its lease ended before it had said that it was done or had failed. */
  readonly state: Progress["state"] | "lost";
}

export interface TaskState extends AsOf {
  /** As it was set; null: nothing is. */
  readonly spec: Bytes | null;
  /** Of the spec; 0: there is none. */
  readonly modRevision: number;
  readonly workers: readonly WorkerState[];
}

/**
 * Says what is to be done.
 * @param ifRevision only if it was changed last at this revision; 0: only if nothing has been said
 * @throws QuorateError conflict when it has been changed
 */
export async function directTask(context: RecipeContext, name: string, spec: Bytes, ifRevision?: number): Promise<AsOf> {
  const key = keyOf(name, "spec");
  const put = await putAt(context, { kind: KIND, name }, key, spec, { ifRevision });
  if (!put.done) throw errConflict("the task has been changed");
  return { revision: put.revision };
}

/**
 * Says how far a worker is. One that has ended needs no lease any more.
 * @param lease of the worker, alive
 * @throws QuorateError leaseNotFound; badField
 */
export async function reportProgress(
  context: RecipeContext,
  name: string,
  worker: string,
  progress: Progress,
  lease: LeaseId,
  { signal }: CallOptions = {},
): Promise<AsOf> {
  const { state, percent, note } = progress;
  if (percent !== undefined && !(percent >= 0 && percent <= 100)) throw errBadField("percent", "percent: must be 0 to 100");
  if (note !== undefined && note.length > NOTE_CHARS_MAX) throw errBadField("note", `note: must have at most ${NOTE_CHARS_MAX} characters`);
  const value = utf8Encode(JSON.stringify({ state, percent, note }));
  const segment = segmentOf(worker, "worker");
  const key = keyOf(name, `p/${segment}`);
  const on: LeaseId = state === "running" ? lease : "0";
  const writes = [putOp(key, value, on), putOp(keyOf(name, `w/${segment}`), "" as Bytes)];
  const look = rangeOp(oneKey(key));
  const { kvs } = await repeat(context, () => context.store.range(readOf(oneKey(key)), { signal }), { signal });
  for (let [before] = kvs; ;) {
    // By compare: a try that was given up may arrive after a later report, which it must not undo.
    const request = txnOf([modifiedAt(key, before?.modRevision ?? 0)], writes, [look]);
    const result = await repeat(context, () => context.store.txn(request, { signal }), { signal });
    if (result.succeeded) return { revision: result.revision };
    [before] = foundAt(result, 0);
    // A try of which nothing was heard has said it.
    if (before?.value === value && before.lease === on) return { revision: before.modRevision };
  }
}

/** What is to be done, and how far everybody is. */
export async function taskState(context: RecipeContext, name: string, options: ReadOptions = {}): Promise<TaskState> {
  const request = txnOf(
    [],
    [rangeOp(oneKey(keyOf(name, "spec"))), rangeOp(keysUnder(keyOf(name, "p/"))), rangeOp(keysUnder(keyOf(name, "w/")))],
  );
  const result = await repeat(context, () => context.store.txn(request, options), options);
  const [spec] = foundAt(result, 0);
  const [start, marked] = [keyOf(name, "p/").length, keyOf(name, "w/").length];
  const reports = new Map(foundAt(result, 1).map(({ key, value }) => [key.slice(start), JSON.parse(utf8Decode(value)) as Progress]));
  const workers = foundAt(result, 2).map(({ key }): WorkerState => {
    const segment = key.slice(marked);
    return { worker: nameOfSegment(segment as Bytes), ...(reports.get(segment) ?? { state: "lost" }) };
  });
  return { spec: spec?.value ?? null, modRevision: spec?.modRevision ?? 0, workers, revision: result.revision };
}

/** Resolves at the next change of the task after a revision, also when a worker is lost. Or when the signal fires, with its reason. */
export async function taskChange(context: RecipeContext, name: string, after: number, { signal }: CallOptions = {}): Promise<void> {
  const watching = { ...keysUnder(prefixOf(KIND, name)), startRevision: after + 1, signal };
  for await (const _ of context.store.watch(watching)) return;
  signal?.throwIfAborted();
}

/** Nothing is to be done any more, and nobody has reported. */
export async function deleteTask(context: RecipeContext, name: string): Promise<void> {
  await repeat(context, () => context.store.txn(txnOf([], [deleteOp(keysUnder(prefixOf(KIND, name)))])));
}

/** Forgets a worker, lost or not. */
export async function forgetWorker(context: RecipeContext, name: string, worker: string): Promise<void> {
  const segment = segmentOf(worker, "worker");
  const all = ["p/", "w/"].map((part) => deleteOp(oneKey(keyOf(name, part + segment))));
  await repeat(context, () => context.store.txn(txnOf([], all)));
}

function keyOf(name: string, rest: string): Bytes {
  return (prefixOf(KIND, name) + rest) as Bytes;
}
