/**
 * What a cluster does with the agreed log, told by a model that shares nothing with core/store. What one request does to keys is
 * test/history/model.ts's; this adds what the log adds to it: leases that end, compaction, sessions whose commands are done once, and
 * all versions of every key, so that a read of any revision and the events of any revision can be told.
 *
 * Only what the simulation sends is known here. Source: etcd's API guarantees; sessions: Ongaro's dissertation §6.3.
 */
import type { Command, CommandBody, Operation } from "../../../core/store/command.ts";
import type { Compare, KeyValue, Request, Response, SingleRequest } from "../../history/history.ts";
import { State, apply, endLease, inRange } from "../../history/model.ts";

export type ModelOutcome =
  /** `response`: of puts, deletes and transactions; null where nothing is told but that it was done. */
  | { readonly ok: true; readonly revision: number; readonly response: Response | null }
  /** `reason` as in core/errors.ts. */
  | { readonly ok: false; readonly revision: number; readonly reason: string };

export interface ModelEvent {
  readonly key: string;
  readonly revision: number;
  /** null: deleted. */
  readonly put: KeyValue | null;
  readonly prev: KeyValue | null;
}

export interface ModelRange {
  readonly kvs: readonly KeyValue[];
  readonly count: number;
  readonly more: boolean;
}

/** As etcd has it: empty, one key. */
export interface KeyRange {
  readonly key: string;
  readonly end: string;
}

const NO_LEASE = "0";

export function contains({ key, end }: KeyRange, candidate: string): boolean {
  return inRange(candidate, key, end === "" ? undefined : end);
}

export class Model {
  readonly #state = new State();
  /** What each revision did. */
  readonly #events = new Map<number, readonly ModelEvent[]>();
  /** Every change of each key, oldest first. Compaction forgets nothing here: what it hides is known by its revision. */
  readonly #versions = new Map<string, ModelEvent[]>();
  readonly #leases = new Set<string>();
  readonly #sessions = new Map<string, { readonly sequence: number; readonly outcome: ModelOutcome }>();
  /** Members whose disk is full: until an operator says otherwise nothing is added. */
  readonly #fullOf = new Set<string>();
  #compacted = -1;

  get revision(): number {
    return this.#state.revision;
  }

  /** -1: nothing yet, as etcd counts it. */
  get compacted(): number {
    return this.#compacted;
  }

  get leaseCount(): number {
    return this.#leases.size;
  }

  /** In the order of what a request does; of a lease's end, in the order of keys. */
  events(revision: number): readonly ModelEvent[] {
    return this.#events.get(revision) ?? [];
  }

  /** @param limit 0: none */
  range(range: KeyRange, revision: number, limit: number): ModelRange {
    const keys = [...this.#versions.keys()].filter((key) => contains(range, key)).toSorted((a, b) => (a < b ? -1 : 1));
    const all = keys.flatMap((key) => this.#versions.get(key)!.findLast((event) => event.revision <= revision)?.put ?? []);
    const kvs = limit > 0 ? all.slice(0, limit) : all;
    return { kvs, count: all.length, more: kvs.length < all.length };
  }

  /** The next command of the log. @param term of its entry */
  apply(command: Command, term: number): ModelOutcome {
    const { session } = command;
    if (session === undefined) return this.#once(command, term);
    const known = this.#sessions.get(session.client);
    if (known?.sequence === session.sequence) return known.outcome;
    if (known !== undefined && known.sequence > session.sequence) return this.#refused("sequencePassed");
    const outcome = this.#once(command, term);
    this.#sessions.set(session.client, { sequence: session.sequence, outcome });
    return outcome;
  }

  #once(command: CommandBody, term: number): ModelOutcome {
    if (this.#fullOf.size > 0 && adds(command)) return this.#refused("noSpace");
    switch (command.kind) {
      case "put":
        if (command.lease !== NO_LEASE && !this.#leases.has(command.lease)) return this.#refused("leaseNotFound");
        return this.#keys(() => apply(this.#state, requestOf(command)));
      case "delete":
      case "txn":
        return this.#keys(() => apply(this.#state, requestOf(command)));
      case "compact":
        if (command.revision > this.revision) return this.#refused("futureRevision");
        if (command.revision <= this.#compacted) return this.#refused("compacted");
        this.#compacted = command.revision;
        return this.#done();
      case "leaseGrant":
        if (this.#leases.has(command.id)) return this.#refused("leaseExists");
        this.#leases.add(command.id);
        return this.#done();
      case "leaseRevoke": {
        if (command.term !== 0 && command.term !== term) return this.#done(); // a leader's that no longer led
        if (!this.#leases.delete(command.id)) return this.#refused("leaseNotFound");
        return this.#keys(() => {
          endLease(this.#state, { kind: "lease-end", lease: command.id });
          return null;
        });
      }
      case "alarm": {
        const { action, alarm } = command;
        if (alarm.alarm !== "nospace") throw new Error(`the model does not know the alarm ${alarm.alarm}`);
        if (action === "activate") this.#fullOf.add(alarm.memberId);
        else this.#fullOf.delete(alarm.memberId);
        return this.#done();
      }
      case "leaseCheckpoint":
      case "hashMark":
      case "hashVerify":
        return this.#done();
      default:
        throw new Error(`the model does not know ${command.kind}`);
    }
  }

  #refused(reason: string): ModelOutcome {
    return { ok: false, revision: this.revision, reason };
  }

  #done(response: Response | null = null): ModelOutcome {
    return { ok: true, revision: this.revision, response };
  }

  #keys(change: () => Response | null): ModelOutcome {
    const before = this.revision;
    const response = change();
    if (this.revision > before) this.#note(this.revision);
    return this.#done(response);
  }

  #note(revision: number): void {
    const events = [...this.#state.changes].map(([key, put]): ModelEvent => {
      const versions = this.#versions.get(key) ?? [];
      const event = { key, revision, put, prev: versions.at(-1)?.put ?? null };
      versions.push(event);
      this.#versions.set(key, versions);
      return event;
    });
    this.#events.set(revision, events);
  }
}

/** A transaction counts by what is in it, whichever branch is taken. */
function adds(command: CommandBody): boolean {
  if (command.kind === "txn") return [...command.success, ...command.failure].some(({ op }) => op === "put");
  return command.kind === "put" || command.kind === "leaseGrant";
}

function requestOf(command: Extract<CommandBody, { kind: "put" | "delete" | "txn" }>): Request {
  if (command.kind === "put") return singleOf({ op: "put", ...command });
  if (command.kind === "delete") return singleOf({ op: "delete", ...command });
  const compare = command.compare.map(({ key, target, operator, value }): Compare => {
    if (target !== "mod" || operator !== "equal") throw new Error(`the model does not know comparing ${target} ${operator}`);
    return { key, target, op: "=", value: Number(value) };
  });
  return { kind: "txn", compare, success: command.success.map(singleOf), failure: command.failure.map(singleOf) };
}

function singleOf(operation: Operation): SingleRequest {
  const end = (text: string): { end?: string } => (text === "" ? {} : { end: text });
  switch (operation.op) {
    case "put": {
      const { key, value, lease, prevKv } = operation;
      return { kind: "put", key, value, prev: prevKv, ...(lease === NO_LEASE ? {} : { lease }) };
    }
    case "delete":
      return { kind: "delete", key: operation.key, prev: operation.prevKv, ...end(operation.end) };
    case "range":
      return { kind: "range", key: operation.key, ...end(operation.end) };
    default:
      throw new Error(`the model does not know ${operation.op}`);
  }
}
