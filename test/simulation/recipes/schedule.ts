/**
 * One seeded run of a recipe: some clients that acquire, write and release in a random rhythm, under lost, late and refused calls, slow ways,
 * clocks that run up to 8 % wrong, kills, pauses, cuts and compactions. Afterwards the faults heal, and what must be true is looked at.
 */
import { isQuorateError } from "../../../core/errors.ts";
import { type LabClient, type Fault, RecipeLab } from "../../helpers/recipe-lab.ts";
import { Chance } from "../../helpers/chance.ts";
import { search } from "../../history/search.ts";
import { type Holder, writeGuarded } from "./holders.ts";
import { type Belief, checkBeliefs } from "./invariants.ts";
import { type HeldCall, heldModel } from "./sequential.ts";

const CLIENTS = 5;
const FAULTY_MS = 180_000;
const TTL_MS_MAX = 10_000;
/** Far more than the search needs. */
const SEARCH_MS = 20_000;
const FAULTS: readonly Fault[] = ["lose-reply", "lose-request", "late", "refuse"];

/** Reasons for which an acquisition may fail under faults. */
const EXPECTED = new Set(["held", "sessionLost", "timeout", "noLeader", "leaderChanged"]);

export interface Outcome {
  readonly faults: readonly string[];
  readonly grants: number;
  readonly refused: number;
  readonly stale: number;
  readonly lost: number;
}

/** A client with a rhythm and a clock of its own. */
export function faultyClient(lab: RecipeLab, chance: Chance, isFaulty: () => boolean): LabClient {
  const client = lab.client();
  client.clockRate = 0.92 + 0.16 * chance.real();
  client.latencyMs = () => (chance.hit(0.3) ? chance.int(0, 60) : 0);
  client.fault = () => (isFaulty() && chance.hit(0.04) ? chance.pick(FAULTS) : "none");
  return client;
}

/** Does something bad to one of the clients every few seconds, for as long as `isFaulty`. */
export async function nemesis(
  lab: RecipeLab,
  chance: Chance,
  clients: LabClient[],
  renew: (slot: number) => void,
  isFaulty: () => boolean,
): Promise<void> {
  while (isFaulty()) {
    await lab.time.sleep(chance.exponential(4_000));
    const slot = chance.int(0, clients.length - 1);
    const client = clients[slot]!;
    const what = chance.pick(["kill", "pause", "pause", "cut", "cut", "compact"] as const);
    if (what === "compact") await lab.compact();
    if (what === "kill") {
      client.kill();
      renew(slot);
    }
    if (what === "pause") {
      client.pause();
      lab.time.after(chance.int(100, 2.5 * TTL_MS_MAX), () => client.resume());
    }
    if (what === "cut") {
      client.cutOff();
      lab.time.after(chance.int(100, 2.5 * TTL_MS_MAX), () => client.reconnect());
    }
  }
}

/** @returns what was found wrong, and how much happened */
export async function runHolders(holder: Holder, seed: number, members: 1 | 3 = 1): Promise<Outcome> {
  const chance = new Chance(seed, `schedule ${holder.name}`);
  const lab = members === 1 ? await RecipeLab.start(seed) : await RecipeLab.onCluster(seed);
  const isFaulty = (): boolean => lab.time.now < FAULTY_MS;
  const beliefs: (() => Belief)[] = [];
  const calls: (() => HeldCall[])[] = [];
  const count = { grants: 0, refused: 0, stale: 0, lost: 0 };
  const faults: string[] = [];
  let names = 0;

  const note = (error: unknown): string => {
    if (!isQuorateError(error) || !EXPECTED.has(error.reason)) throw error;
    if (error.reason === "sessionLost") count.lost++;
    else count.refused++;
    return error.reason;
  };

  const once = async (client: LabClient, options: { ttl: number; wait?: number; id?: string }, choice: number): Promise<void> => {
    const { context } = client;
    const who = `client ${++names}`;
    const call = lab.time.now;
    const { hold, weight } = await holder.acquire(context, options, choice);
    const from = lab.time.now;
    let releasedAt = Infinity;
    let gone: number | null = null;
    const until = (): number => Math.min(releasedAt, hold.validUntil / client.clockRate);
    beliefs.push(() => ({ client: who, from, until: until(), weight }));
    const grant = count.grants;
    calls.push(() => [
      { grant, kind: "acquire", weight, call, return: from, response: { fence: hold.fence } },
      { grant, kind: "end", weight, call: until(), return: gone, response: gone === null ? null : {} },
    ]);
    count.grants++;
    try {
      for (let writes = chance.int(0, 3); writes > 0; writes--) {
        await context.host.sleep(chance.exponential(1_500));
        if (!(await writeGuarded(context, holder, hold))) count.stale++;
      }
    } catch (error) {
      note(error); // an id is good for one hold: it is not asked for again
    } finally {
      releasedAt = lab.time.now;
      await hold.release();
      gone = Math.max(lab.time.now, until());
    }
  };

  const act = async (client: LabClient): Promise<void> => {
    const { host } = client.context;
    while (isFaulty()) {
      await host.sleep(chance.exponential(1_000));
      const named = chance.hit(0.5);
      const options = {
        ttl: chance.pick([2_000, 5_000, TTL_MS_MAX]),
        ...(chance.hit(0.5) ? { wait: chance.int(0, 20_000) } : {}),
        ...(named ? { id: (BigInt(seed) * 1_000_000n + BigInt(++names)).toString() } : {}),
      };
      const choice = chance.real();
      for (let tries = named ? 3 : 1; tries > 0; tries--) {
        try {
          await once(client, options, choice);
          break;
        } catch (error) {
          const reason = note(error);
          // Only what is not known to have failed is done again with the same id.
          if (reason === "held" || reason === "sessionLost") break;
        }
      }
    }
  };

  const clients: LabClient[] = [];
  const actors: Promise<void>[] = [];
  const renew = (slot: number): void => {
    const client = faultyClient(lab, chance, isFaulty);
    clients[slot] = client;
    actors[slot] = act(client).catch((error: unknown) => void faults.push(String((error as Error).stack ?? error)));
  };
  for (let slot = 0; slot < CLIENTS; slot++) renew(slot);
  await lab.run(Promise.all([nemesis(lab, chance, clients, renew, isFaulty), lab.cluster?.nemesis(isFaulty)]));
  for (const client of clients) {
    client.resume();
    client.reconnect();
  }
  await lab.advance(6 * TTL_MS_MAX); // whatever waits ends, whatever was lost with a reply comes
  await lab.run(Promise.all(actors));
  const began = lab.time.now;
  const last = await lab.run(holder.acquire(lab.client().context, { ttl: TTL_MS_MAX }, 0.99));
  if (lab.time.now - began > TTL_MS_MAX + 1_000) faults.push(`free only after ${lab.time.now - began} ms`);
  await lab.run(last.hold.release());
  await lab.advance(2 * TTL_MS_MAX);
  if (lab.leases().length > 0) faults.push(`leases are left: ${lab.leases().join(", ")}`);
  const told = calls.flatMap((call) => call());
  const { verdict, blocked } = search(told, heldModel(holder.weightMax, holder.weightMax === 1), { now: Date.now, limit: SEARCH_MS });
  if (verdict !== "linearizable") faults.push(`${verdict}: nobody could have been told of grant ${blocked?.grant} at ${blocked?.return}`);
  faults.push(
    ...(lab.cluster?.differences ?? []),
    ...holder.check(lab.history),
    ...checkBeliefs(
      beliefs.map((belief) => belief()),
      holder.weightMax,
    ),
  );
  await lab.close();
  return { faults, ...count };
}
