/** The state after one log of commands, the same each time: to be equal on every runtime and in every storage. Run by itself, it prints that. */
import fc from "fast-check";
import type { Command } from "../../core/store/command.ts";
import { StateMachine } from "../../core/store/state-machine.ts";
import type { StateStorage } from "../../core/store/state-storage-port.ts";
import { likelyCommand } from "../helpers/likely-command.ts";

export interface SampleState {
  readonly hash: number;
  readonly revision: number;
  /** Of the snapshot's bytes. */
  readonly sha256: string;
}

const COMMANDS = 2_000;

/** @param storage left out: in memory @param transaction how the storage runs one */
export async function sampleState(storage?: StateStorage, transaction = (work: () => void): void => work()): Promise<SampleState> {
  const state = new StateMachine({ quotaBytes: 1e9, ...(storage === undefined ? {} : { storage }) });
  const bodies = fc.sample(likelyCommand, { numRuns: COMMANDS, seed: 20261124 });
  for (let at = 0; at < bodies.length; at += 50) {
    state.within(transaction, () => {
      bodies.slice(at, at + 50).forEach((body, by) => {
        const session = by % 5 === 0 ? { session: { client: `c${by}`, sequence: at + 1 } } : {};
        state.apply({ ...body, ...session, time: 1_000 + at + by } as Command, { index: at + by + 1, term: 2 });
      });
    });
  }
  const frozen = state.freeze({ clusterId: "7", index: COMMANDS, term: 2 });
  const chunks = [...frozen.chunks()];
  frozen.release();
  const bytes = new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return {
    hash: state.hash(),
    revision: state.revision,
    sha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""),
  };
}

// `import.meta.main` is nothing in workerd, where this is a part of a bundle.
if (import.meta.main) console.log(JSON.stringify(await sampleState()));
