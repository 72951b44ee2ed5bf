/**
 * Majority arithmetic over both halves of a configuration (dissertation §4.3: in a joint configuration, elections and commitment
 * need separate majorities of the old and of the new voters).
 *
 * Everything is computed from scratch each time. An order of match indexes that is kept up to date entry by entry has drifted from
 * the true quorum elsewhere (openraft pull request 1802); with a handful of voters there is nothing to gain by it.
 */
import type { Config, Index, NodeId } from "./types.ts";

/** The largest index that a majority of `voters` has reached; infinity for no voters, so that an empty half does not bind. */
function majorityIndex(voters: readonly NodeId[], durable: (id: NodeId) => Index | undefined): number {
  const count = voters.length;
  if (count === 0) return Infinity;
  // Insertion sort, descending: a configuration has a handful of voters.
  const sorted: number[] = [];
  for (const voter of voters) {
    const value = durable(voter) ?? 0;
    let at = sorted.length;
    sorted.push(value);
    while (at > 0 && (sorted[at - 1] as number) < value) {
      sorted[at] = sorted[at - 1] as number;
      at--;
    }
    sorted[at] = value;
  }
  return sorted[count >> 1] as number;
}

/**
 * The largest index durable on a majority of each half.
 *
 * @param durable what a member is known to have; undefined counts as nothing
 * @returns 0 when the configuration has no voter
 */
export function committedIndex(config: Config, durable: (id: NodeId) => Index | undefined): Index {
  const index = Math.min(majorityIndex(config.voters, durable), majorityIndex(config.outgoing, durable));
  return index === Infinity ? 0 : index;
}

function majorityVote(voters: readonly NodeId[], votes: (id: NodeId) => boolean | undefined): "won" | "lost" | "pending" {
  if (voters.length === 0) return "won";
  const needed = (voters.length >> 1) + 1;
  let yes = 0;
  let open = 0;
  for (const voter of voters) {
    const vote = votes(voter);
    if (vote === true) yes++;
    else if (vote === undefined) open++;
  }
  if (yes >= needed) return "won";
  return yes + open >= needed ? "pending" : "lost";
}

/** What ballots say so far. A configuration without voters can elect nobody. */
export function voteResult(config: Config, votes: (id: NodeId) => boolean | undefined): "won" | "lost" | "pending" {
  if (config.voters.length === 0) return "lost";
  const incoming = majorityVote(config.voters, votes);
  if (config.outgoing.length === 0) return incoming;
  const outgoing = majorityVote(config.outgoing, votes);
  if (incoming === "lost" || outgoing === "lost") return "lost";
  return incoming === "won" && outgoing === "won" ? "won" : "pending";
}
