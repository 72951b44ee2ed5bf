/** What core asks of its host, in a Durable Object: clocks, chance, and giving way. */
import type { Clock } from "../core/replica/clock-port.ts";

/**
 * One clock for both: deadlines of leases are stored, and have to go on while the object sleeps. The platform's clock stands still while code
 * runs, and goes on with each event.
 */
export const clock: Clock = { wallMs: () => Date.now(), monotonicMs: () => Date.now() };

export function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(count));
}

/** Decimal uint64, random and not zero, which means "nobody". */
export function randomId(): string {
  const id = crypto.getRandomValues(new BigUint64Array(1))[0]!;
  return id === 0n ? randomId() : id.toString();
}

/** Lets other events take their turn. */
export const pause = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 0));

/** A timer keeps the object awake, so that there is none but while somebody waits. @returns ends it */
export function after(ms: number, call: () => void): () => void {
  const timer = setTimeout(call, ms);
  return () => clearTimeout(timer);
}

/** As `after`, again and again. */
export function every(intervalMs: number, call: () => void): () => void {
  const timer = setInterval(call, intervalMs);
  return () => clearInterval(timer);
}
