/**
 * One lease for all that is written in the same slice of time and has to be forgotten after a while: millions of small keys then cost as
 * many leases as there are slices. Its id follows from the slice, so that whoever comes first grants it and everybody means the same one.
 */
import { isQuorateError } from "../errors.ts";
import type { LeaseId } from "../store/command.ts";
import type { Host, RecipeContext } from "./client-port.ts";
import { repeat } from "./repeat.ts";

export interface SharedLease {
  /** Which family of leases; at most 2^16. */
  readonly family: number;
  /** Whatever is written within one of these shares a lease. */
  readonly sliceMs: number;
  /** What is written lives so long at least, and a slice longer at most. */
  readonly keepMs: number;
}

/** Ids of this kind begin so; random ones do with a chance of 1 in 2^15. */
const BEGINNING = 0x5153n << 48n;

/** The slices whose leases are known to be there, by host and family. */
const granted = new WeakMap<Host, Map<number, number>>();

/**
 * Calls `act` with the lease of the present slice. When that turns out to have ended before its time — somebody revoked it — it is granted
 * anew, and `act` is called again.
 * @throws what `act` throws
 */
export async function withSharedLease<T>(context: RecipeContext, shared: SharedLease, act: (lease: LeaseId) => Promise<T>): Promise<T> {
  const lease = await leaseOf(context, shared);
  try {
    return await act(lease);
  } catch (error) {
    if (!isQuorateError(error) || error.reason !== "leaseNotFound") throw error;
    granted.get(context.host)?.delete(shared.family);
    return act(await leaseOf(context, shared));
  }
}

async function leaseOf(context: RecipeContext, { family, sliceMs, keepMs }: SharedLease): Promise<LeaseId> {
  const { store, host } = context;
  const slice = Math.floor(host.clockMs() / sliceMs);
  const id = (BEGINNING | (BigInt(family) << 32n) | BigInt.asUintN(32, BigInt(slice))).toString();
  let known = granted.get(host);
  if (known === undefined) granted.set(host, (known = new Map()));
  if (known.get(family) === slice) return id;
  await repeat(context, () => store.grant(id, Math.ceil((keepMs + sliceMs) / 1_000)));
  known.set(family, slice);
  return id;
}
