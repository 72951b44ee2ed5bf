/**
 * Several locks at once, by one session: all or none. They are taken in the order of their keys, so that two who want the same ones never
 * wait for each other.
 */
import { errBadField } from "../errors.ts";
import type { TxnRequest } from "../store/command.ts";
import type { RecipeContext } from "./client-port.ts";
import { milliseconds } from "./durations.ts";
import type { Hold } from "./hold.ts";
import { type LockOptions, acquireLock } from "./lock.ts";
import { segmentOf } from "./names.ts";
import type { Session } from "./session.ts";
import { withSession } from "./turns.ts";

export class Holds {
  readonly session: Session;
  /** In the order of the names asked for. */
  readonly holds: readonly Hold[];
  readonly #ownSession: boolean;

  constructor(session: Session, ownSession: boolean, holds: readonly Hold[]) {
    this.session = session;
    this.#ownSession = ownSession;
    this.holds = holds;
  }

  /** Fires when they are lost, all together. */
  get signal(): AbortSignal {
    return this.session.signal;
  }

  /** The transaction, with the condition that all of them are still held. @throws QuorateError sessionLost */
  guard(txn: TxnRequest): TxnRequest {
    return this.holds.reduce((guarded, hold) => hold.guard(guarded), txn);
  }

  /** Gives all of them up; again is fine. */
  async release(): Promise<void> {
    for (const hold of this.holds.toReversed()) await hold.release();
    if (this.#ownSession) await this.session.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/**
 * Waits for all the locks; `wait` is for all of them together. When one cannot be had, none is kept.
 * @throws QuorateError badField when a name is there twice; held, sessionLost
 */
export async function acquireLocks(context: RecipeContext, names: readonly string[], options: LockOptions = {}): Promise<Holds> {
  const sorted = names.map((name) => ({ name, segment: segmentOf(name) })).sort((a, b) => (a.segment < b.segment ? -1 : 1));
  if (new Set(names).size < names.length) throw errBadField("names", "names must not name a lock twice");
  return withSession(context, options, async (session, ownSession) => {
    const { host } = context;
    const until = options.wait === undefined ? undefined : host.monotonicMs() + milliseconds(options.wait, "wait");
    const held = new Map<string, Hold>();
    try {
      for (const { name } of sorted) {
        const wait = until === undefined ? undefined : Math.max(0, until - host.monotonicMs());
        held.set(name, await acquireLock(context, name, { ...options, session, wait }));
      }
    } catch (error) {
      for (const hold of held.values()) await hold.release();
      throw error;
    }
    return new Holds(
      session,
      ownSession,
      names.map((name) => held.get(name)!),
    );
  });
}
