/** One seeded run of rate limits under the faults of schedule.ts, and what must be true of them at every revision. */
import { takeFromLimit } from "../../../core/recipes/limit.ts";
import { type Revision, STARTED_AT } from "../../../testing/memory-member.ts";
import { type Actors, expected, runActors } from "./actors.ts";

const LIMIT = 7;
const PER_MS = 1_000;
const BURST = 5;
const RULE = { limit: LIMIT, per: PER_MS, burst: BURST };
const SUBJECTS = ["a", "b"];
const PREFIX = "/quorate/limits/x/";
/** A family of limits that refill in less than 16 s lives so long at most. */
const KEPT_MS = 32_000;

interface Allowed {
  readonly subject: string;
  readonly taken: number;
  readonly revision: number;
}

/** @returns what was found wrong, and how much was allowed and refused */
export async function runLimits(seed: number): Promise<{ readonly faults: readonly string[]; allowed: number; refused: number }> {
  const allowed: Allowed[] = [];
  let refused = 0;
  let keys = 0;
  const { lab, faults } = await runActors(seed, "limits", async ({ context }, { chance, isFaulty }) => {
    while (isFaulty()) {
      await context.host.sleep(chance.exponential(200));
      const subject = chance.pick(SUBJECTS);
      const key = chance.hit(0.3) ? `${seed}.${++keys}` : undefined;
      const options = { rule: RULE, n: chance.int(1, 3), reserve: chance.int(1, 4), idempotencyKey: key };
      try {
        const answer = await takeFromLimit(context, "x", subject, options);
        if (answer.ok) allowed.push({ subject, ...answer });
        else refused++;
        if (key === undefined || !answer.ok) continue;
        const again = await takeFromLimit(context, "x", subject, options);
        if (again.revision !== answer.revision) faults.push(`${key} was taken at ${answer.revision} and at ${again.revision}`);
      } catch (error) {
        expected(error);
      }
    }
  });
  faults.push(...checkLimits(lab, allowed));
  await lab.advance(KEPT_MS + 1_000);
  const left = lab.keys(PREFIX);
  if (left.length > 0) faults.push(`left behind: ${left.map(({ key }) => key).join(", ")}`);
  await lab.close();
  return { faults, allowed: allowed.length, refused };
}

/** In units of 1/limit of a millisecond. */
function unitsOf(value: string): number {
  const { tat, part } = JSON.parse(value) as { tat: number; part: number };
  return (tat - STARTED_AT) * LIMIT + part;
}

/** What was allowed costs what it should, nobody gets ahead by more than the burst, and nothing is forgotten too early. */
function checkLimits({ history }: Pick<Actors["lab"], "history">, allowed: readonly Allowed[]): string[] {
  const faults: string[] = [];
  const byRevision = new Map(allowed.map((one) => [one.revision, one]));
  if (byRevision.size < allowed.length) faults.push("two were allowed by one write");
  for (const { revision, at, events } of history as readonly Revision[]) {
    for (const { type, kv, prev } of events) {
      if (!kv.key.startsWith(PREFIX)) continue;
      const before = prev === null ? 0 : unitsOf(prev.value);
      if (type === "delete") {
        if (before > at * LIMIT) faults.push(`${revision}: ${kv.key} was forgotten before its time`);
        continue;
      }
      const now = unitsOf(kv.value);
      const taken = byRevision.get(revision)?.taken ?? 1;
      byRevision.delete(revision);
      if (now < before + taken * PER_MS) faults.push(`${revision}: ${taken} were taken of ${kv.key} for less than they cost`);
      if (now > at * LIMIT + BURST * PER_MS) faults.push(`${revision}: ${kv.key} is ahead by more than the burst`);
    }
  }
  for (const revision of byRevision.keys()) faults.push(`what was allowed at ${revision} was not written`);
  return faults;
}
