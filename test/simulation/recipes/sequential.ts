/**
 * What recipes would be if they did one call after the other, for the search of test/history/search.ts: it trusts no revision, only what
 * clients were told and when. (What is true at each revision is looked at by invariants.ts.)
 */
import type { SequentialModel, Timed } from "../../history/search.ts";

/** Something held, or a share of it, from when it was granted until it is over. */
export interface HeldCall extends Timed {
  /** Of the grant that is meant. */
  readonly grant: number;
  /** The end of what is believed to be held: by a release, or by its session's. */
  readonly kind: "acquire" | "end";
  readonly weight: number;
  /** What an acquisition was told; of one whose answer nobody heard there is no call here. */
  readonly response: { readonly fence: bigint } | Record<never, never> | null;
}

interface HeldState {
  readonly held: ReadonlyMap<number, number>;
  readonly lastFence: bigint;
}

/** @param weightMax of all that hold it @param isOrdered each grant has a higher fence than the one before */
export function heldModel(weightMax: number, isOrdered: boolean): SequentialModel<HeldState, HeldCall> {
  return {
    initial: { held: new Map(), lastFence: 0n },
    step: ({ held, lastFence }, { kind, grant, weight, response }) => {
      const next = new Map(held);
      if (kind === "end") return next.delete(grant) ? { held: next, lastFence } : null;
      next.set(grant, weight);
      const total = [...next.values()].reduce((sum, one) => sum + one, 0);
      const fence = response !== null && "fence" in response ? response.fence : lastFence;
      if (total > weightMax || (isOrdered && fence <= lastFence)) return null;
      return { held: next, lastFence: fence };
    },
    keyOf: ({ held, lastFence }) => `${[...held.keys()].toSorted((a, b) => a - b).join()}|${lastFence}`,
  };
}

/** A call of a counter; `response` is the value, or that a bound would be crossed. */
export interface CounterCall extends Timed {
  readonly act:
    | { readonly kind: "add"; readonly n: bigint; readonly max: bigint }
    | { readonly kind: "set"; readonly value: bigint }
    | { readonly kind: "get" };
  readonly response: bigint | "bound" | null;
}

export const COUNTER: SequentialModel<bigint, CounterCall> = {
  initial: 0n,
  step: (value, { act, response }) => {
    if (act.kind === "get") return response === null || response === value ? value : null;
    const next = act.kind === "set" ? act.value : value + act.n;
    if (act.kind === "add" && next > act.max) return response === null || response === "bound" ? value : null;
    return response === null || response === next ? next : null;
  },
  keyOf: String,
};
