/**
 * A place for recipes: one member in memory with virtual time, or three that fail, and several clients of it that know nothing of one another. Each client can
 * be made to lose replies or requests, to be refused, slow, paused or killed; every call it makes is counted and listed, so that a test can
 * do the same with each one in turn. What the store did is kept revision by revision, for checks that need no clock.
 */
import { errNoLeader, errTimeout } from "../../core/errors.ts";
import { Xoshiro128 } from "../../core/raft/prng.ts";
import type { Host, RecipeContext, Store, WatchBatch, WatchRequest } from "../../core/recipes/client-port.ts";
import type { KeyValue, TxnRequest } from "../../core/store/command.ts";
import { LabCluster } from "./lab-cluster.ts";
import { MemoryMember, type Revision, STARTED_AT, randomBytes } from "../../testing/memory-member.ts";
import { VirtualTime } from "../../testing/virtual-time.ts";

export class RecipeLab {
  readonly time: VirtualTime;
  readonly #member: MemoryMember | LabCluster;
  readonly #clients: LabClient[] = [];
  readonly #seed: number;

  private constructor(time: VirtualTime, member: MemoryMember | LabCluster, seed: number) {
    this.time = time;
    this.#member = member;
    this.#seed = seed;
  }

  /** @param seed of all random bytes */
  static async start(seed = 1): Promise<RecipeLab> {
    const time = new VirtualTime();
    return new RecipeLab(time, await MemoryMember.start(time, seed), seed);
  }

  /** On three members, which can be killed and cut off: `cluster` does so. */
  static async onCluster(seed = 1): Promise<RecipeLab> {
    const time = new VirtualTime();
    return new RecipeLab(time, await LabCluster.start(time, seed), seed);
  }

  /** The members, where there are several. */
  get cluster(): LabCluster | undefined {
    return this.#member instanceof LabCluster ? this.#member : undefined;
  }

