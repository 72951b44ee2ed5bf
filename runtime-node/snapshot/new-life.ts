/**
 * A state that begins a new life: out of a backup, or out of what one member of a lost cluster still has. Written as the data directory
 * of a member whose log begins with one snapshot at index 1 of term 1, with the configuration of the new cluster in its meta: as if all
 * its members had founded the cluster and agreed on that state in their first entry.
 *
 * Invariants: no revision that clients of the old life have seen is given out again (as far as the bump reaches), and whoever asks for
 * one, or watches from one, is told `compacted` and so lists anew, instead of going back in time. Fencing tokens never repeat.
 * Source: etcd, "Restoring with revision bump", https://etcd.io/docs/v3.6/op-guide/recovery/
 */
import { FileLogStorage } from "../../adapters/file-storage/file-log-storage.ts";
import type { FileSystem } from "../../adapters/file-storage/file-system.ts";
import { QuorateError } from "../../core/errors.ts";
import { must } from "../../core/invariant.ts";
import { decodeConfig, foundingLog } from "../../core/raft/config-change.ts";
import { type MemberMeta, formatMemberMeta } from "../../core/replica/consensus-port.ts";
import type { Identity } from "../../core/replica/log-storage-port.ts";
import type { StateMachine } from "../../core/store/state-machine.ts";

/** Where the state stands in the new log. */
const PLACE = { index: 1, term: 1 } as const;

export interface RevisionChange {
  readonly revisionBefore: number;
  readonly revisionAfter: number;
}

/**
 * Drops the alarms, which were about members and disks of the old life, and raises the revision; leases and their keys stay.
 * @param bump 0: revision and history stay as they are
 * @throws QuorateError `badField` when the revision would leave the range of exact numbers
 */
export function beginNewLife(state: StateMachine, bump: number): RevisionChange {
  const revisionBefore = state.revision;
  const revisionAfter = revisionBefore + bump;
  if (!Number.isSafeInteger(revisionAfter)) {
    throw new QuorateError("invalidArgument", "badField", `revision ${revisionBefore} cannot be raised by ${bump}`);
  }
  const entry = { index: state.appliedIndex, term: PLACE.term };
  for (const alarm of [...state.alarms()]) state.apply({ kind: "alarm", action: "deactivate", alarm, time: state.clockMs }, entry);
  if (bump > 0) state.raiseRevision(revisionAfter);
  return { revisionBefore, revisionAfter };
}

export interface NewMember {
  /** Not there yet. Made whole and durable, but for its name in its parent, which the caller makes durable by renaming. */
  readonly directory: string;
  readonly identity: Identity;
  /** All voters of the new cluster, this member among them. */
  readonly members: readonly { readonly id: string; readonly meta: MemberMeta }[];
  readonly state: StateMachine;
  readonly fileSystem: FileSystem;
}

/** Writes the data directory of one member of the new cluster. @throws QuorateError of the storage; what was written is left there */
export async function writeNewMember({ directory, identity, members, state, fileSystem }: NewMember): Promise<void> {
  const { hard, entries } = foundingLog(members.map(({ id, meta }) => ({ id, meta: formatMemberMeta(meta) })));
  const config = must(decodeConfig(entries[0]!.data), () => "a configuration that was just made cannot be read");
  const storage = new FileLogStorage({ directory, fileSystem });
  await storage.open();
  try {
    await storage.initialise(identity);
    // The id is a replica's own form: members that were restored from one file hold the same bytes under it.
    const id = `${PLACE.term}-${PLACE.index}`;
    const writer = await storage.createSnapshot({ ...PLACE, config, configIndex: PLACE.index, size: 0, id });
    const frozen = state.freeze({ clusterId: identity.clusterId, ...PLACE });
    try {
      for (const chunk of frozen.chunks()) await writer.write(chunk);
    } finally {
      frozen.release();
    }
    await writer.commit();
    await storage.append({ hard, entries: [] }, true);
  } finally {
    await storage.close();
  }
}
