/**
 * Judges a run by what clients asked for and were told alone: for each key, is there an order of the operations that keeps the order of
 * time and that one register could have done? It looks at neither the log nor the members, so that a fault of the ledger or of the
 * witness hides nothing from it.
 */
import { type KeyValue, type Invocation, HistoryRecorder, describe } from "../../history/history.ts";
import type { Operation, Request, Response } from "../../history/history.ts";
import { type SearchOptions, partitionByKey, searchRegister } from "../../history/linearizability.ts";
import type { Answer, Found, Request as Asked } from "../../history/revision-check.ts";
import { demand } from "../violation.ts";

/** Times that the search of a key looks at its clock, which goes by steps so that a run is the same on every machine. Most need none. */
const LOOKS_MAX = 200;

/** What the clients of the simulation keep of a key value. */
export type FoundWhole = Found & { readonly createRevision: number };

export class BlackBox {
  readonly #recorder: HistoryRecorder;
  /** Keys that went with a lease, at the time when that was agreed. */
  readonly #ends: Operation[] = [];

  constructor(now: () => number) {
    this.#recorder = new HistoryRecorder(now);
  }

  /** Serializable reads are judged elsewhere: null. */
  invoke(client: number, asked: Asked): Invocation | null {
    return asked.kind === "stale-get" ? null : this.#recorder.invoke(`c${client}`, requestOf(asked));
  }

  /** Nobody asked for it, and who saw it did so later. */
  leaseEnded(key: string, at: number): void {
    this.#ends.push({ client: "lease", call: at, return: null, request: { kind: "delete", key }, response: null });
  }

  /**
   * @param agreed what happened and nobody was told, from the log. Many operations without an answer make the search long: a key of which
   * it does not come to an end is searched again with these in the place of those
   * @returns how many operations were judged, and of how many keys with the help of the log @throws Violation
   */
  judge(agreed: readonly Operation[]): { readonly operations: number; readonly helped: number } {
    const told = this.#recorder.operations();
    const answered = partitionByKey([...told.filter((operation) => operation.return !== null), ...agreed]);
    let helped = 0;
    for (const [key, part] of partitionByKey([...told, ...this.#ends])) {
      let result = searchRegister(part, limits());
      if (result.verdict === "unknown") {
        helped++;
        result = searchRegister(answered.get(key) ?? [], limits());
      }
      const { verdict, blocked, longest } = result;
      demand(verdict === "linearizable", "black box", () => {
        const last = longest.slice(-5).map(describe).join("\n  ");
        return `the history of ${key} is ${verdict}, at: ${blocked === null ? "-" : describe(blocked)}\nafter\n  ${last}`;
      });
    }
    return { operations: told.length, helped };
  }
}

function limits(): SearchOptions {
  let looks = 0;
  return { now: () => ++looks, limit: LOOKS_MAX };
}

/** A write of the agreed log that nobody was told of, as an operation. @param at when it was applied first: reads called later must see it */
export function agreedOperation(request: Request, response: Response, at: number): Operation {
  return { client: "log", call: at, return: at, request, response };
}

function requestOf(asked: Exclude<Asked, { kind: "stale-get" }>): Request {
  const { key } = asked;
  switch (asked.kind) {
    case "put":
      return { kind: "put", key, value: asked.value };
    case "delete":
      return { kind: "delete", key };
    case "get":
      return { kind: "range", key };
    case "swap": {
      const compare = [{ key, op: "=", target: "mod", value: asked.expected }] as const;
      return { kind: "txn", compare, success: [{ kind: "put", key, value: asked.value }], failure: [{ kind: "range", key }] };
    }
  }
}

/** What a client was told, in the words of the history. */
export function responseOf(asked: Asked, { revision, found, succeeded, deleted }: Answer): Response {
  const there = found === undefined || found === null ? null : keyValueOf(asked.key, found as FoundWhole);
  const kvs = there === null ? [] : [there];
  switch (asked.kind) {
    case "put":
      return { kind: "put", revision, ...(found === undefined ? {} : { prev: there }) };
    case "delete":
      return { kind: "delete", revision, deleted: deleted ?? 0 };
    case "swap":
      return {
        kind: "txn",
        revision,
        succeeded: succeeded === true,
        results: [succeeded === true ? { kind: "put" } : { kind: "range", kvs }],
      };
    case "get":
    case "stale-get":
      return { kind: "range", revision, kvs };
  }
}

function keyValueOf(key: string, { value, modRevision, createRevision, version }: FoundWhole): KeyValue {
  return { key, value, modRevision, createRevision, version };
}
