/** What the passing of time does. Ticks are whole and come from a monotonic clock of the host. */
import { voteResult } from "./quorum.ts";
import { campaign, mayCampaign } from "./election.ts";
import { promoteLearners } from "./leader.ts";
import { expireForwarded } from "./reads.ts";
import { heartbeatRound } from "./replication.ts";
import { becomeFollower } from "./roles.ts";
import { type RaftState, currentConfig, drawTimeout } from "./state.ts";
import { tickTransfer, watchDisk } from "./transfer.ts";

export function tick(state: RaftState, elapsed: number): void {
  if (elapsed <= 0) return;
  state.now += elapsed;
  // After a long pause of the process the queued messages are read before the timer runs out: it may take only half a step to the
  // election a call (etcd issue 7617). The clock of leases takes the whole.
  const held = Math.min(elapsed, Math.ceil(state.limits.electionTicks / 2));
  state.leaderSilence += held;
  state.electionElapsed += held;
  expireForwarded(state);
  if (state.role === "leader") tickLeader(state, held);
  else if (state.electionElapsed >= state.electionTimeout) tickElection(state);
}

function tickElection(state: RaftState): void {
  if (mayCampaign(state)) {
    campaign(state, false);
    return;
  }
  state.electionElapsed = 0;
  drawTimeout(state);
  // Whoever led was not heard for a whole timeout; reads should not be sent there.
  if (state.role === "follower" && state.leader !== null) state.leader = null;
  if (state.role !== "follower") becomeFollower(state, state.term, null);
}

function tickLeader(state: RaftState, held: number): void {
  const { limits } = state;
  if (state.electionElapsed >= limits.electionTicks) {
    state.electionElapsed = 0;
    if (state.options.checkQuorum && !quorumActive(state)) {
      becomeFollower(state, state.term, null);
      return;
    }
    for (const progress of state.progress.values()) {
      progress.wasActive = progress.active;
      progress.active = false;
    }
  }
  tickTransfer(state, held);
  watchDisk(state);
  if (state.role !== "leader") return;
  promoteLearners(state);
  state.heartbeatElapsed += held;
  if (state.heartbeatElapsed < limits.heartbeatTicks) return;
  state.heartbeatElapsed = 0;
  heartbeatRound(state);
}

/** §6.2: a leader that no majority answers must stop, or its clients would wait for ever. */
function quorumActive(state: RaftState): boolean {
  const heard = (id: string): boolean => id === state.id || isHeard(state, id);
  return voteResult(currentConfig(state), heard) === "won";
}

function isHeard(state: RaftState, id: string): boolean {
  const progress = state.progress.get(id);
  return progress !== undefined && progress.active && !progress.amnesiac;
}
