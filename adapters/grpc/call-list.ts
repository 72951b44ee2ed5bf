/**
 * The calls of one connection, in no order. Not a Set: when one grows full of gaps it is replaced, and an old table that lies in V8's old
 * memory, dead or not, keeps the next one alive with the calls that were in it, and so on: nearly every call survived collections of young
 * memory that way. Here a call knows its place, and nothing is left of it.
 */
import type { GrpcCall } from "./grpc-call.ts";

export class CallList {
  readonly #calls: GrpcCall[] = [];

  get size(): number {
    return this.#calls.length;
  }

  /** Those of now: calls may end while the reader goes through them. */
  all(): GrpcCall[] {
    return [...this.#calls];
  }

  /** @param call that is in no list */
  add(call: GrpcCall): void {
    call.place = this.#calls.push(call) - 1;
  }

  /** @param call of this list */
  delete(call: GrpcCall): void {
    const last = this.#calls.pop()!;
    if (last === call) return;
    this.#calls[call.place] = last;
    last.place = call.place;
  }
}
