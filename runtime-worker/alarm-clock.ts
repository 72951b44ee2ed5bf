/**
 * The one alarm of an object, for all that is due. It is only ever moved to an earlier time: setting it costs a row, and renewing a lease must
 * not. When it rings early, nothing is found due and it is set anew; ringing late or twice does no harm, because what is due is decided by the
 * rows, not by the alarm.
 */
export interface AlarmStorage {
  getAlarm(): Promise<number | null>;
  setAlarm(atMs: number): Promise<void>;
}

/** So soon at the earliest after it has rung: what could not be done is tried again, and not in a loop. */
const AGAIN_MS = 100;

export class AlarmClock {
  readonly #storage: AlarmStorage;
  readonly #onError: (error: unknown) => void;
  /** null: none is set. */
  #at: number | null = null;

  /** @param onError told when the platform could not set the alarm */
  constructor(storage: AlarmStorage, onError: (error: unknown) => void) {
    this.#storage = storage;
    this.#onError = onError;
  }

  /** Learns what was set before this instance. */
  async load(): Promise<void> {
    this.#at = await this.#storage.getAlarm();
  }

  get at(): number | null {
    return this.#at;
  }

  /** Becomes durable together with what was written in the same turn. @param atMs null or undefined: nothing is due */
  notLaterThan(atMs: number | null | undefined): void {
    if (atMs === null || atMs === undefined || (this.#at !== null && this.#at <= atMs)) return;
    this.#at = atMs;
    this.#storage.setAlarm(atMs).catch(this.#onError);
  }

  /** It has rung; the platform has taken it off. */
  rung(): void {
    this.#at = null;
  }

  /** After what was due has been done. @param dueMs as many as there are */
  rearm(nowMs: number, ...dueMs: readonly (number | null | undefined)[]): void {
    for (const due of dueMs) if (due !== null && due !== undefined) this.notLaterThan(Math.max(due, nowMs + AGAIN_MS));
  }
}
