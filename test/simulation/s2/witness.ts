/**
 * Replays the agreed log through a model that shares nothing with the store, and holds everything against it that anybody is told: the
 * state of each member at each index, each answer to a write or a read, each event of a watch. An answer must be that of an entry which
 * was agreed between the call and the answer, so that what had returned before another was called also comes before it; reads stand
 * where their revision is.
 */
import type { Bytes } from "../../../core/bytes/bytes.ts";
import type {
  KeyValue,
  Applied as Answered,
  CommandBody,
  Operation,
  OperationResult,
  RangeRequest,
  Result,
} from "../../../core/store/command.ts";
import type { CommandSession } from "../../../core/store/sessions.ts";
import type { StoreView } from "../../../core/store/store-view.ts";
import type { WatchEvent } from "../../../core/store/watch/watcher.ts";
import type { KeyValue as ModelKeyValue, Operation as Untold, Response, SingleResult } from "../../history/history.ts";
import { demand } from "../violation.ts";
import { agreedOperation } from "./black-box.ts";
import type { Applied } from "./ledger.ts";
import { Model, type ModelEvent, type ModelOutcome, contains } from "./model.ts";

const CHECK = "witness";
const NO_LEASE = "0";

/** What the model had after one entry. */
interface Place {
  readonly revision: number;
  readonly compacted: number;
  readonly leases: number;
  readonly outcome: ModelOutcome | null;
}

/** A filter of a watch. */
export interface Wanted {
  readonly key: Bytes;
  readonly end: Bytes;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
}

/** What a watch was given, all of [from, to]. */
export interface Given {
  readonly wanted: Wanted;
  readonly from: number;
  readonly to: number;
  readonly events: readonly WatchEvent[];
  /** Of the member that it was given by. */
  readonly compacted: number;
}

export class Witness {
  readonly model = new Model();
  /** By index - 1. */
  readonly #places: Place[] = [];
  readonly #entries: Applied[] = [];
  /** Indexes that an answer was found for. */
  readonly #answered = new Set<number>();
  /** Of each session's command, the entry that did it; later ones repeat its answer. */
  readonly #firsts = new Map<string, number>();

  /** The next entry of the agreed log. @returns the keys that went with a lease */
  applied(entry: Applied): string[] {
    const before = this.model.revision;
    const outcome = entry.command === null ? null : this.model.apply(entry.command, entry.term);
    const { revision, compacted, leaseCount: leases } = this.model;
    const { session } = entry.command ?? {};
    if (session !== undefined) {
      const name = `${session.client} ${session.sequence}`;
      if (!this.#firsts.has(name)) this.#firsts.set(name, this.#entries.length);
    }
    this.#entries.push(entry);
    this.#places.push({ revision, compacted, leases, outcome });
    if (entry.command?.kind !== "leaseRevoke" || revision === before) return [];
    return this.model.events(revision).map(({ key }) => key);
  }

  #at(index: number): Place {
    return this.#places[index - 1] ?? { revision: 1, compacted: -1, leases: 0, outcome: null };
  }

