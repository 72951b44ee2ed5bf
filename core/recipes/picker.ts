/**
 * Choosing a node of a pool: by what the nodes report, by what this caller has under way, and by how its own calls went. It decides for
 * itself, in memory; nobody else hears of it.
 */
import type { Host } from "./client-port.ts";
import { highest } from "./rendezvous-hash.ts";

/** `p2c`: of two at random, the one with less to do. `zone`: those nearby, as long as enough of them are well. `hash`: by a key. */
export const STRATEGIES = ["p2c", "weighted", "zone", "hash"] as const;
export type Strategy = (typeof STRATEGIES)[number];

/** What there is to choose from. */
export interface Candidate {
  readonly id: string;
  /** How much it can do at once. */
  readonly capacity: number;
  /** How much it does, as it said last. */
  readonly inflight: number;
  readonly weight: number;
  readonly zone?: string | undefined;
}

export interface PickOptions {
  /** Default `p2c`. */
  readonly strategy?: Strategy | undefined;
  /** Of the caller, for `zone`. */
  readonly zone?: string | undefined;
}

/** What is known of a node here. */
interface Known {
  inflight: number;
  failures: number;
  ejections: number;
  /** On the monotonic clock; 0: it is not put aside. */
  backMs: number;
}

const FAILURES = 3;
const EJECTED_MS = 10_000;
const EJECTED_MS_MAX = 320_000;
/** In this time what is usual comes half as near to what is. */
const USUAL_HALF_LIFE_MS = 600_000;

export class Picker {
  readonly #host: Host;
  readonly #strategy: Strategy;
  readonly #zone: string | undefined;
  readonly #known = new Map<string, Known>();
  /** Capacity of the own zone, as it usually is. */
  #usual = 0;
  #usualAtMs = 0;

  constructor(host: Host, { strategy = "p2c", zone }: PickOptions = {}) {
    this.#host = host;
    this.#strategy = strategy;
    this.#zone = zone;
  }

  /** @param key for `hash`, which is random without one @returns undefined when there is nothing to choose from */
  pick<T extends Candidate>(nodes: readonly T[], key?: string): T | undefined {
    const able = nodes.filter(({ capacity, weight }) => capacity > 0 && weight > 0);
    const aside = this.#aside(able);
    const healthy = able.filter(({ id }) => !aside.has(id));
    if (this.#strategy === "hash" && key !== undefined) return highest(key, healthy, ({ weight }) => weight);
    if (this.#strategy === "weighted") return this.#weighted(healthy, ({ weight }) => weight);
    if (this.#strategy === "zone") return this.#near(able, healthy);
    return this.#lessBusy(healthy);
  }

  /** A call to the node begins. */
  began(id: string): void {
    this.#of(id).inflight++;
  }

  /** It has ended; one that failed counts against the node. */
  ended(id: string, ok: boolean): void {
    const known = this.#of(id);
    known.inflight = Math.max(0, known.inflight - 1);
    if (ok) {
      known.failures = 0;
      known.ejections = 0;
      return;
    }
    if (++known.failures < FAILURES) return;
    known.failures = 0;
    known.backMs = this.#host.monotonicMs() + Math.min(EJECTED_MS * 2 ** known.ejections++, EJECTED_MS_MAX);
  }

  /** Forgets nodes that are gone. */
  keep(ids: ReadonlySet<string>): void {
    for (const [id, { inflight }] of this.#known) if (!ids.has(id) && inflight === 0) this.#known.delete(id);
  }

  #of(id: string): Known {
    let known = this.#known.get(id);
    if (known === undefined) this.#known.set(id, (known = { inflight: 0, failures: 0, ejections: 0, backMs: 0 }));
    return known;
  }

  /** Nodes that are put aside: at most half of all, those that are to stay away longest. */
  #aside(nodes: readonly Candidate[]): ReadonlySet<string> {
    const now = this.#host.monotonicMs();
    const ejected = nodes.flatMap(({ id }) => {
      const backMs = this.#known.get(id)?.backMs ?? 0;
      return backMs > now ? [{ id, backMs }] : [];
    });
    ejected.sort((a, b) => b.backMs - a.backMs);
    return new Set(ejected.slice(0, Math.floor(nodes.length / 2)).map(({ id }) => id));
  }

  #lessBusy<T extends Candidate>(nodes: readonly T[]): T | undefined {
    if (nodes.length < 2) return nodes[0];
    const at = Math.floor(this.#random() * nodes.length);
    const step = 1 + Math.floor(this.#random() * (nodes.length - 1));
    const [one, two] = [nodes[at]!, nodes[(at + step) % nodes.length]!];
    return this.#load(two) < this.#load(one) ? two : one;
  }

  /** With one more: so that of two which do nothing the larger one is taken. */
  #load({ id, inflight, capacity, weight }: Candidate): number {
    return (inflight + (this.#known.get(id)?.inflight ?? 0) + 1) / (capacity * weight);
  }

  #weighted<T extends Candidate>(nodes: readonly T[], weight: (node: T) => number): T | undefined {
    let rest = this.#random() * nodes.reduce((sum, node) => sum + weight(node), 0);
    return nodes.find((node) => (rest -= weight(node)) < 0) ?? nodes.at(-1);
  }

  /** Those of the own zone, while half of what is usual there is well; below that, so many fewer calls stay in it. */
  #near<T extends Candidate>(all: readonly T[], healthy: readonly T[]): T | undefined {
    const isNear = ({ zone }: Candidate): boolean => zone === this.#zone;
    const near = healthy.filter(isNear);
    const far = healthy.filter((node) => !isNear(node));
    const usual = this.#usualNow(capacityOf(all.filter(isNear)));
    const share = usual === 0 ? 0 : Math.min(1, capacityOf(near) / (usual / 2));
    const stays = far.length === 0 || (near.length > 0 && this.#random() < share);
    return this.#lessBusy(stays ? near : far);
  }

  #usualNow(present: number): number {
    const now = this.#host.monotonicMs();
    const faded = (this.#usual - present) * 0.5 ** ((now - this.#usualAtMs) / USUAL_HALF_LIFE_MS);
    [this.#usual, this.#usualAtMs] = [present + Math.max(0, faded), now];
    return this.#usual;
  }

  /** From 0 on, below 1. */
  #random(): number {
    let value = 0;
    for (const byte of this.#host.randomBytes(4)) value = value * 256 + byte;
    return value / 2 ** 32;
  }
}

function capacityOf(nodes: readonly Candidate[]): number {
  return nodes.reduce((sum, { capacity, weight }) => sum + capacity * weight, 0);
}
