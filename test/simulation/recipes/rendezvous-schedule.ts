/** One seeded run of a rendezvous under the faults of schedule.ts. */
import { isQuorateError } from "../../../core/errors.ts";
import { enterRendezvous } from "../../../core/recipes/rendezvous.ts";
import { type LabClient, RecipeLab } from "../../helpers/recipe-lab.ts";
import { Chance } from "../../helpers/chance.ts";
import { checkRounds } from "./invariants.ts";
import { faultyClient, nemesis } from "./schedule.ts";

const CLIENTS = 5;
const PARTIES = 3;
const FAULTY_MS = 180_000;
const TTL_MS = 5_000;
const PREFIX = "/quorate/rendezvous/x/";
const EXPECTED = new Set(["held", "sessionLost", "timeout", "noLeader"]);

/** @returns what was found wrong, and how many rounds there were */
export async function runRendezvous(seed: number): Promise<{ readonly faults: readonly string[]; readonly rounds: number }> {
  const chance = new Chance(seed, "rendezvous");
  const lab = await RecipeLab.start(seed);
  const isFaulty = (): boolean => lab.time.now < FAULTY_MS;
  const faults: string[] = [];
  const entered: { readonly round: number; readonly revision: number }[] = [];

  const act = async (client: LabClient): Promise<void> => {
    const { context } = client;
    while (isFaulty()) {
      await context.host.sleep(chance.exponential(1_000));
      try {
        const met = await enterRendezvous(context, "x", PARTIES, {
          ttl: TTL_MS,
          ...(chance.hit(0.5) ? { wait: chance.int(0, 20_000) } : {}),
        });
        const { generation } = met;
        entered.push({ round: generation, revision: lab.revision });
        await context.host.sleep(chance.exponential(500));
        await met.leave();
        const inside = lab.keys(`${PREFIX}${generation}/m/`).length;
        if (inside > 0) faults.push(`${inside} were in round ${generation} when one had left it`);
      } catch (error) {
        if (!isQuorateError(error) || !EXPECTED.has(error.reason)) throw error;
      }
    }
  };

  const clients: LabClient[] = [];
  const renew = (slot: number): void => {
    const client = faultyClient(lab, chance, isFaulty);
    clients[slot] = client;
    act(client).catch((error: unknown) => void faults.push(String((error as Error).stack ?? error)));
  };
  for (let slot = 0; slot < CLIENTS; slot++) renew(slot);
  await lab.run(nemesis(lab, chance, clients, renew, isFaulty));
  for (const client of clients) client.kill();
  await lab.advance(4 * TTL_MS);
  // Nobody is stuck: as many as are needed meet, now that nothing goes wrong any more.
  const last = Array.from({ length: PARTIES }, () => enterRendezvous(lab.client().context, "x", PARTIES, { ttl: TTL_MS }));
  const met = await lab.run(Promise.all(last));
  await lab.run(Promise.all(met.map((one) => one.leave())));
  const { faults: wrong, ready } = checkRounds(lab.history, PREFIX, PARTIES);
  faults.push(...wrong);
  for (const { round, revision } of entered) {
    if (!((ready.get(round) ?? Infinity) <= revision)) faults.push(`round ${round} was entered before it was ready`);
  }
  const left = lab.keys(PREFIX).map(({ key }) => key);
  if (left.length !== 1) faults.push(`left behind: ${left.join(", ")}`);
  await lab.close();
  return { faults, rounds: ready.size };
}
