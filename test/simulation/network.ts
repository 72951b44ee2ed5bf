/** Which messages arrive, when, how often: loss, delay, repetition, partitions of every shape, and words from the past. */
import type { Message } from "../../core/raft/messages.ts";
import type { NodeId } from "../../core/raft/types.ts";
import type { Chance } from "../helpers/chance.ts";
import { type Swarm, TICK } from "./swarm.ts";

const DELAY_FLOOR = 2;
/** Messages remembered for replay. */
const PAST = 64;

export interface Delivery {
  readonly message: Message;
  readonly delay: number;
}

export class Network {
  readonly #chance: Chance;
  /** Directed links that carry nothing. */
  readonly #cut = new Set<string>();
  readonly #clogged = new Map<string, number>();
  readonly #load = new Map<string, number>();
  readonly #past: Message[] = [];
  #pastAt = 0;

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
    this.#clogged.clear();
  }

  /** What becomes of one message: nothing, or one or more deliveries. */
  route(message: Message, now: number, swarm: Swarm): Delivery[] {
    const chance = this.#chance;
    const link = `${message.from}>${message.to}`;
    this.#past[this.#pastAt] = message;
    this.#pastAt = (this.#pastAt + 1) % PAST;
    const out: Delivery[] = [];
    if (swarm.replay > 0 && chance.hit(swarm.replay)) {
      const old = chance.pick(this.#past);
      if (!this.isCut(old.from, old.to)) out.push({ message: old, delay: this.#delay(swarm) });
    }
    if (this.#cut.size > 0 && this.#cut.has(link)) return out;
    if (chance.hit(swarm.loss)) return out;
    const load = this.#load.get(link) ?? 0;
    if (load >= swarm.linkCapacity) return out;
    this.#load.set(link, load + 1);
    if (swarm.clog > 0 && chance.hit(swarm.clog)) this.#clogged.set(link, now + chance.exponential(5 * TICK));
    const clogged = Math.max(0, (this.#clogged.get(link) ?? 0) - now);
    out.push({ message, delay: clogged + this.#delay(swarm) });
    if (chance.hit(swarm.duplicate)) out.push({ message, delay: clogged + this.#delay(swarm) });
    return out;
  }

  arrived(message: Message): void {
    const link = `${message.from}>${message.to}`;
    const load = this.#load.get(link) ?? 0;
    if (load > 0) this.#load.set(link, load - 1);
  }

  #delay(swarm: Swarm): number {
    return DELAY_FLOOR + this.#chance.exponential(swarm.delayMean);
  }

  /** Cuts links in one of the shapes that clusters meet. @param target who is in the middle of it; anybody when absent */
  partition(ids: readonly NodeId[], target?: NodeId): string {
    const chance = this.#chance;
    const others = chance.shuffle(ids.filter((id) => id !== target));
    const order = target === undefined ? others : [target, ...others];
    const shape = chance.pick(["halves", "isolate", "one-way", "bridge", "link", "deaf", "mute"] as const);
    const [first, second] = order as [NodeId, NodeId | undefined];
    if (second === undefined) return "alone";
    const both = (a: NodeId, b: NodeId): void => {
      this.cut(a, b);
      this.cut(b, a);
    };
    switch (shape) {
      case "halves": {
        const at = chance.int(1, order.length - 1);
        for (const a of order.slice(0, at)) for (const b of order.slice(at)) both(a, b);
        break;
      }
      case "isolate":
        for (const other of order.slice(1)) both(first, other);
        break;
      case "one-way":
        this.cut(first, second);
        break;
      case "deaf":
        for (const other of order.slice(1)) this.cut(other, first);
        break;
      case "mute":
        for (const other of order.slice(1)) this.cut(first, other);
        break;
      case "bridge": {
        // Two halves that meet in one member only.
        const rest = order.slice(1);
        const at = Math.floor(rest.length / 2);
        for (const a of rest.slice(0, at)) for (const b of rest.slice(at)) both(a, b);
        break;
      }
      case "link":
        both(first, second);
    }
    return shape;
  }
}
