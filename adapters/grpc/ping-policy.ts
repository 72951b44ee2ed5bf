/**
 * How often a client may ping. One that pings more often than it may, three times without being sent anything in between, costs more than
 * it is worth: its connection is ended with ENHANCE_YOUR_CALM, as Go's servers do.
 * Source: https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md.
 */
const STRIKES_MAX = 2;
/** Between pings of a connection without calls. */
const IDLE_MIN_TIME_MS = 2 * 60 * 60 * 1000;

export class PingPolicy {
  readonly #minTimeMs: number;
  #strikes = 0;
  #lastPingMs = Number.NEGATIVE_INFINITY;

  /** @param minTimeMs between pings of a connection with calls */
  constructor(minTimeMs: number) {
    this.#minTimeMs = minTimeMs;
  }

  /** Headers or data were sent to the client, which may answer with a ping of its own to measure the way. */
  sent(): void {
    this.#strikes = 0;
    this.#lastPingMs = Number.NEGATIVE_INFINITY;
  }

  /** @returns false when it was one too many */
  ping(nowMs: number, calls: number): boolean {
    const minTimeMs = calls === 0 ? IDLE_MIN_TIME_MS : this.#minTimeMs;
    if (nowMs - this.#lastPingMs < minTimeMs) this.#strikes++;
    this.#lastPingMs = nowMs;
    return this.#strikes <= STRIKES_MAX;
  }
}
