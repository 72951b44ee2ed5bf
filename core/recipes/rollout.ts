/**
 * Who runs which revision of a configuration: each consumer says so, under keys apart from the values, so that nobody is woken by it. One
 * that says nothing for its TTL is not counted any more.
 *
 *     /quorate/config-acks/<namespace>/<consumer>   the revision, in decimal, on a lease that all consumers of a slice of time share
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { errBadField } from "../errors.ts";
import type { KeyValue } from "../store/command.ts";
import type { CallOptions, ReadOptions, RecipeContext } from "./client-port.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { follow, readUnder } from "./follow.ts";
import { nameOfSegment, prefixOf, segmentOf } from "./names.ts";
import { repeat } from "./repeat.ts";
import { foundAt, modifiedAt, oneKey, putOp, rangeOp, txnOf } from "./requests.ts";
import { openScope } from "./scope.ts";
import { withSharedLease } from "./shared-lease.ts";
import type { WaitOptions } from "./turns.ts";

const KIND = "config-acks";
/** Families of shared leases from this one on: one for each TTL, in powers of two. */
const FAMILIES = 512;
const TTL_SECONDS_MIN = 16;
const TTL_SECONDS_MAX = 86_400;

export interface Rollout {
  /** What each consumer runs. */
  readonly consumers: ReadonlyMap<string, number>;
  readonly revision: number;
}

/** Says that a consumer runs a revision, or a newer one: it never goes back. To be said again within the TTL, default 1 min. */
export async function acknowledgeConfig(
  context: RecipeContext,
  namespace: string,
  consumer: string,
  revision: number,
  { ttl = "1m", signal }: CallOptions & { readonly ttl?: Duration | undefined } = {},
): Promise<void> {
  if (!Number.isSafeInteger(revision) || revision < 1) throw errBadField("revision", "revision must be a whole number above 0");
  const seconds = milliseconds(ttl, "ttl") / 1_000;
  if (seconds < 2 || seconds > TTL_SECONDS_MAX) throw errBadField("ttl", `ttl must be 2s to 1d; it is ${JSON.stringify(ttl)}`);
  const key = ascii(prefixOf(KIND, namespace) + segmentOf(consumer, "consumer"));
  const power = Math.ceil(Math.log2(Math.max(seconds, TTL_SECONDS_MIN)));
  const ms = 2 ** power * 1_000;
  const look = [rangeOp(oneKey(key))];
  let seen = await repeat(context, () => context.store.txn(txnOf([], look), { signal }), { signal });
  for (;;) {
    const [kv] = foundAt(seen, 0);
    const value = ascii(Math.max(revision, kv === undefined ? 0 : runs(kv)).toString());
    seen = await withSharedLease(context, { family: FAMILIES + power, sliceMs: ms, keepMs: ms }, (lease) => {
      const request = txnOf([modifiedAt(key, kv?.modRevision ?? 0)], [putOp(key, value, lease)], look);
      return repeat(context, () => context.store.txn(request, { signal }), { signal });
    });
    if (seen.succeeded) return;
  }
}

/** Who runs what. */
export async function configRollout(context: RecipeContext, namespace: string, options: ReadOptions = {}): Promise<Rollout> {
  const prefix = prefixOf(KIND, namespace);
  const { kvs, revision } = await readUnder(context, prefix, options);
  return { consumers: new Map(kvs.map((kv) => [consumerIn(prefix, kv), runs(kv)])), revision };
}

/**
 * Waits until all consumers there are run a revision, or a newer one.
 * @param options.atLeast so many of them do, whatever the others run
 * @returns the rollout; null when the time to wait is over @throws the signal's reason
 */
export async function whenRolledOut(
  context: RecipeContext,
  namespace: string,
  revision: number,
  { wait, signal, atLeast }: WaitOptions & { readonly atLeast?: number | undefined } = {},
): Promise<Rollout | null> {
  const prefix = prefixOf(KIND, namespace);
  const scope = openScope(context.host, [signal], wait === undefined ? undefined : milliseconds(wait, "wait"));
  const consumers = new Map<string, number>();
  try {
    for await (const step of follow(context, prefix, { signal: scope.signal })) {
      if (step.kvs !== null) consumers.clear();
      for (const kv of step.kvs ?? []) consumers.set(consumerIn(prefix, kv), runs(kv));
      for (const { type, kv } of step.events) {
        if (type === "put") consumers.set(consumerIn(prefix, kv), runs(kv));
        else consumers.delete(consumerIn(prefix, kv));
      }
      const rollout = { consumers: new Map(consumers), revision: step.revision };
      if (isRolledOut(rollout, revision, atLeast)) return rollout;
    }
    signal?.throwIfAborted();
    return null;
  } finally {
    scope.close();
  }
}

export function isRolledOut({ consumers }: Rollout, revision: number, atLeast?: number): boolean {
  const done = [...consumers.values()].filter((one) => one >= revision).length;
  return done >= (atLeast ?? consumers.size);
}

function consumerIn(prefix: Bytes, { key }: KeyValue): string {
  return nameOfSegment(key.slice(prefix.length) as Bytes);
}

/** 0 when it is no number: another program's. */
function runs({ value }: KeyValue): number {
  return /^\d{1,15}$/.test(value) ? Number(value) : 0;
}
