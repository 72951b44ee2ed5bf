/** A small state with keys, history, a lease and an alarm, as a file of `quorate snapshot save`. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { Bytes } from "../../core/bytes/bytes.ts";
import type { CommandBody } from "../../core/store/command.ts";
import { Seal } from "../../core/store/snapshot-seal.ts";
import { StateMachine } from "../../core/store/state-machine.ts";

/** Of the cluster that the sample was saved from. */
export const SAMPLE_CLUSTER_ID = "14841639068965178418";

/** Of one key; what else a put can have stands still. */
export function putOf(key: string, value: string, lease = "0"): CommandBody {
  return { kind: "put", key: key as Bytes, value: value as Bytes, lease, prevKv: false, ignoreValue: false, ignoreLease: false };
}

/** Revision 6: `a` written twice, `b` deleted again, `c` on lease 7, an alarm of a full disk. Entries 1 to 7 of term 2. */
export function sampleState(): StateMachine {
  const state = new StateMachine({ quotaBytes: 1e9 });
  const commands: CommandBody[] = [
    { kind: "leaseGrant", id: "7", ttlSeconds: 600 },
    putOf("a", "1"),
    putOf("a", "2"),
    putOf("b", "1"),
    { kind: "delete", key: "b" as Bytes, end: "" as Bytes, prevKv: false },
    putOf("c", "leased", "7"),
    { kind: "alarm", action: "activate", alarm: { memberId: "5", alarm: "nospace" } },
  ];
  commands.forEach((command, at) => state.apply({ ...command, time: 1000 + at }, { index: at + 1, term: 2 }));
  return state;
}

/** @returns the bytes that are in the file */
export function writeBackup(path: string, state: StateMachine = sampleState()): Buffer {
  const frozen = state.freeze({ clusterId: SAMPLE_CLUSTER_ID, index: state.appliedIndex, term: 2 });
  const chunks = [...frozen.chunks()];
  const seal = new Seal(createHash("sha256"));
  for (const chunk of chunks) seal.add(chunk);
  const bytes = Buffer.concat([...chunks, ...seal.end()]);
  frozen.release();
  writeFileSync(path, bytes);
  return bytes;
}
