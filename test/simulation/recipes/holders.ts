/** Recipes that are held, in one form, for tests that treat them all alike. */
import { utf8Encode } from "../../../core/bytes/utf8.ts";
import type { RecipeContext } from "../../../core/recipes/client-port.ts";
import { campaign } from "../../../core/recipes/election.ts";
import type { Hold } from "../../../core/recipes/hold.ts";
import { acquireLock } from "../../../core/recipes/lock.ts";
import { acquireRead, acquireWrite } from "../../../core/recipes/rwlock.ts";
import { acquirePermits } from "../../../core/recipes/semaphore.ts";
import { ascii } from "../../../core/bytes/bytes.ts";
import { putOp, txnOf } from "../../../core/recipes/requests.ts";
import type { TurnOptions } from "../../../core/recipes/turns.ts";
import type { Revision } from "../../../testing/memory-member.ts";
import { checkLine, checkReadersAndWriters, checkSemaphore } from "./invariants.ts";

export const LIMIT = 3;

export interface Held {
  readonly hold: Hold;
  /** What checks of beliefs weigh it with. */
  readonly weight: number;
}

export interface Holder {
  readonly name: string;
  /** @param choice 0 to 1: which mode, how many */
  acquire(context: RecipeContext, options: TurnOptions, choice: number): Promise<Held>;
  /** What all that believe to hold it may weigh together. */
  readonly weightMax: number;
  check(history: readonly Revision[]): string[];
}

const READERS = 1_000;

export const HOLDERS: readonly Holder[] = [
  {
    name: "lock",
    acquire: async (context, options) => ({ hold: await acquireLock(context, "x", options), weight: 1 }),
    weightMax: 1,
    check: (history) => checkLine(history, "/quorate/locks/x/", "/data/lock"),
  },
  {
    name: "election",
    acquire: async (context, options) => ({ hold: await campaign(context, "x", utf8Encode("me"), options), weight: 1 }),
    weightMax: 1,
    check: (history) => checkLine(history, "/quorate/elections/x/", "/data/election"),
  },
  {
    name: "rwlock",
    acquire: async (context, options, choice) =>
      choice < 0.6
        ? { hold: await acquireRead(context, "x", options), weight: 1 }
        : { hold: await acquireWrite(context, "x", options), weight: READERS },
    weightMax: READERS,
    check: (history) => checkReadersAndWriters(history, "/quorate/rw/x/", "/data/rwlock"),
  },
  {
    name: "semaphore",
    acquire: async (context, options, choice) => {
      const permits = 1 + Math.floor(choice * LIMIT);
      return { hold: await acquirePermits(context, "x", { ...options, permits, limit: LIMIT }), weight: permits };
    },
    weightMax: LIMIT,
    check: (history) => checkSemaphore(history, "/quorate/sem/x/", "/data/semaphore"),
  },
];

/** Writes the fence under the guard of the hold. @returns whether it was done; false: somebody else has it */
export async function writeGuarded({ store }: RecipeContext, { name }: Holder, hold: Hold): Promise<boolean> {
  const put = putOp(ascii(`/data/${name}`), ascii(hold.fence.toString()));
  return (await store.txn(hold.guard(txnOf([], [put])))).succeeded;
}
