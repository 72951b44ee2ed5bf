/** A seeded run of clients that do something again and again while they are killed, paused, cut off, and their calls lost. */
import { isQuorateError } from "../../../core/errors.ts";
import { type LabClient, RecipeLab } from "../../helpers/recipe-lab.ts";
import { Chance } from "../../helpers/chance.ts";
import { faultyClient, nemesis } from "./schedule.ts";

const CLIENTS = 5;
const FAULTY_MS = 120_000;
/** After it every wait of a client that was cut off or paused is over. */
const HEALING_MS = 60_000;

export interface Actors {
  readonly lab: RecipeLab;
  readonly chance: Chance;
  /** What was found wrong; actors add to it. */
  readonly faults: string[];
  readonly isFaulty: () => boolean;
}

/** Reasons for which a call may fail under faults. */
const EXPECTED = new Set(["sessionLost", "timeout", "noLeader", "leaderChanged"]);

/** Seeds from this one on are played on three members, which are killed and cut off as well. */
export const CLUSTER_SEEDS = 1_000;

/** @throws the error, unless it is one that faults bring about, or of the reasons given */
export function expected(error: unknown, ...more: string[]): string {
  if (isQuorateError(error) && (EXPECTED.has(error.reason) || more.includes(error.reason))) return error.reason;
  throw error;
}

/**
 * @param act what a client does until `isFaulty` says false; begun anew by a fresh client when the one before is killed
 * @returns when all have ended; whoever asks closes the lab
 */
export async function runActors(seed: number, name: string, act: (client: LabClient, actors: Actors) => Promise<void>): Promise<Actors> {
  const chance = new Chance(seed, name);
  const lab = seed < CLUSTER_SEEDS ? await RecipeLab.start(seed) : await RecipeLab.onCluster(seed);
  const isFaulty = (): boolean => lab.time.now < FAULTY_MS;
  const actors: Actors = { lab, chance, faults: [], isFaulty };
  const clients: LabClient[] = [];
  const running: Promise<void>[] = [];
  const renew = (slot: number): void => {
    const client = faultyClient(lab, chance, isFaulty);
    clients[slot] = client;
    running[slot] = act(client, actors).catch((error: unknown) => void actors.faults.push(String((error as Error).stack ?? error)));
  };
  for (let slot = 0; slot < CLIENTS; slot++) renew(slot);
  await lab.run(Promise.all([nemesis(lab, chance, clients, renew, isFaulty), lab.cluster?.nemesis(isFaulty)]));
  for (const client of clients) {
    client.resume();
    client.reconnect();
  }
  await lab.advance(HEALING_MS);
  await lab.run(Promise.all(running));
  actors.faults.push(...(lab.cluster?.differences ?? []));
  return actors;
}
