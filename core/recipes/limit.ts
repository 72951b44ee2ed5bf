/**
 * Rate limits: each subject, an address say, may take so many in such a time, whoever asks and wherever. What a subject has taken is one
 * small key, moved by compare-and-swap, which disappears when it says nothing any more.
 *
 *     /quorate/limits/<name>/.rule       {"limit", "per", "burst"}
 *     /quorate/limits/<name>/<subject>   {"tat", "part", "by"}, on a lease that all subjects of the same slice of time share
 *
 * Time is the clock of the store, as far as it is known to whoever asks.
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errBadField, errConflict } from "../errors.ts";
import type { KeyValue } from "../store/command.ts";
import type { AsOf, CallOptions, ReadOptions, RecipeContext } from "./client-port.ts";
import { type Once, once } from "./dedup.ts";
import { type Arrival, type Decision, type Rate, type Rule, rateOf, refillMs, take } from "./gcra.ts";
import { prefixOf, segmentOf } from "./names.ts";
import { type RepeatOptions, repeat } from "./repeat.ts";
import { foundAt, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "./requests.ts";
import { type SharedLease, withSharedLease } from "./shared-lease.ts";

const KIND = "limits";
/** After so many lost races whoever asks is told so. */
const TRIES = 6;
const CONTENDED_RETRY_MS = 100;
/** Families of shared leases from this one on are those of limits: one for each length of life, in powers of two. */
const FAMILIES = 256;
const SLICE_SECONDS_MIN = 16;

export interface TakeOptions extends RepeatOptions {
  /** How many; default 1. */
  readonly n?: number | undefined;
  /** Of what is there, take up to so many beside: to be spent without asking. */
  readonly reserve?: number | undefined;
  /** Default: the rule that was set for the name. */
  readonly rule?: Rule | undefined;
  /** Taking again with the same one is the same act, for a day. */
  readonly idempotencyKey?: string | undefined;
}

export interface Taken extends Omit<Decision, "next"> {
  readonly limit: number;
  /** Nothing was decided: others took from the same subject at the same time, again and again. */
  readonly contended: boolean;
  readonly revision: number;
}

/**
 * Takes from a subject's limit, or hears after how long it could. A refusal changes nothing.
 *
 * When an answer is lost it is asked again; should others have taken meanwhile, then what was taken may be counted twice: never less than
 * it was. With an `idempotencyKey` it is counted once.
 * @throws QuorateError conflict when there is no rule; badField
 */
export async function takeFromLimit(context: RecipeContext, name: string, subject: string, options: TakeOptions = {}): Promise<Taken> {
  const keys = { rule: ruleKey(name), subject: subjectKey(name, subject) };
  const rate = options.rule === undefined ? undefined : rateOf(options.rule);
  const request = [subject, options.n, options.reserve, rate];
  return once(context, { kind: KIND, name, key: options.idempotencyKey, request }, (parts) => attempt(context, keys, rate, options, parts));
}

interface Keys {
  readonly rule: Bytes;
  readonly subject: Bytes;
}

async function attempt(context: RecipeContext, keys: Keys, given: Rate | undefined, options: TakeOptions, parts: Once): Promise<Taken> {
  const { store, host } = context;
  const { n = 1, reserve = n, signal } = options;
  const by = [...host.randomBytes(6)].map((byte) => byte.toString(36)).join("");
  const looks = [rangeOp(oneKey(keys.subject)), rangeOp(oneKey(keys.rule)), ...parts.look];
  let result = await repeat(context, () => store.txn(txnOf([], looks), options), options);
  let mine: Omit<Taken, "revision"> | undefined;
  for (let tries = 1; ; tries++) {
    const [[kv], [ruleKv]] = [foundAt(result, 0), foundAt(result, 1)];
    const noted = parts.noted(foundAt(result, 2));
    if (noted !== undefined) return { ...(JSON.parse(noted.result) as Omit<Taken, "revision">), revision: noted.revision };
    const last = arrivalIn(kv);
    // An answer was lost, and asking again finds what it said.
    if (mine !== undefined && last?.by === by) return { ...mine, revision: kv!.modRevision };
    const rate = given ?? rateIn(ruleKv);
    const { next, ...decision } = take(rate, last, host.clockMs(), n, reserve);
    const { revision } = result;
    const taken = { ...decision, limit: rate.limit, contended: false };
    if (next === null) return { ...taken, revision };
    if (tries >= TRIES) return { ...taken, ok: false, taken: 0, retryAfterMs: CONTENDED_RETRY_MS, contended: true, revision };
    mine = taken;
    const value = utf8Encode(JSON.stringify({ ...next, by }));
    const compare = [modifiedAt(keys.subject, kv?.modRevision ?? 0), ...parts.compare];
    if (given === undefined) compare.push(modifiedAt(keys.rule, ruleKv!.modRevision));
    const note = parts.note(utf8Encode(JSON.stringify(taken)));
    result = await withSharedLease(context, leaseFor(rate), (lease) => {
      const request = txnOf(compare, [putOp(keys.subject, value, lease), ...note], looks);
      return repeat(context, () => store.txn(request, { signal }), options);
    });
    if (result.succeeded) return { ...taken, revision: result.revision };
  }
}

