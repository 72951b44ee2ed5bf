/**
 * The outcome of a write that may be unknown: the connection was lost after it was sent, or the leader while it was at work. Then it may
 * have been done, may be done yet, or never; who can repeat it with the same effect should, and who cannot has to look.
 */
import { type QuorateError, isQuorateError } from "../core/errors.ts";

export type Outcome<T> =
  | { readonly kind: "done"; readonly value: T }
  /** Nothing was done. */
  | { readonly kind: "failed"; readonly error: QuorateError }
  | { readonly kind: "unknown"; readonly error: QuorateError };

/** As of the port of the recipes; a server that stopped does not say how far it came either. */
const UNKNOWN: ReadonlySet<string> = new Set(["leaderChanged", "timeout", "connectionLost", "stopped"]);

/** Of the error of a write: nobody knows whether it was done. A server that knows no more says so itself, in `outcome`. */
export function isUnknown(error: unknown): error is QuorateError {
  return isQuorateError(error) && (UNKNOWN.has(error.reason) || error.details["outcome"] === "unknown");
}

/** A write's outcome as a value. @throws what is no `QuorateError`: a signal's reason, or a bug */
export async function outcomeOf<T>(write: Promise<T>): Promise<Outcome<T>> {
  try {
    return { kind: "done", value: await write };
  } catch (error) {
    if (isUnknown(error)) return { kind: "unknown", error };
    if (isQuorateError(error)) return { kind: "failed", error };
    throw error;
  }
}
