/**
 * Fires schedules, on the member that leads: when one is put, and when the next one is due. Being late, or two members doing it at once,
 * costs nothing but time.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { isQuorateError } from "../../errors.ts";
import type { RecipeContext } from "../../recipes/client-port.ts";
import { keysUnder, readOf } from "../../recipes/requests.ts";
import { fireSchedules } from "../../recipes/schedule.ts";
import { MemberStore } from "./member-store.ts";
import type { V1Services } from "./services.ts";

/** Where they are. */
export const SCHEDULES = keysUnder("/quorate/schedules/" as Bytes);
/** What was due and could not be done is tried again so soon. */
const AGAIN_MS = 1_000;
/** Between calls of `tick`, of this duty and others. */
export const DUTY_LOOK_MS = 200;

export class ScheduleDuty {
  readonly #services: V1Services;
  readonly #context: RecipeContext;
  /** null: when a schedule is put. */
  #nextAtMs: number | null = 0;
  #isBusy = false;
  /** The revision up to which all schedules are known. */
  #seen = 0;

  /** @param seen the revision up to which schedules are looked after already: by an alarm that goes on while this process did not */
  constructor(services: V1Services, seen?: number) {
    this.#services = services;
    if (seen !== undefined) {
      this.#seen = seen;
      this.#nextAtMs = null;
    }
    this.#context = { store: new MemberStore(services.member, services), host: services.host };
  }

  /** When the next one is due, as far as is known; null: when a schedule is put. */
  get nextAtMs(): number | null {
    return this.#nextAtMs;
  }

  /** Looks at all schedules at the next tick. */
  lookAgain(): void {
    this.#nextAtMs = 0;
  }

  /** To be called several times a second. Never throws. @returns when what was due is done; undefined: nothing was */
  tick(): Promise<void> | undefined {
    const { member, host } = this.#services;
    if (this.#isBusy || member.status().leaderId !== member.memberId) return undefined;
    if (this.#hasChanged()) this.#nextAtMs = 0;
    if (this.#nextAtMs === null || this.#nextAtMs > host.clockMs()) return undefined;
    this.#isBusy = true;
    return fireSchedules(this.#context, this.#services.nextTick)
      .then(
        (next) => void (this.#nextAtMs = next),
        (error: unknown) => {
          // Without a leader or a quorum nothing can be put; the member itself says so.
          if (!isQuorateError(error)) this.#services.onInternalError(error);
          this.#nextAtMs = host.clockMs() + AGAIN_MS;
        },
      )
      .finally(() => void (this.#isBusy = false));
  }

  /** Whether a schedule was put since it was asked last; what was removed is not due. */
  #hasChanged(): boolean {
    const { store } = this.#services.member;
    if (store.revision === this.#seen) return false;
    const newer = readOf(SCHEDULES, { limit: 1, keysOnly: true, minModRevision: this.#seen + 1 });
    this.#seen = store.revision;
    return store.range(newer).kvs.length > 0;
  }
}
