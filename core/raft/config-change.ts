/**
 * Configurations: what a change makes of one, and their form in the log.
 *
 * Every change of voters goes through a joint configuration (dissertation §4.3): `voters` is the new set, `outgoing` the old one.
 * Changing one server at a time without it is unsafe across leader changes (Ongaro, raft-dev, 10 July 2015) and is not offered.
 * Invariants of a configuration: voters, learners and learnersNext hold an id at most once among them; learnersNext are voters of
 * the outgoing half; an id in `removed` is in none of the incoming lists, ever again; all lists are sorted.
 */
import type { Config, Entry, HardState, NodeId } from "./types.ts";

export interface ConfigAddition {
  readonly id: NodeId;
  readonly meta: string;
  /** A learner becomes a voter by being added as one. */
  readonly as: "voter" | "learner";
  /** `auto`: joins as a learner, whatever `as` says, and is promoted by the leader once it has caught up. */
  readonly promote?: "auto" | "manual";
}

export interface ConfigChange {
  readonly add?: readonly ConfigAddition[];
  readonly remove?: readonly NodeId[];
  /** Voters that become learners. */
  readonly demote?: readonly NodeId[];
}

export const EMPTY_CONFIG: Config = { voters: [], outgoing: [], learners: [], learnersNext: [], removed: [], meta: {} };

export function isJoint(config: Config): boolean {
  return config.outgoing.length > 0;
}

/** Voter of either half. */
export function isVoter(config: Config, id: NodeId): boolean {
  return config.voters.includes(id) || config.outgoing.includes(id);
}

/** Everybody whom the leader replicates to, sorted. */
export function membersOf(config: Config): NodeId[] {
  return [...new Set([...config.voters, ...config.outgoing, ...config.learners, ...config.learnersNext])].toSorted(compareIds);
}

/** Removed, and no longer needed by the old half of a joint configuration. */
export function isGone(config: Config, id: NodeId): boolean {
  return config.removed.includes(id) && !config.outgoing.includes(id);
}

export function compareIds(a: NodeId, b: NodeId): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

interface Draft {
  voters: Set<NodeId>;
  learners: Set<NodeId>;
  learnersNext: Set<NodeId>;
  removed: Set<NodeId>;
  auto: Set<NodeId>;
  meta: Map<NodeId, string>;
}

function addTo(draft: Draft, addition: ConfigAddition): string | null {
  const { id, as, promote, meta } = addition;
  if (id === "") return "an id is empty";
  if (draft.removed.has(id)) return `member ${id} was removed before; ids are never reused`;
  if (draft.voters.has(id)) {
    if (as === "learner") return `member ${id} is a voter; demote it to make it a learner`;
    draft.meta.set(id, meta);
    return null;
  }
  draft.meta.set(id, meta);
  if (as === "learner" || promote === "auto") {
    draft.learners.add(id);
    if (promote === "auto") draft.auto.add(id);
    else draft.auto.delete(id);
    return null;
  }
  draft.learners.delete(id);
  draft.auto.delete(id);
  draft.voters.add(id);
  return null;
}

function removeFrom(draft: Draft, id: NodeId): string | null {
  if (!draft.voters.delete(id) && !draft.learners.delete(id)) return `member ${id} is not in the cluster`;
  draft.auto.delete(id);
  draft.meta.delete(id);
  draft.removed.add(id);
  return null;
}

function demoteIn(draft: Draft, id: NodeId): string | null {
  if (!draft.voters.delete(id)) return `member ${id} is not a voter`;
  // While it still votes in the old half it must not count as a learner (etcd raft, confchange: LearnersNext).
  draft.learnersNext.add(id);
  return null;
}

/** Ids named twice in one change, which would make the outcome depend on the order. */
function repeated(change: ConfigChange): NodeId | undefined {
  const ids = [...(change.add ?? []).map((one) => one.id), ...(change.remove ?? []), ...(change.demote ?? [])];
  return ids.find((id, at) => ids.indexOf(id) !== at);
}

function sameIds(a: ReadonlySet<NodeId>, b: readonly NodeId[]): boolean {
  return a.size === b.length && b.every((id) => a.has(id));
}

