/**
 * Assertions that stay on in production. A broken invariant is a bug, never a consequence of input: what a client, a peer
 * or a disk may send is validated and refused before it reaches an assertion.
 */

/** A broken invariant. The replica stops its member when it sees one; nothing else catches it. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** @throws InvariantError with the (lazily built) message when `condition` does not hold */
export function assert(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new InvariantError(message());
}

/** The value itself, for places where absence is a bug. */
export function must<T>(value: T | null | undefined, message: () => string): T {
  if (value === null || value === undefined) throw new InvariantError(message());
  return value;
}

/** Closes a `switch` over a union: does not compile while a case is missing. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`);
}

let verifying = false;

/** Turns the costly checks of `verify` on; tests and simulations do. */
export function enableVerify(): void {
  verifying = true;
}

/** Runs a check that costs O(n) or more, only where `enableVerify` was called. */
export function verify(check: () => void): void {
  if (verifying) check();
}
