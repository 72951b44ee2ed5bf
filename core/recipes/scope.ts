/** How long a piece of work may wait: until any of several signals fires, or its time is over. */
import { QuorateError } from "../errors.ts";
import type { Host } from "./client-port.ts";

export interface Scope {
  readonly signal: AbortSignal;
  /** Its time is over: then that is what the signal fired for. */
  readonly timedOut: () => boolean;
  /** Ends it, and lets go of the signals. To be called in any case. */
  close(): void;
}

/** @param waitMs undefined: as long as the signals allow */
export function openScope(host: Host, signals: readonly (AbortSignal | undefined)[], waitMs?: number): Scope {
  const all = new AbortController();
  const timer = new AbortController();
  let timedOut = false;
  const unlink = signals.flatMap((signal) => {
    if (signal === undefined) return [];
    const abort = () => all.abort(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    return [() => signal.removeEventListener("abort", abort)];
  });
  const expire = (): void => {
    timedOut = !all.signal.aborted;
    all.abort(new QuorateError("deadlineExceeded", "waitOver", "the time to wait is over"));
  };
  // Rejects only when the scope is closed first.
  if (waitMs !== undefined) host.sleep(waitMs, timer.signal).then(expire, () => {});
  const close = (): void => {
    timer.abort();
    for (const one of unlink) one();
    all.abort(new QuorateError("canceled", "waitOver", "nobody waits any more"));
  };
  return { signal: all.signal, timedOut: () => timedOut, close };
}
