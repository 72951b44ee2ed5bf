/**
 * Asking again. Whatever a recipe asks may be asked twice with the same effect, so an outcome that is not known is found out by asking
 * again; and what could not be done for want of a leader may be possible a moment later.
 */
import { isQuorateError } from "../errors.ts";
import type { RecipeContext } from "./client-port.ts";

/** Reasons after which the same call may be answered: the outcome is not known, or nothing was done. */
const PASSING: ReadonlySet<string> = new Set([
  "leaderChanged",
  "timeout",
  "connectionLost",
  "unreachable",
  "stopped",
  "noLeader",
  "behind",
  "tooManyRequests",
]);

const FIRST_PAUSE_MS = 50;
const PAUSE_MS_MAX = 2_000;
/** For those who do not say how long: after so long somebody should hear that the store does not answer. */
const PATIENCE_MS = 5_000;

export interface RepeatOptions {
  /** Ends it, with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** On the host's monotonic clock: not asked again after that. Default: 5 s from now. */
  readonly until?: number | undefined;
  /** Whether to ask again after this error. Default: whenever the same call, made again, may be answered. */
  readonly isPassing?: (error: unknown) => boolean;
}

/** Whether the same call, made again, may be answered. */
export function isPassing(error: unknown): boolean {
  return isQuorateError(error) && PASSING.has(error.reason);
}

/** Whether a watch has lost its history: look at the state, and watch from there. */
export function isCompacted(error: unknown): boolean {
  return isQuorateError(error) && error.reason === "compacted";
}

/**
 * What `act` gives; while it fails for a passing reason, it is called again after a pause that doubles.
 * @throws what it threw last; the signal's reason
 */
export async function repeat<T>({ host }: RecipeContext, act: () => Promise<T>, options: RepeatOptions = {}): Promise<T> {
  const { signal, until = host.monotonicMs() + PATIENCE_MS, isPassing: mayPass = isPassing } = options;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, PAUSE_MS_MAX)) {
    signal?.throwIfAborted();
    try {
      return await act();
    } catch (error) {
      const next = jittered(host.randomBytes(1)[0]!, pause);
      if (!mayPass(error) || host.monotonicMs() + next > until) throw error;
      await host.sleep(next, signal);
    }
  }
}

/** Half of it to one and a half, so that those who failed together do not return together. */
function jittered(byte: number, ms: number): number {
  return ms * (0.5 + byte / 256);
}
