/**
 * A snapshot takes the place of a namespace's state: the file that `quorate snapshot save` makes of a cluster, or that another namespace
 * gave. It is verified whole before anything is changed; then the tables are replaced in one transaction, with the deadlines of the leases.
 *
 * The revision is raised above all that clients of either state have seen, so that no fencing token is given out twice; whoever asks for an
 * old one is told that it is compacted. The ids of the namespace stay its own.
 */
import { createHash } from "node:crypto";
import { SqlLeaseDeadlines } from "../adapters/durable-object-storage/sql-lease-deadlines.ts";
import { SqlStateStorage } from "../adapters/durable-object-storage/sql-state-storage.ts";
import { unsealed } from "../core/store/snapshot-seal.ts";
import { StateMachine } from "../core/store/state-machine.ts";
import type { Administered } from "./administration.ts";
import { clock } from "./host.ts";

/** Handed to the reader at a time. */
const PIECE_BYTES = 1 << 20;

export interface Replaced {
  /** In the file. */
  readonly revisionBefore: number;
  readonly revision: number;
  readonly keys: number;
  readonly hash: number;
}

/**
 * @param bump by how much the revision is raised at least; 0 keeps the history, where the namespace has not been further already
 * @throws QuorateError malformed, unknownSnapshot; then nothing has changed
 */
export async function replaceState(file: Uint8Array, bump: number, { member, storage, onReplaced }: Administered): Promise<Replaced> {
  const snapshot = unsealed(file, createHash("sha256"));
  const tables = new SqlStateStorage(storage);
  const state = new StateMachine({ quotaBytes: Number.MAX_SAFE_INTEGER, storage: tables });
  let revisionBefore = 0;
  const { replica } = member;
  const replace = (work: () => void): void =>
    storage.transactionSync(() => {
      const [seen, appliedIndex] = [replica.store.revision, replica.status().appliedIndex];
      member.halt();
      onReplaced();
      work();
      revisionBefore = tables.versions.revision;
      const revision = Math.max(revisionBefore + bump, seen > revisionBefore ? seen + 1 : 0);
      if (revision > revisionBefore) tables.versions.raiseRevision(revision);
      // Alarms were about members and disks of the old life.
      tables.save({
        appliedIndex: Math.max(appliedIndex, state.appliedIndex),
        clockMs: state.clockMs,
        alarms: [],
        auth: state.auth.dump(),
      });
      startLeases(tables, new SqlLeaseDeadlines(storage));
      void storage.setAlarm(clock.wallMs());
    });
  await state.restore(pieces(snapshot), replace);
  await storage.sync();
  const after = new StateMachine({ quotaBytes: Number.MAX_SAFE_INTEGER, storage: new SqlStateStorage(storage) });
  return { revisionBefore, revision: after.revision, keys: after.keyCount(), hash: after.hash() };
}

/** Each for a whole term, or what the log said was left: as a new leader does. */
function startLeases({ leases }: SqlStateStorage, deadlines: SqlLeaseDeadlines): void {
  deadlines.clear();
  const now = clock.wallMs();
  for (const { id, ttlSeconds, remainingMs, v2 } of leases.all()) {
    const whole = ttlSeconds * 1000;
    deadlines.set(id, v2 === null ? now + Math.min(whole, remainingMs ?? whole) : Math.max(now, v2.expiresAt));
  }
}

async function* pieces(data: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < data.length; at += PIECE_BYTES) yield data.subarray(at, at + PIECE_BYTES);
}