function sorted(ids: Iterable<NodeId>): NodeId[] {
  return [...ids].toSorted(compareIds);
}

function sealed(draft: Draft, outgoing: readonly NodeId[]): Config {
  const meta: Record<NodeId, string> = {};
  const auto = sorted(draft.auto);
  for (const id of sorted(draft.meta.keys())) meta[id] = draft.meta.get(id) as string;
  return {
    voters: sorted(draft.voters),
    outgoing: sorted(outgoing),
    learners: sorted(draft.learners),
    learnersNext: sorted(draft.learnersNext),
    removed: sorted(draft.removed),
    meta,
    ...(auto.length > 0 ? { autoPromote: auto } : {}),
  };
}

/**
 * The configuration to append for `change`: joint when the set of voters differs, final otherwise.
 *
 * @returns the configuration, or why the change is refused
 */
export function applyChange(config: Config, change: ConfigChange): Config | { error: string } {
  if (isJoint(config)) return { error: "another change is under way" };
  const twice = repeated(change);
  if (twice !== undefined) return { error: `member ${twice} is named twice` };
  const draft: Draft = {
    voters: new Set(config.voters),
    learners: new Set(config.learners),
    learnersNext: new Set(),
    removed: new Set(config.removed),
    auto: new Set(config.autoPromote ?? []),
    meta: new Map(Object.entries(config.meta)),
  };
  for (const addition of change.add ?? []) {
    const error = addTo(draft, addition);
    if (error !== null) return { error };
  }
  for (const id of change.remove ?? []) {
    const error = removeFrom(draft, id);
    if (error !== null) return { error };
  }
  for (const id of change.demote ?? []) {
    const error = demoteIn(draft, id);
    if (error !== null) return { error };
  }
  if (draft.voters.size === 0) return { error: "the change would leave no voter" };
  return sealed(draft, sameIds(draft.voters, config.voters) ? [] : config.voters);
}

/** The final configuration that follows a joint one. */
export function leaveJoint(config: Config): Config {
  const learners = [...config.learners, ...config.learnersNext].toSorted(compareIds);
  return { ...config, outgoing: [], learners, learnersNext: [] };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Body of a `config` entry: JSON, lists sorted, so that equal configurations are equal bytes. */
export function encodeConfig(config: Config): Uint8Array {
  return encoder.encode(JSON.stringify(config));
}

function isIdList(value: unknown): value is NodeId[] {
  return Array.isArray(value) && value.every((id) => typeof id === "string");
}

export function isConfig(value: unknown): value is Config {
  if (typeof value !== "object" || value === null) return false;
  const { voters, outgoing, learners, learnersNext, removed, meta, autoPromote } = value as Record<string, unknown>;
  if (![voters, outgoing, learners, learnersNext, removed].every(isIdList)) return false;
  if (autoPromote !== undefined && !isIdList(autoPromote)) return false;
  return typeof meta === "object" && meta !== null && Object.values(meta).every((text) => typeof text === "string");
}

/** @returns null when the bytes are not a configuration: they come from a peer */
export function decodeConfig(data: Uint8Array): Config | null {
  try {
    const value: unknown = JSON.parse(decoder.decode(data));
    return isConfig(value) ? value : null;
  } catch {
    return null; // not JSON, or not UTF-8: the caller refuses the entry
  }
}

/**
 * What each founding member writes before its first start: the same first entry everywhere, already committed. Members that join
 * later start with nothing and receive it like any other entry.
 */
export function foundingLog(members: readonly { readonly id: NodeId; readonly meta: string }[]): { hard: HardState; entries: Entry[] } {
  const meta: Record<NodeId, string> = {};
  const byId = members.toSorted((a, b) => compareIds(a.id, b.id));
  for (const member of byId) meta[member.id] = member.meta;
  const config: Config = { ...EMPTY_CONFIG, voters: byId.map((member) => member.id), meta };
  return { hard: { term: 1, vote: null, commit: 1 }, entries: [{ term: 1, index: 1, kind: "config", data: encodeConfig(config) }] };
}
