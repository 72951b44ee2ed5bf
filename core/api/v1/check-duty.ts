/** Makes the checks that services ask for, on the member that leads. */
import type { Bytes } from "../../bytes/bytes.ts";
import { isQuorateError } from "../../errors.ts";
import { keysUnder, readOf } from "../../recipes/requests.ts";
import { ServiceChecks } from "../../recipes/service-check.ts";
import { MemberStore } from "./member-store.ts";
import type { V1Services } from "./services.ts";

const SERVICES = keysUnder("/quorate/services/" as Bytes);

export class CheckDuty {
  readonly #services: V1Services;
  readonly #checks: ServiceChecks;
  /** The revision up to which all instances are known. */
  #seen = 0;

  constructor(services: V1Services) {
    this.#services = services;
    this.#checks = new ServiceChecks({ store: new MemberStore(services.member, services), host: services.host }, services.prober);
  }

  /** To be called several times a second. Never throws. */
  tick(): void {
    const { member, onInternalError } = this.#services;
    if (member.status().leaderId !== member.memberId) {
      this.#checks.clear();
      this.#seen = 0;
      return;
    }
    const { store } = member;
    if (store.revision !== this.#seen) {
      const newer = readOf(SERVICES, { minModRevision: this.#seen + 1 });
      this.#seen = store.revision;
      for (const kv of store.range(newer).kvs) this.#checks.see(kv);
    }
    this.#checks.tick((error) => {
      // Without a leader or a quorum nothing can be written; the member itself says so.
      if (!isQuorateError(error)) onInternalError(error);
    });
  }
}
