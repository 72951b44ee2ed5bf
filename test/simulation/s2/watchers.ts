/**
 * Those who watch: each follows all keys from the beginning, through one member after another, and goes on after the last revision it
 * was given. Every change comes once, in order, whole, and the same for everybody; only a compaction may leave a gap, and says so.
 */
import { ZERO } from "../../../core/bytes/bytes.ts";
import type { StoreView } from "../../../core/store/store-view.ts";
import type { WatchTake, Watcher } from "../../../core/store/watch/watcher.ts";
import { Chance } from "../../helpers/chance.ts";
import { demand } from "../violation.ts";
import type { Life } from "./life.ts";
import type { Simulation } from "./simulation.ts";
import type { Truth } from "./truth.ts";

const TAKE_BYTES = 64 << 10;

export class WatchClient {
  readonly #simulation: Simulation;
  readonly #chance: Chance;
  readonly #truth: Truth;
  readonly #name: string;
  /** The first revision that it has not been given; an empty store is at 1. */
  next = 2;
  #watcher: Watcher | null = null;
  #life: Life | null = null;
  #store: StoreView | null = null;
  #connection = 0;

  constructor(simulation: Simulation, truth: Truth, number: number) {
    this.#simulation = simulation;
    this.#truth = truth;
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
      this.#store = replica.store;
      life.onDeath.add(() => connection === this.#connection && this.connect());
      life.run(() => {
        if (connection !== this.#connection) return;
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
    const taken = this.#takeChecked();
    const before = this.next;
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
    this.#truth.tell(this.#name, taken.events);
    const [first] = taken.events;
    demand(
      first === undefined || first.kv.modRevision === before,
      "watch",
      () => `${this.#name} is given revision ${first!.kv.modRevision} when ${before} is due`,
    );
    for (const { modRevision } of taken.events.map(({ kv }) => kv)) {
      if (modRevision === this.next - 1) continue; // one more of the same
      demand(modRevision === this.next, "watch", () => `${this.#name} is given revision ${modRevision} when ${this.next} is due`);
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

  /**
   * Of the compacted revision itself only puts are left: a watch that begins exactly there does not see its deletes, and is not told, as
   * in etcd. So that is the one revision that may be missing.
   */
  #takeChecked(): WatchTake | undefined {
    const begins = this.next === this.#store?.compactedRevision;
    if (!begins) this.#checkSynced();
    const taken = this.#watcher?.take(TAKE_BYTES);
    const missing = taken === undefined || (taken.kind === "events" && taken.events[0]?.kv.modRevision !== this.next);
    if (begins && missing && this.#watcher !== null) {
      this.#simulation.count("watch without the deletes of the compacted revision");
      this.next++;
    }
    return taken;
  }

  /** When nothing is waiting, all that the member has was given. */
  #checkSynced(): void {
    if (this.#watcher?.isSynced() !== true) return;
    const { revision } = this.#store!;
    demand(
      this.next > revision,
      "watch progress",
      () => `${this.#name} is synced at ${revision} and has been given up to ${this.next - 1}`,
    );
  }
}
