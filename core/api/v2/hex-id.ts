/** Ids on etcd's v2 wire: hexadecimal without leading zeros. */

/** @param id a decimal uint64 */
export function hexId(id: string): string {
  return BigInt(id).toString(16);
}
