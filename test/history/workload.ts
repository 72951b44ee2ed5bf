/**
 * Requests that find faults: few keys, so that clients meet; every value new, so that a value names its write; half of the requests depend
 * on what is there. The same seed and the same answers give the same requests.
 */
import type { Random } from "../differential/random.ts";
import type { KeyValue, Request, Response, SingleRequest } from "./history.ts";

export interface WorkloadOptions {
  readonly random: Random;
  /** Names the client; part of its values. */
  readonly client: string;
  /** In ASCII; at least two for transactions over two keys, which are left out otherwise. */
  readonly keys: readonly string[];
  /** Only requests that the search of linearizability.ts understands: one key each. Default false. */
  readonly singleKey?: boolean;
  /** Percent of reads that any member may answer. Default 30. */
  readonly serializable?: number;
}

export class Workload {
  readonly #options: WorkloadOptions;
  /** Mod revisions as last seen, which swaps expect. */
  readonly #known = new Map<string, number>();
  #count = 0;

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  next(): Request {
    const { random, keys, singleKey } = this.#options;
    const key = random.pick(keys);
    const several = singleKey === true || keys.length < 2 ? 0 : 1;
    const kind = random.weighted([
      [30, "put"],
      [25, "get"],
      [20, "swap"],
      [10, "delete"],
      [10 * several, "all"],
      [10 * several, "pair"],
      [3 * several, "clear"],
    ] as const);
    switch (kind) {
      case "put":
        return { kind, key, value: this.#value(), prev: random.chance(50) };
      case "get":
        return { kind: "range", key, ...this.#stale() };
      case "swap":
        return this.#swap(key, [{ kind: "put", key, value: this.#value() }], [{ kind: "range", key }]);
      case "delete":
        return { kind, key, prev: random.chance(50) };
      case "all":
        return { kind: "range", ...this.#all(), ...this.#stale() };
      case "pair":
        return this.#pair(key);
      case "clear":
        return { kind: "delete", ...this.#all(), prev: true };
    }
  }

  /** To be told of every answer of this client. */
  observe(response: Response): void {
    for (const result of response.kind === "txn" ? response.results : [response]) {
      const seen: readonly KeyValue[] = result.kind === "range" ? result.kvs : [];
      for (const { key, modRevision } of seen) this.#known.set(key, modRevision);
    }
  }

  #value(): string {
    this.#count += 1;
    return `${this.#options.client}-${this.#count}`;
  }

  #stale(): { readonly serializable?: boolean } {
    return this.#options.random.chance(this.#options.serializable ?? 30) ? { serializable: true } : {};
  }

  #all(): { readonly key: string; readonly end: string } {
    const [first, last] = [this.#options.keys.toSorted()[0]!, this.#options.keys.toSorted().at(-1)!];
    return { key: first, end: `${last}\0` };
  }

  #swap(key: string, success: readonly SingleRequest[], failure: readonly SingleRequest[]): Request {
    return { kind: "txn", compare: [{ key, target: "mod", op: "=", value: this.#known.get(key) ?? 0 }], success, failure };
  }

  /** Two keys that change together or not at all: a put and a put, or a put and a delete. */
  #pair(key: string): Request {
    const { random, keys } = this.#options;
    const other = random.pick(keys.filter((one) => one !== key));
    const put = (which: string): SingleRequest => ({ kind: "put", key: which, value: this.#value(), prev: random.chance(50) });
    const second: SingleRequest = random.chance(70) ? put(other) : { kind: "delete", key: other };
    return this.#swap(
      key,
      [put(key), second],
      [
        { kind: "range", key },
        { kind: "range", key: other },
      ],
    );
  }
}