  /** What changed keys and is no part of a client's history: nobody was told of it, or it ended a lease. For single keys. */
  untold(): Untold[] {
    return this.#entries.flatMap(({ command, at }, n) => {
      const { revision, outcome } = this.#places[n]!;
      const before = n === 0 ? 1 : this.#places[n - 1]!.revision;
      if (command === null || outcome?.ok !== true || revision === before) return [];
      if (this.#answered.has(n) && command.kind !== "leaseRevoke") return [];
      return this.model.events(revision).map(({ key, put }) => {
        if (put === null) return agreedOperation({ kind: "delete", key }, { kind: "delete", revision, deleted: 1 }, at);
        return agreedOperation({ kind: "put", key, value: put.value }, { kind: "put", revision }, at);
      });
    });
  }

  /** A member says that it has applied up to `index`. */
  state(by: string, index: number, store: StoreView): void {
    const { revision, compacted, leases } = this.#at(index);
    const is = `revision ${store.revision}, compacted ${store.compactedRevision}, ${store.leaseIds().length} leases`;
    const want = `revision ${revision}, compacted ${compacted}, ${leases} leases`;
    demand(is === want, CHECK, () => `${by} has ${is} at index ${index}; the model has ${want}`);
  }

  /** A write was acknowledged, or refused for what it is. @param since the last index that anybody had applied when it was called */
  answered(body: CommandBody, session: CommandSession | undefined, since: number, answer: Answered | { readonly reason: string }): void {
    const told = "reason" in answer ? `refused: ${answer.reason}` : `${answer.revision} ${brief(answer.result)}`;
    const seen: string[] = [];
    // A repeated command may be told what an earlier attempt of it came to.
    const first = session === undefined ? since : 0;
    // The oldest first: when two clients asked for the same and were told the same, the other entry must be left to whoever asked later.
    for (let at = first; at < this.#entries.length; at++) {
      const { command } = this.#entries[at]!;
      if (command === null || !sameCommand(command, body) || !sameSession(command.session, session)) continue;
      if (session === undefined && this.#answered.has(at)) continue;
      const { outcome } = this.#places[at]!;
      const is =
        outcome === null
          ? ""
          : outcome.ok
            ? `${outcome.revision} ${outcome.response === null ? "done" : modelBrief(outcome.response)}`
            : `refused: ${outcome.reason}`;
      if (is === told) {
        this.#answered.add(session === undefined ? at : this.#firsts.get(`${session.client} ${session.sequence}`)!);
        return;
      }
      seen.push(is);
    }
    demand(false, CHECK, () => `a ${body.kind} called after ${since} was told "${told}"; the log says ${seen.join(" or ") || "nothing"}`);
  }

  /**
   * A read was answered from a state of `revision` that held `applied`.
   * @param since the last index that anybody had applied when it was called; null: the read need not be current
   */
  read(
    request: RangeRequest,
    since: number | null,
    revision: number,
    told: { kvs: readonly KeyValue[]; count: number; more: boolean },
  ): void {
    if (since !== null) {
      const { revision: least, compacted } = this.#at(since);
      const hidden = request.revision > 0 && request.revision < compacted;
      demand(!hidden, CHECK, () => `a read at revision ${request.revision} is answered after the compaction of ${compacted}`);
      demand(revision >= least, CHECK, () => `a read is answered at revision ${revision}; ${least} had been reached before it was called`);
    }
    demand(revision <= this.model.revision, CHECK, () => `a read is answered at revision ${revision}, which has not been`);
    const at = request.revision > 0 ? request.revision : revision;
    const want = this.model.range(request, at, request.limit);
    const is = found(told);
    demand(is === found(want), CHECK, () => `a read at revision ${at} is told ${is}; the model has ${found(want)}`);
  }

  /** A read of an old revision was refused. @param reason as in core/errors.ts */
  readRefused(request: RangeRequest, reason: string): void {
    const { compacted } = this.model;
    const lawful = reason === "compacted" && request.revision < compacted;
    demand(lawful, CHECK, () => `a read at revision ${request.revision} is refused as ${reason}; compacted is ${compacted}`);
  }

  /** A watch says that it has been given all that it wants of [from, to]. @param by who was given it */
  watched(by: string, { wanted, from, to, events, compacted }: Given): void {
    demand(to <= this.model.revision, CHECK, () => `${by} is given revision ${to}, which has not been`);
    const due: ModelEvent[] = [];
    for (let revision = from; revision <= to; revision++) due.push(...this.model.events(revision).filter((event) => passes(event, wanted)));
    // Of the compacted revision itself only puts are kept: a watch that is there may miss its deletes, and is not told, as in etcd.
    const kept = due.filter(({ put, revision }) => put !== null || revision !== compacted);
    const is = text(events, toldLine);
    const lawful = is === text(due, eventLine) ? due : kept;
    demand(is === text(lawful, eventLine), CHECK, () => `${by} is told of [${from}, ${to}]: ${is}; it should be ${text(due, eventLine)}`);
    if (!wanted.prevKv) return;
    for (const [at, { prev, kv }] of events.entries()) {
      const before = lawful[at]!.prev;
      // What was before may have been compacted meanwhile.
      const gone = prev === null && (before === null || kv.modRevision <= this.model.compacted + 1);
      const right = prev !== null && before !== null && line(prev) === line(before);
      demand(
        gone || right,
        CHECK,
        () => `${by} is told that ${JSON.stringify(prev)} was before ${line(kv)}; it was ${JSON.stringify(before)}`,
      );
    }
  }
}

function toldLine({ type, kv }: WatchEvent): string {
  return type === "put" ? `put ${line(kv)}` : `delete ${kv.key} ${kv.modRevision}`;
}

function eventLine({ key, revision, put }: ModelEvent): string {
  return put === null ? `delete ${key} ${revision}` : `put ${line(put)}`;
}

function passes({ key, put }: ModelEvent, wanted: Wanted): boolean {
  return contains(wanted, key) && !(put === null ? wanted.noDelete : wanted.noPut);
}

function line({ key, value, createRevision, modRevision, version, lease }: KeyValue | ModelKeyValue): string {
  return `${key} ${value} ${createRevision} ${modRevision} ${version} ${lease ?? NO_LEASE}`;
}

function text<T>(list: readonly T[], one: (item: T) => string): string {
  return list.map(one).join("; ");
}

function found({
  kvs,
  count,
  more,
}: {
  readonly kvs: readonly (KeyValue | ModelKeyValue)[];
  readonly count: number;
  readonly more: boolean;
}): string {
  return `${count}${more ? "+" : ""} [${text(kvs, line)}]`;
}

/** What a client is told of a write, as one line. */
function brief(result: Result | OperationResult): string {
  switch (result.op) {
    case "put":
      return `put ${result.prev === null ? "-" : line(result.prev)}`;
    case "delete":
      return `delete ${result.deleted} [${text(result.prev, line)}]`;
    case "range":
      return `range [${text(result.kvs, line)}]`;
    case "txn":
      return `txn ${result.succeeded} (${text(result.responses, brief)})`;
    default:
      return "done";
  }
}

/** The same of what the model says. */
function modelBrief(response: Response | SingleResult): string {
  switch (response.kind) {
    case "put":
      return `put ${response.prev === null || response.prev === undefined ? "-" : line(response.prev)}`;
    case "delete":
      return `delete ${response.deleted} [${text(response.prev ?? [], line)}]`;
    case "range":
      return `range [${text(response.kvs, line)}]`;
    case "txn":
      return `txn ${response.succeeded} (${text(response.results, modelBrief)})`;
  }
}

function sameSession(a: CommandSession | undefined, b: CommandSession | undefined): boolean {
  return a?.client === b?.client && a?.sequence === b?.sequence;
}

function sameCommand(a: CommandBody, b: CommandBody): boolean {
  if (a.kind !== b.kind) return false;
  const of = (command: CommandBody): string => {
    switch (command.kind) {
      case "put":
        return `${command.key} ${command.value}`;
      case "delete":
        return `${command.key} ${command.end}`;
      case "txn":
        return command.success.map((operation: Operation) => (operation.op === "put" ? operation.value : "")).join();
      case "leaseGrant":
      case "leaseRevoke":
        return command.id;
      case "compact":
        return String(command.revision);
      default:
        return "";
    }
  };
  return of(a) === of(b);
}
