/**
 * Those who watch: each follows all keys from the beginning, through one member after another, and goes on after the last revision it
 * was given. Every change comes once, in order, whole, and the same for everybody; only a compaction may leave a gap, and says so.
 */
import { ZERO } from "../../../core/bytes/bytes.ts";
import type { WatchEvent, Watcher } from "../../../core/store/watch/watcher.ts";
import { Chance } from "../chance.ts";
import { demand } from "../violation.ts";
import type { Life } from "./life.ts";
import type { Simulation } from "./simulation.ts";

const TAKE_BYTES = 64 << 10;

/** What each revision changed, as the first watcher was told. */
export type Told = Map<number, string>;

function groups(events: readonly WatchEvent[]): Map<number, string> {
  const byRevision = new Map<number, string>();
  for (const { type, kv } of events) {
    const line = `${type} ${kv.key} ${kv.value} ${kv.createRevision} ${kv.version} ${kv.lease};`;
    byRevision.set(kv.modRevision, (byRevision.get(kv.modRevision) ?? "") + line);
  }
  return byRevision;
}

export class WatchClient {
  readonly #simulation: Simulation;
  readonly #chance: Chance;
  readonly #told: Told;
  readonly #name: string;
  /** The first revision that it has not been given; an empty store is at 1. */
  next = 2;
  #watcher: Watcher | null = null;
  #life: Life | null = null;
  #storeRevision: () => number = () => 0;
  #connection = 0;

  constructor(simulation: Simulation, told: Told, number: number) {
    this.#simulation = simulation;
    this.#told = told;
    this.#name = `w${number}`;
    this.#chance = new Chance(simulation.seed, `watcher ${number}`);
  }

  /** Opens the watch at some member that is up, and tries again until there is one. */
  connect(): void {
    this.#watcher?.close();
    this.#watcher = null;
    const connection = ++this.#connection;
    const { engine, members } = this.#simulation;
    engine.after(this.#chance.exponential(50), () => {
      if (connection !== this.#connection) return;
      const up = members.filter((member) => member.up);
      if (up.length === 0) return this.connect();
      const { life, replica } = this.#chance.pick(up).running!;
      this.#life = life;
      this.#storeRevision = () => replica.store.revision;
      const lost = (): void => this.connect();
      life.run(() => {
        if (connection !== this.#connection) return;
        life.onDeath.add(lost);
        this.#simulation.count("watch opened");
        this.#watcher = replica.store.watch({
          key: ZERO,
          end: ZERO,
          startRevision: this.next,
          noPut: false,
          noDelete: false,
          prevKv: this.#chance.hit(0.5),
          onReady: () => this.#plan(connection),
        });
        this.#plan(connection);
      });
      if (this.#chance.hit(0.5)) engine.after(this.#chance.exponential(4000), () => connection === this.#connection && this.connect());
    });
  }

  #plan(connection: number): void {
    // Sometimes slow, so that it falls behind.
    const lag = this.#chance.hit(0.1) ? this.#chance.exponential(2000) : this.#chance.exponential(5);
    this.#life?.after(lag, () => {
      if (connection === this.#connection) this.#checked(() => this.#take(connection));
    });
  }

  #checked(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#simulation.engine.fail(error as Error);
    }
  }

  #take(connection: number): void {
    this.#checkSynced();
    const taken = this.#watcher?.take(TAKE_BYTES);
    if (taken === undefined) {
      this.#checkSynced();
      return;
    }
    if (taken.kind === "compacted") {
      this.#simulation.count("watch compacted");
      demand(
        taken.compactRevision >= this.next,
        "watch",
        () => `${this.#name} is told that ${taken.compactRevision} is compacted, and asked for ${this.next}`,
      );
      this.next = taken.compactRevision + 1;
      this.connect();
      return;
    }
    for (const [revision, line] of groups(taken.events)) {
      demand(revision === this.next, "watch", () => `${this.#name} is given revision ${revision} when ${this.next} is due`);
      const known = this.#told.get(revision);
      if (known === undefined) this.#told.set(revision, line);
      else demand(known === line, "watch", () => `${this.#name} is told "${line}" of revision ${revision}; others "${known}"`);
      this.next++;
      this.#simulation.count("watch revisions");
    }
    demand(
      taken.revision === this.next - 1,
      "watch",
      () => `${this.#name} is told that all up to ${taken.revision} was given, and has it up to ${this.next - 1}`,
    );
    this.#plan(connection);
  }

  /** When nothing is waiting, all that the member has was given. */
  #checkSynced(): void {
    if (this.#watcher?.isSynced() !== true) return;
    const revision = this.#storeRevision();
    demand(
      this.next > revision,
      "watch progress",
      () => `${this.#name} is synced at ${revision} and has been given up to ${this.next - 1}`,
    );
  }
}
