/** Counters of `/v2/stats/store`: what this member was asked through the v2 API since it began. */
import type { Bytes } from "../../bytes/bytes.ts";
import type { V2Action } from "../../store/v2-tree/v2-command.ts";

/** Kinds of requests, by the names that the reply begins them with, in its order. */
const KINDS = ["gets", "sets", "delete", "update", "create", "compareAndSwap", "compareAndDelete"] as const;
export type CounterKind = (typeof KINDS)[number];

const OF_ACTION: Readonly<Record<V2Action, CounterKind | null>> = {
  set: "sets",
  create: "create",
  update: "update",
  delete: "delete",
  compareAndSwap: "compareAndSwap",
  compareAndDelete: "compareAndDelete",
  expire: null, // counted by the tree
};

interface Conditions {
  readonly prevExist: boolean | null;
  readonly prevIndex: number;
  readonly prevValue: Bytes;
}

export class StoreCounters {
  readonly #done = new Map<CounterKind, number>();
  readonly #refused = new Map<CounterKind, number>();

  count(kind: CounterKind, done: boolean): void {
    const counts = done ? this.#done : this.#refused;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }

  countDone(action: V2Action): void {
    const kind = OF_ACTION[action];
    if (kind !== null) this.count(kind, true);
  }

  countRefused(method: "put" | "post" | "delete", asked: Conditions): void {
    const conditional = asked.prevIndex > 0 || asked.prevValue !== "";
    if (method === "delete") this.count(conditional ? "compareAndDelete" : "delete", false);
    else if (method === "post" || asked.prevExist === false) this.count("create", false);
    else if (conditional) this.count("compareAndSwap", false);
    else this.count(asked.prevExist === null ? "sets" : "update", false);
  }

  /** `"getsSuccess":1,"getsFail":0,…`, in etcd's order. */
  encode(): string {
    return KINDS.map((kind) => `"${kind}Success":${this.#done.get(kind) ?? 0},"${kind}Fail":${this.#refused.get(kind) ?? 0}`).join(",");
  }
}
