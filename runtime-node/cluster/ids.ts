/**
 * The ids that members and the cluster they found are known by: derived from what all founders are started with, so that they agree
 * without having spoken. The derivation is etcd's, to the bit, so that the same flags give the same ids there and here:
 *
 *   member id  = first 8 bytes, big endian, of sha1(its peer URLs, sorted, joined + token)
 *   cluster id = first 8 bytes, big endian, of sha1(the member ids, ascending, 8 bytes big endian each)
 *
 * Example: http://localhost:2380 and the token etcd-cluster → member 8e9e05c52164694d in cluster cdf818194e3a8c32 (hex, as etcdctl prints).
 * Source: etcd, server/etcdserver/api/membership, computeMemberId and genID.
 */
import { createHash } from "node:crypto";

const ID_BYTES = 8;

/**
 * @param peerUrls in any order, each as written on the command line: no path, no slash at the end
 * @param token the cluster's `--initial-cluster-token`; "" adds nothing
 * @returns decimal uint64
 */
export function memberIdOf(peerUrls: readonly string[], token: string): string {
  return firstBytes(createHash("sha1").update(peerUrls.toSorted(byBytes).join("") + token, "utf8"));
}

/**
 * @param memberIds decimal uint64, of all founders, in any order
 * @returns decimal uint64
 */
export function clusterIdOf(memberIds: readonly string[]): string {
  const ids = memberIds.map(BigInt).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const bytes = Buffer.alloc(ID_BYTES * ids.length);
  ids.forEach((id, at) => bytes.writeBigUInt64BE(id, at * ID_BYTES));
  return firstBytes(createHash("sha1").update(bytes));
}

const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

const firstBytes = (hash: ReturnType<typeof createHash>) => hash.digest().readBigUInt64BE(0).toString();
