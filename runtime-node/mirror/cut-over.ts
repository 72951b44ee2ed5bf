/**
 * The destination takes the source's place. The source is frozen, so that nothing is written behind what was taken over; what is left is
 * taken over and everything compared; keys get their leases, whose terms begin anew. Each part may be done again: a cut-over that was broken
 * off is finished by asking for it again, and until then the source stays frozen.
 */
import { createHash } from "node:crypto";
import { toUint8Array } from "../../core/bytes/bytes.ts";
import { type KeyRange, type KeyValue, type LeaseId, NO_LEASE, type Operation } from "../../core/store/command.ts";
import { type Mirror, refused } from "./mirror.ts";
import { type LeaseToMove, RECORDS, type Side } from "./side.ts";

export interface CutOver {
  /** Of the source, at which nothing was written any more. */
  readonly sourceRevision: number;
  readonly destRevision: number;
  readonly keys: number;
  readonly leases: number;
  /** SHA-256 of keys and values, equal on both sides. */
  readonly hash: string;
}

export interface CutOverOptions {
  /** The destination's revision may be below the source's: fences and numbers in keys begin again below those that were given out. */
  readonly allowLowerRevision: boolean;
  /** All leases are moved, also those without keys. */
  readonly allLeases: boolean;
}

/** Keys that are put on their leases in one transaction. */
const ATTACH_MAX = 100;

/** @throws CommandError, QuorateError; the source is frozen then, if it was */
export async function cutOver(mirror: Mirror, { allowLowerRevision, allLeases }: CutOverOptions, signal: AbortSignal): Promise<CutOver> {
  const { source, dest } = mirror;
  // Most is done while the source is still in use.
  await mirror.reconcile(await source.revision(signal), signal);
  const [before, there] = [await source.revision(signal), await dest.revision(signal)];
  if (there <= before && !allowLowerRevision) {
    throw refused(
      `the destination's revision is ${there} and the source's ${before}: fencing tokens and numbers of messages would be given out twice. ` +
        "Begin the destination with a snapshot of the source, whose restore raises the revision, or allow it with --allow-lower-revision",
    );
  }
  await source.freeze();
  const sourceRevision = await source.revision(signal);
  await mirror.reconcile(sourceRevision, signal);
  const [ours, theirs] = await Promise.all([
    summaryOf(source, mirror.sourceRange, sourceRevision, (kv) => mirror.destKey(kv.key), signal),
    summaryOf(dest, mirror.destRange, await dest.revision(signal), (kv) => kv.key, signal),
  ]);
  if (ours.hash !== theirs.hash) {
    throw refused(
      `${ours.keys} keys at the source, ${theirs.keys} at the destination, and they differ: somebody else writes to the destination`,
    );
  }
  const leases = await moveLeases(mirror, sourceRevision, allLeases, signal);
  const last = mirror.progress.last!;
  const destRevision = await mirror.progress.write([], { ...last, phase: "cut", revision: sourceRevision }, signal);
  return { sourceRevision, destRevision, keys: ours.keys, leases, hash: ours.hash };
}

interface Summary {
  readonly keys: number;
  readonly hash: string;
}

async function summaryOf(
  side: Side,
  range: KeyRange,
  revision: number,
  keyOf: (kv: KeyValue) => string,
  signal: AbortSignal,
): Promise<Summary> {
  const hash = createHash("sha256");
  let keys = 0;
  for await (const { kvs } of side.pages(range, revision, signal)) {
    for (const kv of kvs) {
      if (kv.key.startsWith(RECORDS)) continue;
      const key = keyOf(kv);
      // Lengths first, so that no other keys and values make the same bytes.
      hash.update(`${key.length} ${kv.value.length} `);
      hash.update(key, "latin1");
      hash.update(toUint8Array(kv.value));
      keys++;
    }
  }
  return { keys, hash: hash.digest("hex") };
}

/** @returns how many there were */
async function moveLeases(mirror: Mirror, revision: number, allLeases: boolean, signal: AbortSignal): Promise<number> {
  const { source, dest, progress } = mirror;
  const terms = new Map<LeaseId, LeaseToMove | null>();
  const granted = async (id: LeaseId): Promise<boolean> => {
    let lease = terms.get(id);
    if (lease === undefined) {
      terms.set(id, (lease = await source.untilAnswered(() => source.lease(id), signal)));
      if (lease !== null) await dest.untilAnswered(() => dest.context.store.grant(lease!.id, lease!.ttlSeconds), signal);
    }
    return lease !== null;
  };
  if (allLeases) for (const id of await source.leases()) await granted(id);
  let attaching: Operation[] = [];
  const attach = async (): Promise<void> => {
    if (attaching.length > 0) await progress.write(attaching, { ...progress.last!, revision }, signal);
    attaching = [];
  };
  for await (const { kvs } of source.pages(mirror.sourceRange, revision, signal)) {
    for (const kv of kvs) {
      if (kv.lease === NO_LEASE || kv.key.startsWith(RECORDS) || !(await granted(kv.lease))) continue;
      const { value, contentType } = kv;
      const put = {
        op: "put",
        key: mirror.destKey(kv.key),
        value,
        lease: kv.lease,
        prevKv: false,
        ignoreValue: false,
        ignoreLease: false,
      } as const;
      attaching.push(contentType === undefined ? put : { ...put, contentType });
      if (attaching.length === ATTACH_MAX) await attach();
    }
  }
  await attach();
  // Renewed last, so that each has its whole term before it.
  for (const lease of terms.values()) if (lease !== null) await dest.untilAnswered(() => dest.context.store.keepAlive(lease.id), signal);
  return [...terms.values()].filter((lease) => lease !== null).length;
}
