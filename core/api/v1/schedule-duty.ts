/**
 * Fires schedules, on every member that leads: it looks when one is put, and when the next one is due. Being late, or two members doing it at
 * once, costs nothing but time.
 */
import type { RecipeContext } from "../../recipes/client-port.ts";
import { keysUnder } from "../../recipes/requests.ts";
import { fireSchedules } from "../../recipes/schedule.ts";
import type { Bytes } from "../../bytes/bytes.ts";
import { MemberStore } from "./member-store.ts";
import type { V1Services } from "./services.ts";

const SCHEDULES = keysUnder("/quorate/schedules/" as Bytes);
/** What was due and could not be done is tried again so soon. */
const AGAIN_MS = 1_000;
/** Between calls of `tick`. */
export const SCHEDULE_LOOK_MS = 200;

export class ScheduleDuty {
  readonly #services: V1Services;
  readonly #context: RecipeContext;
  #nextAtMs: number | null = 0;
  #isBusy = false;
  /** The revision up to which no schedule has been put that is not known of. */
  #seen = 0;

  constructor(services: V1Services) {
    this.#services = services;
    this.#context = { store: new MemberStore(services.member, services), host: services.host };
  }

  /** To be called several times a second. Never throws. */
  tick(): void {
    const { member, host } = this.#services;
    if (this.#isBusy || member.status().leaderId !== member.memberId) return;
    if (this.#hasChanged()) this.#nextAtMs = 0;
    if (this.#nextAtMs === null || this.#nextAtMs > host.clockMs()) return;
    this.#isBusy = true;
    fireSchedules(this.#context, this.#services.nextTick)
      .then(
        (next) => void (this.#nextAtMs = next),
        () => void (this.#nextAtMs = host.clockMs() + AGAIN_MS), // no leader, no quorum: it says so elsewhere
      )
      .finally(() => void (this.#isBusy = false));
  }

  #hasChanged(): boolean {
    const { store } = this.#services.member;
    if (store.revision === this.#seen) return false;
    const newest = store.range({ ...SCHEDULES, ...NEWEST, minModRevision: this.#seen + 1 });
    this.#seen = store.revision;
    return newest.kvs.length > 0;
  }
}

const NEWEST = {
  revision: 0,
  limit: 1,
  sortTarget: "key",
  sortOrder: "none",
  keysOnly: true,
  countOnly: false,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
} as const;
