/**
 * Small faults put into core/raft on purpose. The general simulation has to find each of them, with no scenario made for it: that is
 * the proof that it can fail. Every `find` must occur exactly once in its file; a mutant that no longer applies fails the build.
 */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly id: string;
  readonly what: string;
  readonly edits: readonly Edit[];
}

export const MUTANTS: readonly Mutant[] = [
  {
    id: "M1",
    what: "entries of older terms are committed by counting",
    edits: [{ file: "leader.ts", find: "if (state.log.term(index) !== state.term) return;", replace: "" }],
  },
  {
    id: "M2",
    what: "a vote leaves before it is written",
    edits: [
      {
        file: "election.ts",
        find: 'sendAfterPersist(state, { kind: "voteReply", to: request.from, granted, removed',
        replace: 'send(state, { kind: "voteReply", to: request.from, granted, removed',
      },
    ],
  },
  {
    id: "M4",
    what: "a read is confirmed without a quorum round",
    edits: [{ file: "reads.ts", find: "if (read.seq > seq) break;", replace: "if (read.seq < 0) break;" }],
  },
  {
    id: "M5",
    what: "a read is confirmed before an entry of the own term is committed",
    edits: [
      { file: "reads.ts", find: "if (state.commit < state.termStart) return;", replace: "" },
      { file: "reads.ts", find: "index: Math.max(state.commit, state.termStart) }", replace: "index: state.commit }" },
    ],
  },
  {
    id: "M6",
    what: "a read is confirmed by the echo of an earlier round",
    edits: [{ file: "reads.ts", find: "seq: state.readSeq, index:", replace: "seq: state.readSeq - 1, index:" }],
  },
  {
    id: "M7",
    what: "the leader counts itself before its write is durable",
    edits: [{ file: "leader.ts", find: "return state.amnesiac ? 0 : state.stable;", replace: "return state.log.last;" }],
  },
  {
    id: "M8",
    what: "an append is acknowledged before it is durable",
    edits: [
      {
        file: "follower.ts",
        find: 'index: Index): void {\n  sendAfterPersist(state, {\n    kind: "appendReply",',
        replace: 'index: Index): void {\n  send(state, {\n    kind: "appendReply",',
      },
    ],
  },
  {
    id: "M9",
    what: "logs are compared by length only",
    edits: [
      {
        file: "log.ts",
        find: "return term > this.lastTerm || (term === this.lastTerm && index >= this.last);",
        replace: "return term >= 0 && index >= this.last;",
      },
    ],
  },
  {
    id: "M10",
    what: "every append truncates, conflict or not",
    edits: [
      {
        file: "follower.ts",
        find: "if (state.log.term(entry.index) !== entry.term) return entry;",
        replace: "if (entry.index > state.commit) return entry;",
      },
    ],
  },
  {
    id: "M11",
    what: "a heartbeat carries a commit beyond what the peer has acknowledged",
    edits: [
      { file: "replication.ts", find: "const commit = Math.min(state.commit, progress.match);", replace: "const { commit } = state;" },
      {
        file: "follower.ts",
        find: "if (message.commit > state.log.last) loseMemory(state);",
        replace: "if (message.commit > state.log.last) setCommit(state, Math.max(state.commit, state.log.last));",
      },
    ],
  },
  {
    id: "M12",
    what: "in a joint configuration only the new majority counts for commitment",
    edits: [
      {
        file: "quorum.ts",
        find: "Math.min(majorityIndex(config.voters, durable), majorityIndex(config.outgoing, durable));",
        replace: "majorityIndex(config.voters, durable);",
      },
    ],
  },
  {
    id: "M13",
    what: "a second change is accepted while one is uncommitted",
    edits: [{ file: "leader.ts", find: "if (currentConfigIndex(state) > state.commit || isJoint", replace: "if (isJoint" }],
  },
  {
    id: "M14",
    what: "a configuration stays when its entry is truncated",
    edits: [{ file: "state.ts", find: "if (kept.length < state.configs.length) {", replace: "if (kept.length > state.configs.length) {" }],
  },
  {
    id: "M15",
    what: "a finished write counts for what replaced it",
    edits: [
      {
        file: "ready.ts",
        find: "let stable = Math.min(done.last, state.handed);",
        replace: "const stable = Math.min(done.last, state.log.last);",
      },
      { file: "ready.ts", find: "for (const later of state.inflight) stable = Math.min(stable, later.first - 1);", replace: "" },
    ],
  },
  {
    id: "M19",
    what: "members vote although they heard a leader lately, with lease reads on",
    edits: [
      {
        file: "election.ts",
        find: 'return state.role === "leader" || state.leaderSilence < state.limits.electionTicks;',
        replace: "return state.leaderSilence < 0;",
      },
    ],
  },
  {
    id: "M22",
    what: "the answer to a heartbeat does not lift the pause of a probe",
    edits: [{ file: "leader.ts", find: "progress.paused = false;\n", replace: "\n" }],
  },
  {
    id: "M23",
    what: "the log is cut above a snapshot that is on its way",
    edits: [
      { file: "ready.ts", find: "if (isAround(progress))", replace: 'if (isAround(progress) && progress.state !== "snapshot")' },
      {
        file: "replication.ts",
        find: "if (offered !== null && offered.index >= state.log.offset) sendOffer",
        replace: "if (offered === null) sendOffer",
      },
    ],
  },
  {
    id: "M31",
    what: "a joiner waits until the entry that added it is committed",
    edits: [
      {
        file: "election.ts",
        find: "if (state.log.last < state.options.restored.joinIndex) return false;",
        replace: "if (state.commit < state.options.restored.joinIndex) return false;",
      },
    ],
  },
  {
    id: "M32",
    what: "a newer term sets back the election timer",
    edits: [{ file: "node.ts", find: 'if (role === "leader") return;', replace: "if (role !== undefined) return;" }],
  },
  {
    id: "M33",
    what: "an election asked for by hand disregards the lease that the own vote is promised to",
    edits: [{ file: "node.ts", find: 'if (state.options.reads === "lease" && isSticky(state)) return;', replace: "" }],
  },
  {
    id: "M34",
    what: "an append is accepted while a snapshot is being installed",
    edits: [{ file: "follower.ts", find: "if (isInstalling(state)) return dropped", replace: "if (state.term < 0) return dropped" }],
  },
  {
    id: "M35",
    what: "just after a quorum check nobody counts as being there, and the log is cut",
    edits: [{ file: "progress.ts", find: "return progress.active || progress.wasActive;", replace: "return progress.active;" }],
  },
  {
    id: "M36",
    what: "the answer to a message of an earlier term echoes its number of a read",
    edits: [{ file: "node.ts", find: "message.prevIndex, 0, 0, 0);", replace: "message.prevIndex, message.readSeq, 0, 0);" }],
  },
];
