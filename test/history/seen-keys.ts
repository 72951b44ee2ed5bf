/**
 * What the answers of a history say about when keys changed: it tells which write of unknown outcome can have made a revision.
 *
 * A key value with create revision c and mod revision m that was there at revision r says three things. Its key was put at c and at m, with
 * this value at m; it was not deleted in (c, m]; and it did not change in (m, r]. Example: b with c = 16, m = 20 in a read at revision 21
 * excludes a lost "delete b" from gaps at 17 to 21.
 */
import { type KeyValue, type Request, type Response, wrote } from "./history.ts";

/** Half-open intervals (after, to] of revisions, asked when all are in. */
class Intervals {
  readonly #list: { readonly after: number; to: number }[] = [];
  #sorted = true;

  add(after: number, to: number): void {
    if (to <= after) return;
    this.#list.push({ after, to });
    this.#sorted = false;
  }

  has(revision: number): boolean {
    if (!this.#sorted) this.#sort();
    let [low, high] = [0, this.#list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#list[middle]!.after < revision) low = middle + 1;
      else high = middle;
    }
    return low > 0 && this.#list[low - 1]!.to >= revision;
  }

  /** By their beginnings; each is given the latest end of those up to it. */
  #sort(): void {
    this.#list.sort((a, b) => a.after - b.after);
    for (let at = 1; at < this.#list.length; at++) this.#list[at]!.to = Math.max(this.#list[at]!.to, this.#list[at - 1]!.to);
    this.#sorted = true;
  }
}

export class SeenKeys {
  /** Keys put at a revision, with the value where it was seen. */
  readonly #puts = new Map<number, Map<string, string | null>>();
  readonly #revisionOf = new Map<string, number>();
  /** By key: no change; no delete. */
  readonly #quiet = new Map<string, Intervals>();
  readonly #alive = new Map<string, Intervals>();

  /** An answer. Its previous values were there one revision before it, if it made one. */
  addResponse(request: Request, response: Response): void {
    const before = wrote(response) ? response.revision - 1 : response.revision;
    for (const one of keyValuesIn(response)) this.#add(one, Math.max(one.modRevision, before));
    if (request.kind !== "txn" || response.kind !== "txn" || !response.succeeded) return;
    for (const { key, target, op, value } of request.compare) {
      if (target === "mod" && op === "=" && value > 0) this.#of(this.#quiet, key).add(value, before);
    }
  }

  /** A put that is known to have happened. */
  addPut(key: string, value: string, revision: number): void {
    this.#put(revision).set(key, value);
    this.#revisionOf.set(value, revision);
  }

  putsAt(revision: number): ReadonlyMap<string, string | null> | undefined {
    return this.#puts.get(revision);
  }

  /** Can a request have made this revision? Looks at its values alone; `allows` looks at what it does. */
  mayFill(request: Request, revision: number): boolean {
    return putsOf(request).every(({ value }) => (this.#revisionOf.get(value) ?? revision) === revision);
  }

  /** Can a revision have done this? null: deleted. */
  allows(changes: ReadonlyMap<string, KeyValue | null>, revision: number): boolean {
    for (const [key, value] of this.#puts.get(revision) ?? []) {
      const put = changes.get(key);
      if (put === undefined || put === null || (value !== null && put.value !== value)) return false;
    }
    for (const [key, put] of changes) {
      if (this.#of(this.#quiet, key).has(revision)) return false;
      if (put === null && this.#of(this.#alive, key).has(revision)) return false;
    }
    return true;
  }

  #add({ key, value, createRevision, modRevision }: KeyValue, at: number): void {
    this.addPut(key, value, modRevision);
    const created = this.#put(createRevision);
    if (!created.has(key)) created.set(key, null);
    this.#of(this.#alive, key).add(createRevision, modRevision);
    this.#of(this.#quiet, key).add(modRevision, at);
  }

  #put(revision: number): Map<string, string | null> {
    const found = this.#puts.get(revision) ?? new Map<string, string | null>();
    this.#puts.set(revision, found);
    return found;
  }

  #of(map: Map<string, Intervals>, key: string): Intervals {
    const found = map.get(key) ?? new Intervals();
    map.set(key, found);
    return found;
  }
}

/** Of all branches. */
export function putsOf(request: Request): { readonly key: string; readonly value: string }[] {
  const list = request.kind === "txn" ? [...request.success, ...request.failure] : [request];
  return list.flatMap((one) => (one.kind === "put" ? [one] : []));
}

function keyValuesIn(response: Response): KeyValue[] {
  return (response.kind === "txn" ? response.results : [response]).flatMap((one) => {
    if (one.kind === "range") return one.kvs;
    return one.prev ?? [];
  });
}
