/** What the operations of v1 stand on: given by the runtime, once. */
import type { Host } from "../../recipes/client-port.ts";
import type { NextTick } from "../../recipes/schedule.ts";
import type { Prober } from "../../recipes/service-check.ts";
import type { Member } from "../../replica/member.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { MemberStoreOptions } from "./member-store.ts";

export interface V1Deps extends MemberStoreOptions {
  readonly member: Member;
  readonly authenticator: Authenticator;
  /** Of the body of a request. */
  readonly maxRequestBytes: number;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly monotonicMs: () => number;
  /** Calls back once, later, without keeping the process alive for it. @returns ends it */
  readonly after: (ms: number, act: () => void) => () => void;
  /** Cryptographically random. */
  readonly randomBytes: (count: number) => Uint8Array;
  /** A handler threw what it should not have. */
  readonly onInternalError: (error: unknown) => void;
  readonly version: string;
  /** When schedules tick. */
  readonly nextTick: NextTick;
  /** Asks services how they are. Left out: nobody is asked. */
  readonly prober?: Prober | undefined;
}

export interface V1Services extends V1Deps {
  /** Time and chance for recipes on this member. */
  readonly host: Host;
}

export function v1Services(deps: V1Deps): V1Services {
  const { member, wallMs, monotonicMs, randomBytes, after } = deps;
  const host: Host = {
    monotonicMs,
    // What the leader stamps is never behind what was stamped before.
    clockMs: () => Math.max(wallMs(), member.store.clockMs),
    randomBytes,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason as Error);
        const end = after(ms, () => {
          signal?.removeEventListener("abort", stop);
          resolve();
        });
        const stop = (): void => {
          end();
          reject(signal!.reason as Error);
        };
        signal?.addEventListener("abort", stop);
      }),
    background: () => {}, // a server goes on by itself
  };
  return { ...deps, host };
}
