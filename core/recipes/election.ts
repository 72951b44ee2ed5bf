/**
 * Elections: one leader at a time among those who campaign, in the order in which they came. The keys are those of etcd's `concurrency`
 * package, so that `etcdctl elect /quorate/elections/<name>` and a Go `concurrency.Election` take part.
 *
 * The leader is whoever's key was created first; that revision is the term, and the fence of what the leader does. The value of the key is
 * the candidate's, an address for example.
 */
import type { Bytes } from "../bytes/bytes.ts";
import { errConflict, errHeld, errSessionLost, isQuorateError } from "../errors.ts";
import type { KeyValue, LeaseId } from "../store/command.ts";
import type { ReadOptions, RecipeContext } from "./client-port.ts";
import { Hold } from "./hold.ts";
import { findInLine, firstOp, joinLine, leaveLine, positionInLine } from "./line.ts";
import { prefixOf } from "./names.ts";
import { isCompacted, isPassing, repeat } from "./repeat.ts";
import { createdAt, deleteOp, foundAt, keysUnder, oneKey, putOp, readOf, txnOf } from "./requests.ts";
import type { Session } from "./session.ts";
import { type Queued, type TurnOptions, type WaitOptions, queueTurn, resumeTurn, takeTurn, untilOneGone } from "./turns.ts";

const KIND = "elections";

export interface Candidate {
  readonly lease: LeaseId;
  readonly key: string;
  /** When it came; of the leader, its term. */
  readonly term: bigint;
  readonly value: Bytes;
  /** When the value was said. */
  readonly changed: number;
}

/** A candidature that leads not yet, kept for as long as its session is renewed. */
export interface Candidature {
  readonly lease: LeaseId;
  readonly key: string;
  /** 1: next after the leader. */
  readonly position: number;
}

export interface ElectionState {
  readonly leader: Candidate | null;
  /** Who comes next, in order. */
  readonly line: readonly Candidate[];
  readonly revision: number;
}

/** `leader`: null when nobody leads, which is an observation too. */
export interface Observation {
  readonly leader: Candidate | null;
  readonly revision: number;
}

/** An office that is held. */
export class Leadership extends Hold {
  get term(): bigint {
    return this.fence;
  }

  /** Changes what the others see of the leader. @throws QuorateError sessionLost when this is not the leader any more */
  async proclaim(value: Bytes): Promise<void> {
    const request = this.guard(txnOf([], [putOp(this.key, value, this.lease)]));
    const { signal } = this;
    const { succeeded } = await repeat(this.context, () => this.context.store.txn(request, { signal }), { signal });
    if (!succeeded) throw errSessionLost("it is not the leader any more", { lease: this.lease });
  }

  /** Gives the office up; the next in line has it at once. */
  async resign(): Promise<void> {
    await this[Symbol.asyncDispose]();
  }
}

/**
 * Waits to be the leader. Again with the same `id`, or the same session: the same candidature, with the value it has.
 * @throws QuorateError held when the time to wait is over, sessionLost, badField; the signal's reason
 */
export async function campaign(context: RecipeContext, name: string, value: Bytes, options: TurnOptions = {}): Promise<Leadership> {
  return campaignUnder(context, prefixOf(KIND, name), value, options);
}

/** As `campaign`, of an election that has its keys elsewhere, as those of `etcdctl elect` are. @param prefix ends with a slash */
export async function campaignUnder(context: RecipeContext, prefix: Bytes, value: Bytes, options: TurnOptions = {}): Promise<Leadership> {
  const enter = (session: Session, ownSession: boolean) => joinLine(context, { prefix, session, ownSession, value });
  const place = await takeTurn(context, options, enter);
  if (place === null) throw errHeld(`the office under ${prefix}`);
  return new Leadership(context, place);
}

/** As `campaign`, but when the time to wait is over, the candidature is kept for as long as the session is renewed. */
export async function queueForElection(
  context: RecipeContext,
  name: string,
  value: Bytes,
  options: TurnOptions = {},
): Promise<Leadership | Candidature> {
  const prefix = prefixOf(KIND, name);
  const enter = (session: Session, ownSession: boolean) => joinLine(context, { prefix, session, ownSession, value });
  return leadershipOr(context, prefix, await queueTurn(context, options, enter));
}

/**
 * Goes on with a candidature that another process began, by its lease; renews it.
 * @throws QuorateError sessionLost when it is gone
 */
export async function resumeCampaign(
  context: RecipeContext,
  name: string,
  lease: LeaseId,
  options: WaitOptions = {},
): Promise<Leadership | Candidature> {
  const prefix = prefixOf(KIND, name);
  return leadershipOr(
    context,
    prefix,
    await resumeTurn(context, lease, options, (session) => findInLine(context, prefix, session, options.signal)),
  );
}

async function leadershipOr(context: RecipeContext, prefix: Bytes, { place, granted }: Queued): Promise<Leadership | Candidature> {
  if (granted) return new Leadership(context, place);
  const position = await positionInLine(context, prefix, place);
  if (place.ownSession) place.session.detach();
  return { lease: place.session.id, key: place.key, position };
}

/** Resigns or leaves the line, by the lease alone, and ends the lease. What is gone already is fine. */
export function releaseCandidature(context: RecipeContext, name: string, lease: LeaseId): Promise<void> {
  return leaveLine(context, prefixOf(KIND, name), lease);
}