  /** A fresh client: no faults, even clock. */
  client(): LabClient {
    const client = new LabClient(this.time, this.#member.store, new Xoshiro128(this.#seed, `client ${this.#clients.length}`));
    this.#clients.push(client);
    return client;
  }

  /** As of `VirtualTime.run`. */
  run<T>(work: Promise<T>): Promise<T> {
    return this.time.run(work);
  }

  advance(ms: number): Promise<void> {
    return this.time.advance(ms);
  }

  /** Of the store, from the first; oldest first. */
  get history(): readonly Revision[] {
    return this.#member.history;
  }

  /** The keys that begin so, with their values. */
  keys(prefix = ""): readonly KeyValue[] {
    return this.#member.keys(prefix);
  }

  /** Leases that there are. */
  leases(): readonly string[] {
    return this.#member.leases();
  }

  get revision(): number {
    return this.#member.revision;
  }

  /** A write of somebody else. */
  async txn(request: TxnRequest): Promise<void> {
    await this.#member.store.txn(request);
  }

  /** Ends a lease as an operator does. */
  async revoke(lease: string): Promise<void> {
    await this.#member.store.revoke(lease);
  }

  /** Forgets the history before the present revision. */
  compact(): Promise<void> {
    return this.#member.compact();
  }

  /** Ends everything. @throws what work in the background threw: it must not */
  async close(): Promise<void> {
    for (const client of this.#clients) client.kill();
    await this.#member.close();
    this.time.close();
    for (const client of this.#clients) for (const failure of client.failures) throw failure;
  }
}

/**
 * What happens to one call. `lose-reply`: it is done, and the caller hears of a time-out. `lose-request`: it is not done, and the caller
 * hears the same. `late`: the same again, but it is done some seconds later. `refuse`: it is not done, for want of a leader.
 */
export type Fault = "none" | "lose-reply" | "lose-request" | "late" | "refuse";

export interface Call {
  /** From 1 on, of this client. */
  readonly number: number;
  readonly kind: "range" | "txn" | "watch" | "grant" | "keepAlive" | "revoke" | "remaining";
  /** Virtual milliseconds. */
  readonly at: number;
}

/** Never comes: of those who were killed. */
const NEVER = new Promise<never>(() => {});

export class LabClient {
  readonly context: RecipeContext;
  readonly calls: Call[] = [];
  /** Decides what happens to each call; none by default. */
  fault: (call: Call) => Fault = () => "none";
  /** Of the way to the store, and of the way back, each; asked for each call. */
  latencyMs: () => number = () => 0;
  /** How fast this client's clock runs: 1.1 is a tenth too fast. */
  clockRate = 1;
  /** What work in the background threw. */
  readonly failures: unknown[] = [];
  readonly #time: VirtualTime;
  readonly #store: Store;
  readonly #prng: Xoshiro128;
  #state: "running" | "paused" | "killed" = "running";
  #resumed: (() => void)[] = [];
  #cutOff = false;
  #unheard: (() => void)[] = [];

  constructor(time: VirtualTime, store: Store, prng: Xoshiro128) {
    this.#time = time;
    this.#store = store;
    this.#prng = prng;
    this.context = { store: this.#wire(), host: this.#host() };
  }

  /** Nothing that this client waits for comes any more, nor does it do anything. */
  kill(): void {
    this.#state = "killed";
    this.#resumed = [];
  }

  /** Stands still until `resume`, as in a long collection of garbage: even its timers come late. */
  pause(): void {
    if (this.#state === "running") this.#state = "paused";
  }

  resume(): void {
    if (this.#state === "paused") this.#state = "running";
    for (const wake of this.#resumed.splice(0)) wake();
  }

  /** Nothing goes through to the store any more, nor back, until `reconnect`: every call times out after a second. */
  cutOff(): void {
    this.#cutOff = true;
  }

  reconnect(): void {
    this.#cutOff = false;
    for (const wake of this.#unheard.splice(0)) wake();
  }

  async #awake(): Promise<void> {
    while (this.#state === "paused") await new Promise<void>((resolve) => this.#resumed.push(resolve));
    if (this.#state === "killed") await NEVER;
  }

  #host(): Host {
    const time = this.#time;
    return {
      monotonicMs: () => time.now * this.clockRate,
      clockMs: () => STARTED_AT + time.now,
      sleep: async (ms, signal) => {
        try {
          await time.sleep(ms / this.clockRate, signal);
        } finally {
          await this.#awake();
        }
      },
      randomBytes: (count) => randomBytes(this.#prng, count),
      background: (work) => void work.catch((error: unknown) => this.failures.push(error)),
    };
  }

  #wire(): Store {
    const store = this.#store;
    return {
      range: (request, options) => this.#call("range", options?.signal, () => store.range(request, options)),
      txn: (request, options) => this.#call("txn", options?.signal, () => store.txn(request, options)),
      watch: (request) => this.#watch(request),
      grant: (id, ttl, options) => this.#call("grant", options?.signal, () => store.grant(id, ttl, options)),
      keepAlive: (id, options) => this.#call("keepAlive", options?.signal, () => store.keepAlive(id, options)),
      revoke: (id, options) => this.#call("revoke", options?.signal, () => store.revoke(id, options)),
      remaining: (id, options) => this.#call("remaining", options?.signal, () => store.remaining(id, options)),
    };
  }

  #note(kind: Call["kind"]): Call {
    const call = { number: this.calls.length + 1, kind, at: this.#time.now };
    this.calls.push(call);
    return call;
  }

  async #call<T>(kind: Call["kind"], signal: AbortSignal | undefined, ask: () => Promise<T>): Promise<T> {
    try {
      await this.#awake();
      const fault = this.fault(this.#note(kind));
      await this.#way(signal);
      if (fault === "refuse") throw errNoLeader();
      if (fault === "lose-request") throw errTimeout();
      if (fault === "late") {
        this.#time.after(LATE_MS, () => void ask().catch(() => {}));
        throw errTimeout();
      }
      const answer = await ask();
      if (fault === "lose-reply") throw errTimeout();
      await this.#way(signal);
      return answer;
    } finally {
      await this.#awake();
    }
  }

  async #way(signal: AbortSignal | undefined): Promise<void> {
    const ms = this.latencyMs();
    if (ms > 0) await this.#time.sleep(ms, signal);
    if (!this.#cutOff) return;
    await this.#time.sleep(CUT_OFF_MS, signal);
    throw errTimeout();
  }

  #watch(request: WatchRequest): AsyncIterable<WatchBatch> {
    return {
      [Symbol.asyncIterator]: () => {
        this.#note("watch");
        const inner = this.#store.watch(request)[Symbol.asyncIterator]();
        const next = async (): Promise<IteratorResult<WatchBatch, undefined>> => {
          try {
            await this.#awake();
            const step = await inner.next();
            const ms = this.latencyMs();
            if (ms > 0) await this.#time.sleep(ms);
            while (this.#cutOff && !(request.signal?.aborted ?? false)) await this.#heard(request.signal);
            return (request.signal?.aborted ?? false) ? { done: true, value: undefined } : (step as IteratorResult<WatchBatch, undefined>);
          } finally {
            await this.#awake();
          }
        };
        return { next, return: () => inner.return!() };
      },
    };
  }

  #heard(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      this.#unheard.push(resolve);
      signal?.addEventListener("abort", () => resolve(), { once: true });
    });
  }
}

const CUT_OFF_MS = 1_000;
const LATE_MS = 3_000;
