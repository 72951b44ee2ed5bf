/** What core asks of its host, on Node: clocks, chance, and giving way. */
import { randomBytes, webcrypto } from "node:crypto";
import type { Clock } from "../core/replica/clock-port.ts";

export const clock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** Lets the event loop take a whole turn: sockets and timers too. */
export const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Calls a function again and again, without keeping the process alive for it. @returns ends it */
export function every(intervalMs: number, call: () => void): () => void {
  const timer = setInterval(call, intervalMs).unref();
  return () => clearInterval(timer);
}

/** Calls a function once, later, without keeping the process alive for it. @returns ends it */
export function after(ms: number, call: () => void): () => void {
  const timer = setTimeout(call, ms).unref();
  return () => clearTimeout(timer);
}

export { randomBytes };

/** Decimal uint64, random and not zero, which means "nobody". */
export function randomId(): string {
  const id = webcrypto.getRandomValues(new BigUint64Array(1))[0]!;
  return id === 0n ? randomId() : id.toString();
}

/** For what need not be secret: when elections begin. */
export function randomSeed(): number {
  return webcrypto.getRandomValues(new Uint32Array(1))[0]!;
}

/** Resolves after a while. The process stays for it: a member that waits for others to come up has nothing else that keeps it. */
export function pauseMs(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}