/** Who leads, and who comes next. */
export async function electionState(context: RecipeContext, name: string, options: ReadOptions = {}): Promise<ElectionState> {
  const line = readOf(keysUnder(prefixOf(KIND, name)), { sortTarget: "create", sortOrder: "ascend" });
  const { kvs, revision } = await repeat(context, () => context.store.range(line, options), options);
  const [leader = null, ...rest] = kvs.map(candidateIn);
  return { leader, line: rest, revision };
}

/** Who leads now, and then each change: another leader, a new value, nobody. Terms only rise. Ends with the signal, without throwing. */
export async function* observeElection(
  context: RecipeContext,
  name: string,
  signal?: AbortSignal,
): AsyncGenerator<Observation, void, void> {
  yield* observeUnder(context, prefixOf(KIND, name), signal);
}

/** As `observeElection`, of an election that has its keys elsewhere. @param prefix ends with a slash */
export async function* observeUnder(context: RecipeContext, prefix: Bytes, signal?: AbortSignal): AsyncGenerator<Observation, void, void> {
  const { store } = context;
  let last: number | undefined; // of the leader's key; 0: nobody leads
  while (!signal?.aborted) {
    const seen = await ended(
      repeat(context, () => store.txn(txnOf([], [firstOp(prefix)]), { signal }), { signal, until: Infinity }),
      signal,
    );
    if (seen === undefined) return;
    const [first] = foundAt(seen, 0);
    const version = first?.modRevision ?? 0;
    if (version !== last) yield { leader: first === undefined ? null : candidateIn(first), revision: seen.revision };
    last = version;
    // While somebody leads, only his key says anything new; otherwise whatever is put first.
    const range = first === undefined ? keysUnder(prefix) : oneKey(first.key);
    try {
      for await (const { events } of store.watch({ ...range, startRevision: seen.revision + 1, signal })) {
        const end = first === undefined ? 0 : events.findIndex(({ type }) => type === "delete");
        for (const { kv } of end < 0 ? events : events.slice(0, end)) {
          last = kv.modRevision;
          yield { leader: candidateIn(kv), revision: kv.modRevision };
        }
        if (end >= 0) break; // look who leads now
      }
    } catch (error) {
      if (!isCompacted(error)) throw error;
    }
  }
}

/**
 * Hands the office over: the leader and all who are before `to` leave the line in one transaction; who still campaigns of them comes again,
 * at the end.
 * @throws QuorateError conflict when `to` is not in the line, or the line has changed meanwhile
 */
export async function transferElection(context: RecipeContext, name: string, to: LeaseId): Promise<void> {
  const prefix = prefixOf(KIND, name);
  const { leader, line } = await electionState(context, name);
  const all = leader === null ? [] : [leader, ...line];
  const at = all.findIndex(({ lease }) => lease === to);
  if (at < 0) throw errConflict(`${to} does not campaign for ${JSON.stringify(name)}`, { lease: to });
  const ahead = all.slice(0, at);
  const asSeen = all.slice(0, at + 1).map(({ key, term }) => createdAt(key as Bytes, Number(term)));
  const leaving = ahead.map(({ key }) => deleteOp(oneKey(key as Bytes)));
  const { succeeded, responses } = await repeat(context, () => context.store.txn(txnOf(asSeen, leaving, [firstOp(prefix)])));
  if (succeeded) return;
  const response = responses[0];
  // A repeat finds what the attempt before it has done.
  if (response?.op === "range" && response.kvs[0]?.lease === to) return;
  throw errConflict("the line has changed meanwhile", { lease: to });
}

/**
 * Runs `work` as the leader: campaigns, and campaigns anew whenever the leadership is lost or handed over, until the work is done while it is
 * held, or the signal fires. The leadership's own signal tells the work to stop.
 * @throws what `work` throws while the leadership is held, and what does not pass by of a campaign
 */
export async function runAsLeader(
  context: RecipeContext,
  name: string,
  value: Bytes,
  work: (leadership: Leadership) => Promise<void>,
  options: Pick<TurnOptions, "ttl" | "signal"> = {},
): Promise<void> {
  const { host } = context;
  const { signal } = options;
  while (!signal?.aborted) {
    const leadership = await ended(campaign(context, name, value, options).catch(unlessItPasses), signal);
    if (leadership === undefined) return;
    if (leadership === null) {
      await ended(host.sleep(1_000 + 4 * host.randomBytes(1)[0]!, signal), signal);
      continue;
    }
    host.background(loseWithKey(context, leadership));
    try {
      await work(leadership);
      if (!leadership.signal.aborted) return;
    } catch (error) {
      if (!leadership.signal.aborted) throw error;
    } finally {
      await leadership.resign();
    }
  }
}

function unlessItPasses(error: unknown): null {
  if (isPassing(error) || (isQuorateError(error) && error.reason === "sessionLost")) return null;
  throw error;
}

/** Whoever takes the key away takes the office away. */
async function loseWithKey(context: RecipeContext, { session, key, fence }: Leadership): Promise<void> {
  const created = Number(fence);
  try {
    for (;;) {
      const signal = session.over;
      const seen = await repeat(context, () => context.store.range(readOf(oneKey(key)), { signal }), { signal, until: Infinity });
      if (seen.kvs[0]?.createRevision !== created) return session.lose("the office was taken away");
      await untilOneGone(context, [key], seen.revision, signal);
    }
  } catch {
    // The session is over, or the store refuses to say: guarded writes fail in any case.
  }
}

/** What comes, or undefined when the signal fired first. */
async function ended<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (signal?.aborted) return undefined;
    throw error;
  }
}

function candidateIn({ key, value, createRevision, modRevision, lease }: KeyValue): Candidate {
  return { lease, key, term: BigInt(createRevision), value, changed: modRevision };
}
