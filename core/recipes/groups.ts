/**
 * Groups: who is alive, told apart by incarnation. A view is the whole group as of one revision, so that two observers of the same revision
 * have the same view. Whoever leaves says so; whoever fails does not.
 *
 *     /quorate/groups/<name>/<member>   {data, since, owner}; see roster.ts. The create revision is the incarnation.
 */
import type { Bytes } from "../bytes/bytes.ts";
import type { ReadOptions, RecipeContext } from "./client-port.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { type FollowOptions, tagOf } from "./follow.ts";
import { prefixOf } from "./names.ts";
import { highest } from "./rendezvous-hash.ts";
import { Registration, type RegistrationOptions, randomId } from "./registration.ts";
import { type Entry, type Roster, type RosterChange, readRoster, watchRoster } from "./roster.ts";
import { openScope } from "./scope.ts";
import type { WaitOptions } from "./turns.ts";

const KIND = "groups";

export interface Member {
  readonly id: string;
  /** As it was said. */
  readonly data: unknown;
  /** When it joined, in milliseconds since 1970, by its own clock; null when it does not say. */
  readonly since: number | null;
  /** One that went and came back has another. */
  readonly incarnation: number;
  /** Of its last change. */
  readonly revision: number;
}

export interface GroupChange {
  /** `leave`: it said so. `fail`: its lease ended, or somebody else deleted its key. */
  readonly type: RosterChange["type"];
  readonly member: Member;
}

/** The group as of one revision. */
export interface View {
  readonly revision: number;
  /** In the order of their ids. */
  readonly members: readonly Member[];
  /** Another whenever the members are others, or say something else. */
  readonly etag: string;
}

export interface ViewStep extends View {
  /** null: the view was read anew. */
  readonly changes: readonly GroupChange[] | null;
}

export interface WatchGroupOptions extends FollowOptions {
  /** A failure is told only when the member has not come back for so long. Its views are late by that, and none of them is of one revision. */
  readonly stableFor?: Duration | undefined;
}

/** The prefix of a group's members. @throws QuorateError badField */
export function groupPrefix(name: string): Bytes {
  return prefixOf(KIND, name);
}

export interface JoinOptions extends RegistrationOptions {
  /** Default: a random one. */
  readonly id?: string | undefined;
}

/** A membership that keeps itself, and the view of its group. */
export class Membership {
  readonly #registration: Registration;
  readonly #context: RecipeContext;
  readonly #name: string;
  readonly #over = new AbortController();
  #view: View;

