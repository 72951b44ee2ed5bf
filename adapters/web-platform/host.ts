/** What core asks of its host, where there are the web's own interfaces: chance, timers and giving way. Not the clocks, which differ. */

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

/** @returns ends it */
export function after(ms: number, call: () => void): () => void {
  const timer = setTimeout(call, ms);
  return () => clearTimeout(timer);
}

/** As `after`, again and again. */
export function every(intervalMs: number, call: () => void): () => void {
  const timer = setInterval(call, intervalMs);
  return () => clearInterval(timer);
}
