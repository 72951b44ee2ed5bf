/** Time and chance where the client runs, made of what Workers, browsers, Deno, Bun and Node have in common. */

/** What a client asks of its place; a test gives its own. */
export interface Platform {
  /** Milliseconds; never goes back. */
  monotonicMs(): number;
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** Rejects with the signal's reason when it fires. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  randomBytes(count: number): Uint8Array;
}

/** The longest time that a timer of every host can wait. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export const platform: Platform = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer);
        reject(signal!.reason as Error);
      };
      const timer = setTimeout(
        () => {
          signal?.removeEventListener("abort", stop);
          resolve();
        },
        Math.min(Math.ceil(ms), TIMER_MS_MAX),
      );
      if (signal?.aborted) stop();
      else signal?.addEventListener("abort", stop, { once: true });
    }),
  randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
};
