/**
 * Pools: nodes that share a load. Each says how much it can do and how much it does; whoever calls them chooses by that, on a copy that is
 * kept up to date.
 *
 *     /quorate/lb/<pool>/<node>   {address?, capacity, inflight, cpu?, zone?, weight, updatedAt, owner}; see roster.ts
 */
import type { Bytes } from "../bytes/bytes.ts";
import { errBadField } from "../errors.ts";
import type { ReadOptions, RecipeContext } from "./client-port.ts";
import { type FollowOptions, tagOf } from "./follow.ts";
import { prefixOf } from "./names.ts";
import { type PickOptions, Picker } from "./picker.ts";
import { Registration, type RegistrationOptions } from "./registration.ts";
import { type Roster, type Value, readRoster, watchRoster } from "./roster.ts";

const KIND = "lb";
const REPORT_MS = 1_000;
/** What changes by less is not worth telling. */
const CHANGE = 0.1;

/** What a node says of itself. */
export interface NodeStatus {
  readonly address?: string | undefined;
  /** How much it can do at once; default 1. */
  readonly capacity?: number | undefined;
  /** How much it does; default 0. */
  readonly inflight?: number | undefined;
  /** From 0 to 1. */
  readonly cpu?: number | undefined;
  readonly zone?: string | undefined;
  /** Of what it should get, compared to others; default 1. 0: nothing. */
  readonly weight?: number | undefined;
}

export interface PoolNode extends NodeStatus {
  readonly id: string;
  readonly capacity: number;
  readonly inflight: number;
  readonly weight: number;
  /** Of its last change. */
  readonly revision: number;
}

export interface PoolState {
  readonly nodes: readonly PoolNode[];
  readonly revision: number;
  /** Another whenever the nodes are others, or say something else. */
  readonly etag: string;
}

/** The prefix of a pool's nodes. @throws QuorateError badField */
export function poolPrefix(pool: string): Bytes {
  return prefixOf(KIND, pool);
}

/** With what is left out. @throws QuorateError badField */
export function checkNode(status: NodeStatus): Value {
  const { capacity = 1, inflight = 0, weight = 1, cpu } = status;
  for (const [field, value] of Object.entries({ capacity, inflight, weight, cpu: cpu ?? 0 })) {
    if (!(value >= 0 && value <= 1e9)) throw errBadField(field, `${field} must be a number from 0 to 1000000000; it is ${value}`);
  }
  return { ...status, capacity, inflight, weight };
}

/** A node's own place in a pool, which keeps itself. */
export class PoolMember {
  readonly #context: RecipeContext;
  readonly #registration: Registration;
  #latest: NodeStatus;
  #reporting: Promise<void> | undefined;
  #reportedMs: number;

  private constructor(context: RecipeContext, registration: Registration, status: NodeStatus) {
    this.#context = context;
    this.#registration = registration;
    this.#latest = status;
    this.#reportedMs = context.host.monotonicMs();
  }

  /** @throws QuorateError conflict when the id is another's; badField */
  static async join(
    context: RecipeContext,
    pool: string,
    id: string,
    status: NodeStatus,
    options: RegistrationOptions = {},
  ): Promise<PoolMember> {
    const value = { ...checkNode(status), updatedAt: context.host.clockMs() };
    return new PoolMember(context, await Registration.open(context, { prefix: poolPrefix(pool), id }, value, options), status);
  }

  get id(): string {
    return this.#registration.id;
  }

  /** Fires when another has the id. */
  get signal(): AbortSignal {
    return this.#registration.signal;
  }