  private constructor(context: RecipeContext, name: string, registration: Registration, view: View) {
    this.#context = context;
    this.#name = name;
    this.#registration = registration;
    this.#view = view;
    registration.signal.addEventListener("abort", () => this.#over.abort());
    context.host.background(this.#follow());
  }

  /** @throws QuorateError conflict when the id is another's; badField */
  static async join(context: RecipeContext, name: string, data: unknown, options: JoinOptions = {}): Promise<Membership> {
    const { id = randomId(context), ...rest } = options;
    const value = { data, since: context.host.clockMs() };
    const registration = await Registration.open(context, { prefix: groupPrefix(name), id }, value, rest);
    try {
      return new Membership(context, name, registration, await readGroup(context, name, { signal: options.signal }));
    } catch (error) {
      context.host.background(registration.leave().catch(() => {})); // otherwise it ends with its TTL
      throw error;
    }
  }

  get id(): string {
    return this.#registration.id;
  }

  get incarnation(): number {
    return this.#registration.incarnation;
  }

  /** Fires when another has the id. */
  get signal(): AbortSignal {
    return this.#registration.signal;
  }

  /** The newest view that is known here. */
  get view(): View {
    return this.#view;
  }

  /** Of the newest view that is known here. */
  members(): readonly Member[] {
    return this.#view.members;
  }

  watch(options?: WatchGroupOptions): AsyncGenerator<ViewStep, void, void> {
    return watchGroup(this.#context, this.#name, options);
  }

  /**
   * Whether a key falls to this member in the view that is known here. Two views may be under way at once: only a lock, or a write with
   * `guard`, makes sure that no two act on it.
   */
  owns(key: string): boolean {
    return assign([key], this.#view).get(key) === this.id;
  }

  async update(data: unknown): Promise<void> {
    await this.#registration.update((value) => ({ ...value, data }));
  }

  async leave(): Promise<void> {
    this.#over.abort();
    await this.#registration.leave();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }

  async #follow(): Promise<void> {
    const { signal } = this.#over;
    for await (const view of watchGroup(this.#context, this.#name, { signal })) this.#view = view;
  }
}

/** The group now. */
export async function readGroup(context: RecipeContext, name: string, options: ReadOptions = {}): Promise<View> {
  return viewOf(await readRoster(context, groupPrefix(name), options));
}

/**
 * The group now, and then at each change of it, revision by revision. While the store does not answer, nothing comes. Ends with the signal,
 * without throwing.
 */
export async function* watchGroup(
  context: RecipeContext,
  name: string,
  { stableFor, ...options }: WatchGroupOptions = {},
): AsyncGenerator<ViewStep, void, void> {
  if (stableFor === undefined) return yield* rawViews(context, name, options);
  const stableMs = milliseconds(stableFor, "stableFor");
  const scope = openScope(context.host, [options.signal]);
  try {
    yield* damped(context, rawViews(context, name, { ...options, signal: scope.signal }), stableMs, scope.signal);
  } finally {
    scope.close(); // ends the watch, which waits for an event
  }
}

async function* rawViews(context: RecipeContext, name: string, options: FollowOptions): AsyncGenerator<ViewStep, void, void> {
  for await (const roster of watchRoster(context, groupPrefix(name), options)) {
    const changes = roster.changes?.map(({ type, entry }) => ({ type, member: memberOf(entry) })) ?? null;
    if (changes === null || changes.length > 0) yield { ...viewOf(roster), changes };
  }
}

/** One who failed, and is not given up yet. */
interface Missing {
  readonly member: Member;
  readonly untilMs: number;
}

/** Views in which whoever fails stays on until it has not come back for a while. */
async function* damped(
  { host }: RecipeContext,
  views: AsyncGenerator<ViewStep, void, void>,
  stableMs: number,
  signal: AbortSignal,
): AsyncGenerator<ViewStep, void, void> {
  const missing = new Map<string, Missing>();
  let last: View | undefined;
  let step = views.next();
  try {
    for (;;) {
      const dueMs = Math.min(...[...missing.values()].map(({ untilMs }) => untilMs));
      const scope = openScope(host, [signal], dueMs === Infinity ? undefined : Math.max(0, dueMs - host.monotonicMs()));
      const timeOver = new Promise<null>((resolve) => scope.signal.addEventListener("abort", () => resolve(null)));
      const came = await Promise.race([step, timeOver]);
      scope.close();
      if (signal.aborted || (came !== null && came.done === true)) return;
      let changes: GroupChange[] | null = [];
      if (came === null) {
        for (const [id, { member, untilMs }] of missing) {
          if (untilMs > host.monotonicMs()) continue;
          missing.delete(id);
          changes.push({ type: "fail", member });
        }
      } else {
        const { changes: fresh, ...view } = came.value as ViewStep;
        step = views.next();
        last = view;
        if (fresh === null) {
          missing.clear();
          changes = null;
        }
        for (const change of fresh ?? []) {
          const { id } = change.member;
          if (change.type === "fail") missing.set(id, { member: change.member, untilMs: host.monotonicMs() + stableMs });
          else changes!.push({ type: missing.delete(id) ? "update" : change.type, member: change.member });
        }
      }
      if (changes !== null && changes.length === 0) continue;
      const members = [...last!.members, ...[...missing.values()].map(({ member }) => member)].toSorted(byId);
      yield { revision: last!.revision, members, etag: tagOf(members), changes };
    }
  } finally {
    step.catch(() => {}); // nobody waits for it any more
  }
}

/** Waits until a view is so. @returns it; null when the time to wait is over @throws the signal's reason */
export async function whenGroup(
  context: RecipeContext,
  name: string,
  isSo: (view: View) => boolean,
  { wait, signal }: WaitOptions = {},
): Promise<View | null> {
  const scope = openScope(context.host, [signal], wait === undefined ? undefined : milliseconds(wait, "wait"));
  try {
    for await (const view of watchGroup(context, name, { signal: scope.signal })) if (isSo(view)) return view;
    signal?.throwIfAborted();
    return null;
  } finally {
    scope.close();
  }
}

/** Waits until there are so many, or more. */
export function whenSize(context: RecipeContext, name: string, n: number, options?: WaitOptions): Promise<View | null> {
  return whenGroup(context, name, ({ members }) => members.length >= n, options);
}

/** Waits until nobody is there. */
export function whenEmpty(context: RecipeContext, name: string, options?: WaitOptions): Promise<View | null> {
  return whenGroup(context, name, ({ members }) => members.length === 0, options);
}

/** Waits until a member is gone, or another incarnation of it is there. @param incarnation default: whichever is there now */
export async function whenGone(
  context: RecipeContext,
  name: string,
  id: string,
  { incarnation, ...options }: WaitOptions & { readonly incarnation?: number | undefined } = {},
): Promise<View | null> {
  let expected = incarnation;
  return whenGroup(
    context,
    name,
    ({ members }) => {
      const found = members.find((member) => member.id === id);
      expected ??= found?.incarnation;
      return found === undefined || found.incarnation !== expected;
    },
    options,
  );
}

/**
 * Shares keys among the members of a view, by rendezvous hashing: when a member goes, only its keys move. The revision of the view is the
 * epoch: who acts on a key takes it by a lock, or writes under a compare with that epoch, because two views may be under way at once.
 * @returns the member of each key; none when there is nobody
 */
export function assign(keys: Iterable<string>, { members }: Pick<View, "members">): ReadonlyMap<string, string> {
  const owners = new Map<string, string>();
  for (const key of keys) {
    const owner = highest(key, members);
    if (owner !== undefined) owners.set(key, owner.id);
  }
  return owners;
}

function viewOf({ entries, revision }: Roster): View {
  const members = [...entries.values()].map(memberOf).toSorted(byId);
  return { revision, members, etag: tagOf(members) };
}

function byId(a: Member, b: Member): number {
  return a.id < b.id ? -1 : 1;
}

function memberOf({ id, value, incarnation, revision }: Entry): Member {
  const since = typeof value["since"] === "number" ? value["since"] : null;
  return { id, data: value["data"] ?? null, since, incarnation, revision };
}
