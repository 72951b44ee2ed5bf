/**
 * Those who watch a part of the keys, some only puts or only deletes, with what was there before. What is left out of a watch cannot be
 * seen from its events alone, so each is held against the witness: all that it wants of the revisions it was given, and nothing else. When
 * a member says that nothing is waiting, the watch goes on after that member's revision, wherever it is opened next: a notice of progress
 * that comes too early would lose what it stands before.
 */
import { ascii } from "../../../core/bytes/bytes.ts";
import type { StoreView } from "../../../core/store/store-view.ts";
import type { Watcher } from "../../../core/store/watch/watcher.ts";
import { Chance } from "../../helpers/chance.ts";
import { demand } from "../violation.ts";
import type { Life } from "./life.ts";
import type { Simulation } from "./simulation.ts";
import type { Wanted } from "./witness.ts";

const TAKE_BYTES = 64 << 10;

export class FilteredWatch {
  readonly #simulation: Simulation;
  readonly #chance: Chance;
  readonly #name: string;
  readonly #wanted: Wanted;
  /** All that it wants before this revision has been given. */
  #next = 2;
  #watcher: Watcher | null = null;
  #store: StoreView | null = null;
  #life: Life | null = null;
  #connection = 0;

  constructor(simulation: Simulation, number: number) {
    this.#simulation = simulation;
    this.#name = `f${number}`;
    this.#chance = new Chance(simulation.seed, `filtered watcher ${number}`);
    this.#wanted = drawWanted(this.#chance);
  }

  /** Opens the watch at some member that is up, and tries again until there is one. */
  connect(): void {
    this.#watcher?.close();
    this.#watcher = null;
    const connection = ++this.#connection;
    const { engine, members } = this.#simulation;
    const again = (): void => {
      if (connection === this.#connection) this.connect();
    };
    engine.after(this.#chance.exponential(50), () => {
      if (connection !== this.#connection) return;
      const up = members.filter((member) => member.up);
      if (up.length === 0) return this.connect();
      const { life, replica } = this.#chance.pick(up).running!;
      this.#life = life;
      this.#store = replica.store;
      life.onDeath.add(again);
      life.run(() => {
        if (connection !== this.#connection) return;
        this.#simulation.count("filtered watch opened");
        const onReady = (): void => this.#plan(connection);
        this.#watcher = replica.store.watch({ ...this.#wanted, startRevision: this.#next, onReady });
        this.#plan(connection);
      });
      if (this.#chance.hit(0.7)) engine.after(this.#chance.exponential(3000), again);
    });
  }

  /** It has been given all that it wants up to this revision, or says what it has not. */
  hasAll(revision: number): boolean {
    if (this.#life?.alive === true && !this.#life.paused) this.#checked(() => this.#progress());
    return this.#next > revision;
  }

  #plan(connection: number): void {
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
    const taken = this.#watcher?.take(TAKE_BYTES);
    if (taken === undefined) return this.#progress();
    if (taken.kind === "compacted") {
      this.#simulation.count("filtered watch compacted");
      const is = taken.compactRevision;
      demand(is >= this.#next, "watch", () => `${this.#name} is told that ${is} is compacted, and asked for ${this.#next}`);
      this.#next = is + 1;
      return this.connect();
    }
    demand(taken.revision >= this.#next - 1, "watch", () => `${this.#name} is told of ${taken.revision} when ${this.#next} is due`);
    this.#given(taken.revision, taken.events);
    this.#simulation.count("filtered watch taken");
    this.#plan(connection);
  }

  #given(revision: number, events: Parameters<Simulation["witness"]["watched"]>[1]["events"]): void {
    const { witness } = this.#simulation;
    witness.watched(this.#name, {
      wanted: this.#wanted,
      from: this.#next,
      to: revision,
      events,
      compacted: this.#store!.compactedRevision,
    });
    this.#next = revision + 1;
  }

  #progress(): void {
    if (this.#watcher?.isSynced() !== true || this.#store!.revision < this.#next) return;
    this.#simulation.count("filtered watch progress");
    this.#given(this.#store!.revision, []);
  }
}

function drawWanted(chance: Chance): Wanted {
  const first = chance.int(1, 3);
  const end = chance.pick(["", `k${first + chance.int(1, 3)}`, "l"]);
  return { key: ascii(`k${first}`), end: ascii(end), noPut: chance.hit(0.2), noDelete: chance.hit(0.2), prevKv: chance.hit(0.7) };
}
