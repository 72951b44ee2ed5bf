/**
 * Do the places of operations keep the order of time? What returned before another was called comes before it (Herlihy and Wing, 1990).
 *
 * A place is a header revision. A write has a revision of its own, so whatever was told before its call has a smaller one; a read shares
 * its place with others. Serializable reads may be old, so nothing is asked of them but that they never go back for one client at one
 * member; but what they tell was there when they returned, and so binds later writes.
 */
import { type Operation, type Violation, describe, describeRequest, wrote } from "./history.ts";

function isStale({ request }: Operation): boolean {
  return request.kind === "range" && request.serializable === true;
}

interface Placed {
  readonly operation: Operation;
  readonly revision: number;
  readonly writes: boolean;
}

/** The newest of a set of places that grows. */
class Newest {
  #newest: Placed | null = null;

  add(placed: Placed): void {
    if (this.#newest === null || placed.revision > this.#newest.revision) this.#newest = placed;
  }

  /** The place that keeps `placed` from being where it is, if there is one. */
  conflict({ revision, writes }: Placed): Placed | null {
    if (this.#newest === null) return null;
    return this.#newest.revision > revision || (writes && this.#newest.revision === revision) ? this.#newest : null;
  }
}

/** @param found writes of unknown outcome, by the revision that they were found at */
export function checkRealTime(operations: readonly Operation[], found: ReadonlyMap<number, Operation>): Violation[] {
  const answered = operations.flatMap((operation): Placed[] => {
    const { response } = operation;
    return response === null ? [] : [{ operation, revision: response.revision, writes: wrote(response) }];
  });
  const unknown = [...found].map(([revision, operation]): Placed => ({ operation, revision, writes: true }));
  const byCall = [...answered, ...unknown].toSorted((a, b) => a.operation.call - b.operation.call);
  const byReturn = answered.toSorted((a, b) => a.operation.return! - b.operation.return!);
  const violations: Violation[] = [];
  /** Of all answers, which bind writes; and of those without stale reads, which bind reads too. */
  const [shown, current] = [new Newest(), new Newest()];
  let next = 0;
  for (const placed of byCall) {
    for (; next < byReturn.length && byReturn[next]!.operation.return! < placed.operation.call; next++) {
      shown.add(byReturn[next]!);
      if (!isStale(byReturn[next]!.operation)) current.add(byReturn[next]!);
    }
    if (isStale(placed.operation)) continue;
    const before = (placed.writes ? shown : current).conflict(placed);
    if (before !== null) violations.push(orderViolation(before, placed));
  }
  return violations;
}

function orderViolation(before: Placed, after: Placed): Violation {
  const text =
    `${after.operation.client}'s "${describeRequest(after.operation.request)}" was called after ${before.operation.client}'s ` +
    `"${describeRequest(before.operation.request)}" had returned with revision ${before.revision}, and is at revision ${after.revision}`;
  return {
    rule: "real time",
    text: [text, describe(before.operation), describe(after.operation)].join("\n  "),
    operations: [before.operation, after.operation],
  };
}

/** Serializable reads: never older than what the same client was told before by the same member. Operations without a member are one. */
export function checkSessions(operations: readonly Operation[]): Violation[] {
  const sessions = new Map<string, Operation[]>();
  for (const operation of operations) {
    if (operation.response === null) continue;
    const session = JSON.stringify([operation.client, operation.member ?? null]);
    const list = sessions.get(session);
    if (list === undefined) sessions.set(session, [operation]);
    else list.push(operation);
  }
  return [...sessions.values()].filter((session) => session.some(isStale)).flatMap(checkSession);
}

function checkSession(operations: readonly Operation[]): Violation[] {
  const byReturn = operations.toSorted((a, b) => a.return! - b.return!);
  const newest = new Newest();
  let next = 0;
  return operations
    .toSorted((a, b) => a.call - b.call)
    .flatMap((operation) => {
      for (; next < byReturn.length && byReturn[next]!.return! < operation.call; next++) {
        newest.add({ operation: byReturn[next]!, revision: byReturn[next]!.response!.revision, writes: false });
      }
      const before = isStale(operation) ? newest.conflict({ operation, revision: operation.response!.revision, writes: false }) : null;
      if (before === null) return [];
      const text = `a serializable read went back from revision ${before.revision} for one client at one member`;
      return [
        {
          rule: "serializable read goes back",
          text: [text, describe(before.operation), describe(operation)].join("\n  "),
          operations: [before.operation, operation],
        },
      ];
    });
}
