/** Whole members that nothing happens to but what a test does: no chance faults, no clients, one clock. For schedules written by hand. */
import { ascii } from "../../../core/bytes/bytes.ts";
import type { Replica } from "../../../core/replica/replica.ts";
import { putOf, rangeOf } from "./clients.ts";
import type { Member } from "./member.ts";
import { Simulation } from "./simulation.ts";
import { type Swarm, calm, drawSwarm } from "./swarm.ts";

/** Virtual milliseconds that a test waits for anything at most. */
const WAIT_MS_MAX = 60_000;

const QUIET: Partial<Swarm> = {
  ...calm(drawSwarm(1)),
  limits: { electionTicks: 10 },
  snapshotEntries: 100_000,
  strictReconfigCheck: false,
  defers: false,
  delayMean: 1,
  breaksShow: true,
  survive: 0,
  diskMean: 0.5,
  drift: 0,
  clients: 0,
  watchers: 0,
  leases: false,
  sessions: false,
};

export class S2Lab {
  readonly simulation: Simulation;

  constructor(members: number, swarm: Partial<Swarm> = {}) {
    this.simulation = new Simulation(1, { swarm: { ...QUIET, members, ...swarm } });
    this.simulation.faults.stop(); // nobody starts again by itself
  }

  get now(): number {
    return this.simulation.engine.now;
  }

  get members(): readonly Member[] {
    return this.simulation.members;
  }

  /** Starts all and waits for a leader. */
  async begin(): Promise<Member> {
    for (const member of this.members) member.start();
    return this.leader();
  }

  async run(ms: number): Promise<void> {
    await this.simulation.engine.run({ time: this.now + ms });
  }

  /** @throws Error when it does not come about */
  async until(what: string, holds: () => boolean): Promise<void> {
    if (holds()) return;
    if (await this.simulation.engine.run({ time: this.now + WAIT_MS_MAX, until: holds })) return;
    throw new Error(`${what}: not within ${WAIT_MS_MAX} ms\n${this.simulation.table()}`);
  }

  /** The one that leads in the newest term, once one does. */
  async leader(among: readonly Member[] = this.members): Promise<Member> {
    const found = (): Member | undefined =>
      among.find((member) => member.up && !member.running!.life.paused && member.running!.raft.status().leading);
    await this.until("a leader", () => found() !== undefined);
    return found()!;
  }

  others(of: Member): Member[] {
    return this.members.filter((member) => member !== of);
  }

  /** What became of a promise within the time that a test waits. */
  async settled<T>(promise: Promise<T>): Promise<{ value: T } | { error: Error & { reason?: string } }> {
    let outcome: { value: T } | { error: Error & { reason?: string } } | null = null;
    promise.then(
      (value) => (outcome = { value }),
      (error: unknown) => (outcome = { error: error as Error }),
    );
    await this.until("an answer", () => outcome !== null);
    return outcome!;
  }

  async done<T>(promise: Promise<T>): Promise<T> {
    await this.settled(promise);
    return promise;
  }

  replica(member: Member): Replica {
    return member.running!.replica;
  }

  put(member: Member, key: string, value: string, lease = "0") {
    return this.replica(member).propose({ kind: "put", ...putOf(ascii(key), ascii(value), lease) });
  }

  /** What the member has, current or not. */
  has(member: Member, key: string): string | undefined {
    return this.replica(member).store.range(rangeOf(ascii(key))).kvs[0]?.value;
  }

  /** All that are up have applied the same, and are in the same state. */
  async untilEqual(among: readonly Member[] = this.members): Promise<void> {
    await this.until("equal members", () => {
      const up = among.filter((member) => member.up);
      const index = up.map((member) => member.running!.consensus.applied);
      return up.length === among.length && index.every((one) => one === this.simulation.ledger.top);
    });
    const hashes = new Set(among.map((member) => this.replica(member).store.hash()));
    if (hashes.size > 1) throw new Error(`states differ: ${[...hashes].join()}`);
  }

  /** How often the log holds this value. */
  occurrences(value: string): number {
    return this.simulation.ledger.all().filter(({ command }) => command?.kind === "put" && command.value === value).length;
  }
}
