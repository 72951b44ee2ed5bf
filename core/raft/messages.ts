/**
 * What members say to one another. Messages are plain data, never changed after they were made; the frame around them carries the
 * cluster id. Chunks of snapshots go from host to host and never come here.
 *
 * `term` is the sender's term, except in preVote and a granted preVoteReply, where it is the term asked for (dissertation §9.6).
 * `boot` counts the starts of the sender's storage: a word of an earlier life is recognised by it.
 * `readSeq` is the leader's number of the newest read round; replies echo it (§6.4; a number instead of the request's own context,
 * because a repeated context let an old reply confirm a new read: etcd issue 20418).
 */
import { isConfig } from "./config-change.ts";
import type { Entry, Index, NodeId, SnapshotMeta, Term } from "./types.ts";

interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: Term;
  readonly boot: number;
}

export interface VoteRequest extends Envelope {
  readonly kind: "preVote" | "vote";
  readonly lastTerm: Term;
  readonly lastIndex: Index;
  /** Asked for by the leader itself (§3.10): stickiness does not apply. */
  readonly transfer: boolean;
}
export interface VoteReply extends Envelope {
  readonly kind: "preVoteReply" | "voteReply";
  readonly granted: boolean;
  /** The asker is no member of the configuration that the replier knows to be committed. */
  readonly removed: boolean;
}
export interface Append extends Envelope {
  readonly kind: "append";
  readonly prevIndex: Index;
  readonly prevTerm: Term;
  readonly entries: readonly Entry[];
  readonly commit: Index;
  readonly readSeq: number;
}
export interface AppendReply extends Envelope {
  readonly kind: "appendReply";
  /** That of the request. */
  readonly prevIndex: Index;
  readonly readSeq: number;
  readonly accepted: boolean;
  /** Accepted: the log matches the leader's up to here, durably. Rejected: 0. */
  readonly index: Index;
  /** Rejected: the largest place that may still match, and its term (0: unknown). */
  readonly hintIndex: Index;
  readonly hintTerm: Term;
  readonly lastIndex: Index;
  readonly amnesiac: boolean;
}
export interface Heartbeat extends Envelope {
  readonly kind: "heartbeat";
  /** Never above what this peer has acknowledged. */
  readonly commit: Index;
  readonly readSeq: number;
}
export interface HeartbeatReply extends Envelope {
  readonly kind: "heartbeatReply";
  readonly readSeq: number;
  readonly lastIndex: Index;
  readonly amnesiac: boolean;
}
export interface TimeoutNow extends Envelope {
  readonly kind: "timeoutNow";
}
export interface SnapshotOffer extends Envelope {
  readonly kind: "snapshotOffer";
  readonly meta: SnapshotMeta;
}
/** The fetch of an offered snapshot failed for good. Success is told by an appendReply. */
export interface SnapshotReply extends Envelope {
  readonly kind: "snapshotReply";
  readonly id: string;
  readonly ok: boolean;
}
export interface ReadRequest extends Envelope {
  readonly kind: "readRequest";
  readonly ctx: string;
}
export interface ReadReply extends Envelope {
  readonly kind: "readReply";
  readonly ctx: string;
  readonly index: Index;
  readonly ok: boolean;
}

export type Message =
  | VoteRequest
  | VoteReply
  | Append
  | AppendReply
  | Heartbeat
  | HeartbeatReply
  | TimeoutNow
  | SnapshotOffer
  | SnapshotReply
  | ReadRequest
  | ReadReply;

type Fields = Readonly<Record<string, unknown>>;

function areCounts(fields: Fields, names: readonly string[]): boolean {
  return names.every((name) => Number.isSafeInteger(fields[name]) && (fields[name] as number) >= 0);
}

function areFlags(fields: Fields, names: readonly string[]): boolean {
  return names.every((name) => typeof fields[name] === "boolean");
}

function areTexts(fields: Fields, names: readonly string[]): boolean {
  return names.every((name) => typeof fields[name] === "string");
}

function isEntry(value: unknown): value is Entry {
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Fields;
  const kindKnown = fields["kind"] === "data" || fields["kind"] === "noop" || fields["kind"] === "config";
  return kindKnown && areCounts(fields, ["term", "index"]) && fields["data"] instanceof Uint8Array;
}

function isSnapshotMeta(value: unknown): value is SnapshotMeta {
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Fields;
  return areCounts(fields, ["index", "term", "configIndex", "size"]) && areTexts(fields, ["id"]) && isConfig(fields["config"]);
}

/** Is this, which came from the network, a message? Form only: sense is judged by `RaftNode.step`. */
export function isMessage(value: unknown): value is Message {
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Fields;
  if (!areTexts(fields, ["from", "to", "kind"]) || !areCounts(fields, ["term", "boot"])) return false;
  switch ((fields as { kind: string }).kind) {
    case "preVote":
    case "vote":
      return areCounts(fields, ["lastTerm", "lastIndex"]) && areFlags(fields, ["transfer"]);
    case "preVoteReply":
    case "voteReply":
      return areFlags(fields, ["granted", "removed"]);
    case "append":
      return (
        areCounts(fields, ["prevIndex", "prevTerm", "commit", "readSeq"]) &&
        Array.isArray(fields["entries"]) &&
        fields["entries"].every(isEntry)
      );
    case "appendReply":
      return (
        areCounts(fields, ["prevIndex", "readSeq", "index", "hintIndex", "hintTerm", "lastIndex"]) &&
        areFlags(fields, ["accepted", "amnesiac"])
      );
    case "heartbeat":
      return areCounts(fields, ["commit", "readSeq"]);
    case "heartbeatReply":
      return areCounts(fields, ["readSeq", "lastIndex"]) && areFlags(fields, ["amnesiac"]);
    case "timeoutNow":
      return true;
    case "snapshotOffer":
      return isSnapshotMeta(fields["meta"]);
    case "snapshotReply":
      return areTexts(fields, ["id"]) && areFlags(fields, ["ok"]);
    case "readRequest":
      return areTexts(fields, ["ctx"]);
    case "readReply":
      return areTexts(fields, ["ctx"]) && areCounts(fields, ["index"]) && areFlags(fields, ["ok"]);
    default:
      return false;
  }
}