  /**
   * Says how it is; what is left out stays. Told once a second at most, and only when it has changed by more than a tenth.
   * @throws QuorateError badField
   */
  report(status: NodeStatus): void {
    const latest = { ...this.#latest, ...status };
    checkNode(latest);
    this.#latest = latest;
    if (this.#reporting !== undefined || !this.#isNews()) return;
    this.#reporting = this.#tell().finally(() => (this.#reporting = undefined));
    this.#context.host.background(this.#reporting);
  }

  async leave(): Promise<void> {
    await this.#registration.leave();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }

  #isNews(): boolean {
    const told = this.#registration.value as NodeStatus;
    const { capacity = 1, inflight = 0, cpu = 0, ...rest } = this.#latest;
    const most = Math.max(capacity, told.capacity!);
    return (
      Math.abs(capacity - told.capacity!) > CHANGE * most ||
      Math.abs(inflight - told.inflight!) > CHANGE * most ||
      Math.abs(cpu - (told.cpu ?? 0)) > CHANGE ||
      Object.entries(rest).some(([field, value]) => value !== (told as Value)[field])
    );
  }

  async #tell(): Promise<void> {
    const { host } = this.#context;
    try {
      do {
        await host.sleep(Math.max(0, this.#reportedMs + REPORT_MS - host.monotonicMs()), this.signal);
        this.#reportedMs = host.monotonicMs();
        await this.#registration.update(() => ({ ...checkNode(this.#latest), updatedAt: host.clockMs() }));
      } while (this.#isNews());
    } catch {
      // The next report tells what this one could not; that another has the id is told by the signal.
    }
  }
}

/** The nodes of a pool now. */
export async function readPool(context: RecipeContext, pool: string, options: ReadOptions = {}): Promise<PoolState> {
  return stateOf(await readRoster(context, poolPrefix(pool), options));
}

/** The nodes now, and then at each change of them. While the store does not answer, nothing comes. Ends with the signal, without throwing. */
export async function* watchPool(context: RecipeContext, pool: string, options: FollowOptions = {}): AsyncGenerator<PoolState, void, void> {
  for await (const roster of watchRoster(context, poolPrefix(pool), options)) yield stateOf(roster);
}

/** A node that was chosen for one call. */
export interface Picked {
  readonly node: PoolNode;
  /** The call is over; to be called in any case. One that failed counts against the node. */
  done(result: { readonly ok: boolean }): void;
}

/** A pool, as whoever calls its nodes sees it. */
export class Pool {
  readonly #picker: Picker;
  readonly #end = new AbortController();
  #nodes: readonly PoolNode[] = [];

  private constructor(context: RecipeContext, pool: string, options: PickOptions, first: PoolState) {
    this.#picker = new Picker(context.host, options);
    this.#nodes = first.nodes;
    context.host.background(this.#follow(watchPool(context, pool, { signal: this.#end.signal })));
  }

  static async open(context: RecipeContext, pool: string, options: PickOptions & ReadOptions = {}): Promise<Pool> {
    return new Pool(context, pool, options, await readPool(context, pool, options));
  }

  /** As they are known here. */
  get nodes(): readonly PoolNode[] {
    return this.#nodes;
  }

  /** A node for one call; undefined when there is none. @param key for the strategy `hash` */
  pick(key?: string): Picked | undefined {
    const node = this.#picker.pick(this.#nodes, key);
    if (node === undefined) return undefined;
    this.#picker.began(node.id);
    let isOver = false;
    const done = ({ ok }: { readonly ok: boolean }): void => {
      if (!isOver) this.#picker.ended(node.id, ok);
      isOver = true;
    };
    return { node, done };
  }

  close(): void {
    this.#end.abort();
  }

  async #follow(states: AsyncIterable<PoolState>): Promise<void> {
    for await (const { nodes } of states) {
      this.#nodes = nodes;
      this.#picker.keep(new Set(nodes.map(({ id }) => id)));
    }
  }
}

function stateOf({ entries, revision }: Roster): PoolState {
  const nodes = [...entries.values()].flatMap(({ id, value, revision: changed }) => {
    const { owner: _, ...said } = value;
    try {
      return [{ ...(checkNode(said as NodeStatus) as unknown as PoolNode), id, revision: changed }];
    } catch {
      return []; // another program's
    }
  });
  return { nodes, revision, etag: tagOf(nodes) };
}