/** Sets the rule of a name. @returns as of which revision @throws QuorateError badField */
export async function setLimit(context: RecipeContext, name: string, rule: Rule, options: CallOptions = {}): Promise<AsOf> {
  const { limit, perMs, burst } = rateOf(rule);
  const value = utf8Encode(JSON.stringify({ limit, per: perMs, burst }));
  const { revision } = await repeat(context, () => context.store.txn(txnOf([], [putOp(ruleKey(name), value)]), options), options);
  return { revision };
}

/** The rule of a name, and when it was set; null: there is none. `per` is in milliseconds. */
export async function limitRule(
  context: RecipeContext,
  name: string,
  options: ReadOptions = {},
): Promise<(AsOf & { readonly rate: Rate; readonly changed: number }) | null> {
  const { kvs, revision } = await repeat(context, () => context.store.range(readOf(oneKey(ruleKey(name))), options), options);
  const [kv] = kvs;
  return kv === undefined ? null : { rate: rateIn(kv), changed: kv.modRevision, revision };
}

function ruleKey(name: string): Bytes {
  return ascii(`${prefixOf(KIND, name)}.rule`);
}

/** No subject is the rule. */
function subjectKey(name: string, subject: string): Bytes {
  return ascii(prefixOf(KIND, name) + segmentOf(subject, "subject").replace(/^\./, "%2E"));
}

/** Whoever has taken the whole burst is forgotten when it has come back, and some time later at most. */
function leaseFor(rate: Rate): SharedLease {
  const power = Math.ceil(Math.log2(Math.max(refillMs(rate) / 1_000, SLICE_SECONDS_MIN)));
  const ms = 2 ** power * 1_000;
  return { family: FAMILIES + power, sliceMs: ms, keepMs: ms };
}

function arrivalIn(kv: KeyValue | undefined): (Arrival & { readonly by?: string }) | undefined {
  return kv === undefined ? undefined : (jsonIn(kv, ["tat", "part"]) as unknown as Arrival & { by?: string });
}

/** @throws QuorateError conflict */
function rateIn(kv: KeyValue | undefined): Rate {
  if (kv === undefined) throw errConflict("this limit has no rule: set one, or say one");
  const { limit, per, burst } = jsonIn(kv, ["limit", "per", "burst"]);
  return rateOf({ limit: limit!, per: per!, burst });
}

/** @throws QuorateError conflict when something else was put there */
function jsonIn({ key, value }: KeyValue, fields: readonly string[]): Record<string, number> {
  try {
    const said = JSON.parse(utf8Decode(value)) as Record<string, number>;
    if (fields.every((field) => Number.isSafeInteger(said[field]))) return said;
  } catch {
    // no JSON
  }
  throw errConflict(`${key} holds nothing that a limit knows`, { key });
}

/** @throws QuorateError badField */
export function checkReserve(reserve: number | undefined): number | undefined {
  if (reserve === undefined || (Number.isSafeInteger(reserve) && reserve >= 1)) return reserve;
  throw errBadField("reserve", `reserve must be a whole number above 0; it is ${reserve}`);
}
