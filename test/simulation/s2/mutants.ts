/**
 * Small faults put on purpose into what is built around the core: replica, log on disk, store. The general simulation of whole members has
 * to find each of them. Form and purpose as in ../mutants.ts; `file` is a path from the root of the repository. Those from F1 on were in
 * the product until this simulation found them.
 */
import type { Mutant } from "../mutants.ts";

export const S2_MUTANTS: readonly Mutant[] = [
  {
    id: "M3",
    what: "the term is not written when entries are written with it",
    edits: [
      {
        file: "core/replica/raft-consensus.ts",
        find: "const batch = hard === undefined ? { entries }",
        replace: "const batch = hard === undefined || entries.length > 0 ? { entries }",
      },
    ],
  },
  {
    id: "M16",
    what: "a snapshot is frozen after its index was noted",
    edits: [
      {
        file: "core/replica/replica.ts",
        find: "    const frozen = this.#freeze();\n    try {\n      const meta",
        replace:
          "    await this.#options.pause();\n    const frozen = this.#store.freeze({ clusterId: this.clusterId, index, term });\n    try {\n      const meta",
      },
    ],
  },
  {
    id: "M17",
    what: "a torn batch is taken for whole when its two ends are there",
    edits: [
      {
        file: "adapters/file-storage/batch-frame.ts",
        find: "if (bodyCrc === footer.bodyCrc) return",
        replace: "if (bodyCrc === footer.bodyCrc || wrongStamps > 0) return",
      },
    ],
  },
  {
    id: "M18",
    what: "an error of fsync is ignored",
    edits: [
      {
        file: "adapters/file-storage/file-log-storage.ts",
        find: "writeDurably(body.buffer.subarray(0, length), this.#at);",
        replace: "writeDurably(body.buffer.subarray(0, length), this.#at).catch(() => length);",
      },
    ],
  },
  {
    id: "M20",
    what: "a lease is ended by whoever led once: forwarded, and without a check of the term",
    edits: [
      {
        file: "core/store/state-machine.ts",
        find: "return term !== 0 && term !== entry.term;",
        replace: "return term < 0 && entry.term < 0;",
      },
      {
        file: "core/replica/replica.ts",
        find: "    if (isLeadersOwn(body)) throw errNotLeader();",
        replace: "    if (isLeadersOwn(body) && this.#failure !== null) throw errNotLeader();",
      },
    ],
  },
  {
    id: "M21",
    what: "a keep-alive is acknowledged without confirming that this member still leads",
    edits: [
      {
        file: "core/replica/replica.ts",
        find: "    await this.readBarrier();\n    if (!this.#leading) return undefined;\n    const lease = ",
        replace: "    if (!this.#leading) return undefined;\n    const lease = ",
      },
    ],
  },
  {
    id: "M24",
    what: "a watch goes on one revision too late",
    edits: [
      {
        file: "core/store/watch/watch-hub.ts",
        find: "options.startRevision > 0 ? options.startRevision : revision + 1;",
        replace: "options.startRevision > 0 ? options.startRevision + 1 : revision + 1;",
      },
    ],
  },
  {
    id: "M24b",
    what: "a watch says that it is up to date before what is queued was taken",
    edits: [
      {
        file: "core/store/watch/watch-hub.ts",
        find: "return this.group !== null && !this.group.isBehind(this);",
        replace: "return this.group !== null;",
      },
    ],
  },
  {
    id: "M25",
    what: "what sessions were told is not taken over from a snapshot",
    edits: [{ file: "core/store/state-machine.ts", find: "    this.#sessions.adopt(read.sessions);\n", replace: "" }],
  },
  {
    id: "W1",
    what: "a repeated command of a session is told the present revision, not its own",
    edits: [
      {
        file: "core/store/state-machine.ts",
        find: "if (repeated !== undefined) return repeated;",
        replace: "if (repeated !== undefined) return { ...repeated, revision: this.#versions.revision };",
      },
    ],
  },
  {
    id: "W2",
    what: "a watch that wants no deletes is told of them",
    edits: [{ file: "core/store/watch/watch-hub.ts", find: "(options.noDelete ? NO_DELETE : 0)", replace: "0" }],
  },
  {
    id: "W3",
    what: "the count of a range in the past is the present one",
    edits: [
      {
        file: "core/store/mvcc/memory-version-store.ts",
        find: "count = present - this.#changeSince(past, range);",
        replace: "count = present;",
      },
    ],
  },
  {
    id: "W4",
    what: "the first key of a lease outlives it",
    edits: [
      {
        file: "core/store/state-machine.ts",
        find: "for (const key of this.leaseTable.keys(id)) this.#keys.delete(key);",
        replace: "for (const key of this.leaseTable.keys(id).slice(1)) this.#keys.delete(key);",
      },
    ],
  },
  {
    id: "D1",
    what: "damage at the end of the log is cut off as if it were a torn write",
    edits: [
      {
        file: "adapters/file-storage/recovery.ts",
        find: "if (wrongStamps === 0) throw errDataLoss(path, end, `acknowledged data is damaged (batch ${number})`);",
        replace: "",
      },
    ],
  },
  {
    id: "D2",
    what: "an empty disk under an old id is let in",
    edits: [
      {
        file: "core/replica/raft-consensus.ts",
        find: 'return known !== undefined && known !== "0" && known !== diskId;',
        replace: 'return known !== undefined && known === "0" && known !== diskId;',
      },
    ],
  },
  {
    id: "D3",
    what: "what the alarm of a full disk refuses is done all the same where it is applied",
    edits: [
      {
        file: "core/store/state-machine.ts",
        find: 'if (this.#has("nospace") && grows(command))',
        replace: 'if (this.#has("nospace") && grows(command) && false)',
      },
    ],
  },
  {
    id: "F1",
    what: "the part of a log that a joiner has is taken for that of a member alone",
    edits: [
      {
        file: "core/replica/raft-consensus.ts",
        find: "if (hard.vote !== memberId || entries.some",
        replace: "if (entries.some",
      },
      {
        file: "core/replica/raft-consensus.ts",
        find: "if (snapshot !== null && !isOwnAlone(snapshot.config, memberId)) return null;",
        replace:
          "if (snapshot !== null && (snapshot.config.voters.length === 0 || snapshot.config.meta[memberId] !== undefined)) return null;",
      },
    ],
  },
  {
    id: "F2",
    what: "a snapshot is installed while entries before it wait for the log",
    edits: [
      {
        file: "core/raft/ready.ts",
        find: "return state.installOffer !== null && state.handed === state.log.last;",
        replace: "return state.installOffer !== null;",
      },
    ],
  },
  {
    id: "F4",
    what: "a question that reaches a member which has ended throws",
    edits: [
      {
        file: "core/replica/raft-consensus.ts",
        find: "this.#host?.answer(from, request) ?? Promise.reject(errStopped())",
        replace: "this.#host!.answer(from, request)",
      },
    ],
  },
  {
    id: "F3",
    what: "watchers are not told of a snapshot until the next entry",
    edits: [{ file: "core/replica/replica.ts", find: "this.#store.flush(); // the next entry", replace: "// the next entry" }],
  },
];
