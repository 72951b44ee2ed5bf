/**
 * The invariants of the whole cluster, looked at after every input to every node, and the ledger that they are checked against.
 *
 * Names of checks appear in failures and in the table of mutants. Sources: dissertation figure 3.2 (the five properties), §4.1, §6.4.
 */
import type { Message } from "../../core/raft/messages.ts";
import { decodeConfig, isJoint, membersOf } from "../../core/raft/config-change.ts";
import type { ConfigAt, RaftState } from "../../core/raft/state.ts";
import type { Config, Entry, Index, NodeId } from "../../core/raft/types.ts";
import type { Host } from "./host.ts";
import { Ledger } from "./ledger.ts";
import { demand } from "./violation.ts";

interface Known {
  readonly entry: Entry;
  readonly prevTerm: number;
}

/** Messages that may leave before what is on its way to the disk. */
const AT_ONCE = new Set<Message["kind"]>([
  "append",
  "heartbeat",
  "timeoutNow",
  "snapshotOffer",
  "snapshotReply",
  "readRequest",
  "readReply",
  "preVote",
  "preVoteReply",
  "heartbeatReply",
]);

/** Index and term in one number: a run has far fewer than 2^20 entries. */
function place(index: Index, term: number): number {
  return term * 2 ** 20 + index;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || (a.length === b.length && a.every((byte, at) => byte === b[at]));
}

function majority(voters: readonly NodeId[], has: (id: NodeId) => boolean): boolean {
  return voters.length === 0 || voters.filter(has).length * 2 > voters.length;
}

export class Checker {
  readonly ledger = new Ledger();
  readonly hosts: Map<NodeId, Host>;
  /** False while mutants are hunted: the table of what may leave when would catch them before they do any harm. */
  readonly checkTable: boolean;
  #steps = 0;
  readonly #entries = new Map<number, Known>();
  readonly #leaders = new Map<number, NodeId>();
  readonly #votes = new Map<string, NodeId>();
  readonly #openReads = new Map<string, Index>();
  readsConfirmed = 0;

  constructor(hosts: Map<NodeId, Host>, founding: readonly Entry[], checkTable: boolean) {
    this.hosts = hosts;
    this.checkTable = checkTable;
    for (const entry of founding) {
      this.ledger.add(entry, entry.term);
      this.#entries.set(place(entry.index, entry.term), { entry, prevTerm: 0 });
      if (entry.kind === "config") this.ledger.config = decodeConfig(entry.data);
    }
  }

  /** After each input to a node, and after each Ready. */
  stepped(host: Host): void {
    const state = host.node?.inspect();
    if (state === undefined) return;
    this.#steps++;
    this.#order(host, state);
    this.#monotone(host, state);
    if (state.role === "leader") this.#leader(host, state);
    if (host.before === null || state.commit > host.before.commit) this.#committed(host, state);
    this.#bounds(state);
    this.#remember(host, state);
  }

  #order(host: Host, state: Readonly<RaftState>): void {
    const { applied, applyCursor, commit, stable, handed, log } = state;
    const snapshot = state.snapshot?.index ?? 0;
    const ordered =
      snapshot <= applied && applied <= applyCursor && applyCursor <= Math.min(commit, stable) && stable <= handed && handed <= log.last;
    demand(ordered && log.offset <= snapshot, "order", () => {
      return `${host.id}: offset ${log.offset} snapshot ${snapshot} applied ${applied} cursor ${applyCursor} commit ${commit} stable ${stable} handed ${handed} last ${log.last}`;
    });
    // What the node takes for durable is.
    const top = stable;
    if (top > host.disk.base) {
      const stored = host.disk.term(top);
      demand(
        stored === log.term(top),
        "stable",
        () => `${host.id} takes ${top} of term ${log.term(top)} for durable, its disk has term ${stored}`,
      );
    }
  }

  #monotone(host: Host, state: Readonly<RaftState>): void {
    const { before } = host;
    if (before === null) {
      demand(state.term >= host.disk.hard.term, "term-monotone", () => `${host.id} starts in term ${state.term}`);
      demand(state.commit >= host.disk.base, "commit-monotone", () => `${host.id} starts with commit ${state.commit}`);
      return;
    }
    demand(state.commit >= before.commit, "commit-monotone", () => `${host.id}: commit ${state.commit} after ${before.commit}`);
    demand(state.applied >= before.applied, "applied-monotone", () => `${host.id}: applied ${state.applied} after ${before.applied}`);
    demand(state.term >= before.term, "term-monotone", () => `${host.id}: term ${state.term} after ${before.term}`);
    demand(state.protocolErrors === 0, "protocol", () => `${host.id} saw ${state.protocolErrors} messages that no member may send`);
    demand(state.amnesiaTotal === 0, "amnesia", () => `${host.id} saw a loss of memory, and no disk lost anything`);
    if (before.role === "leader" && state.role === "leader" && before.term === state.term) {
      const kept = state.log.last >= before.last && (before.last < state.log.offset || state.log.term(before.last) === before.lastTerm);
      demand(kept, "leader-append-only", () => `${host.id} changed its log as leader of term ${state.term}`);
    }
  }

  #leader(host: Host, state: Readonly<RaftState>): void {
    const { before } = host;
    if (before === null || before.role !== "leader" || before.term !== state.term) this.#elected(host, state);
    const { limits } = state;
    for (const progress of state.progress.values()) {
      demand(
        progress.match < progress.next,
        "progress",
        () => `${host.id}: match ${progress.match}, next ${progress.next} of ${progress.id}`,
      );
      demand(
        progress.next <= state.log.last + 1,
        "progress",
        () => `${host.id}: next ${progress.next} of ${progress.id}, log ends at ${state.log.last}`,
      );
      demand(
        progress.inflightLast.length <= limits.maxInflightMsgs,
        "bounded",
        () => `${host.id}: ${progress.inflightLast.length} in flight to ${progress.id}`,
      );
      const peer = this.hosts.get(progress.id);
      if (peer === undefined) continue;
      // A newer leader may have replaced what this one was promised.
      if (peer.disk.hard.term > state.term || (peer.node?.inspect().term ?? 0) > state.term) continue;
      demand(
        progress.match <= peer.disk.last,
        "match-durable",
        () => `${host.id} counts ${progress.match} for ${peer.id}, whose disk ends at ${peer.disk.last}`,
      );
    }
    if (this.#steps % 61 !== 0) return;
    let bytes = 0;
    for (let index = state.commit + 1; index <= state.log.last; index++) bytes += 32 + (state.log.entry(index) as Entry).data.length;
    demand(
      bytes === state.uncommittedBytes,
      "uncommitted",
      () => `${host.id} counts ${state.uncommittedBytes} uncommitted bytes, there are ${bytes}`,
    );
  }

  #elected(host: Host, state: Readonly<RaftState>): void {
    const other = this.#leaders.get(state.term);
    demand(other === undefined || other === host.id, "one-leader", () => `${host.id} and ${other} lead in term ${state.term}`);
    this.#leaders.set(state.term, host.id);
    // Whatever was committed in earlier terms is in the log of who leads in a later one. (A candidate that learns late of its victory
    // in an old term owes nothing to what was committed since.)
    const { ledger } = this;
    for (let index = Math.max(state.log.offset, 1); index <= ledger.top; index++) {
      if (ledger.committedIn(index) >= state.term) break;
      const term = state.log.term(index);
      demand(
        term === ledger.term(index),
        "leader-complete",
        () => `${host.id} leads term ${state.term}; committed entry ${index} of term ${ledger.term(index)} is of term ${term} there`,
      );
    }
  }

  #committed(host: Host, state: Readonly<RaftState>): void {
    const { ledger } = this;
    const from = Math.max(host.before?.commit ?? 0, state.log.offset);
    for (let index = from + 1; index <= Math.min(state.commit, ledger.top); index++) {
      const mine = state.log.entry(index);
      const known = ledger.entry(index);
      const same = mine !== undefined && known !== undefined && mine.term === known.term && sameBytes(mine.data, known.data);
      demand(
        same,
        "committed-changes",
        () => `${host.id} commits ${index} of term ${mine?.term}; it was committed as of term ${known?.term}`,
      );
    }
    const top = ledger.top;
    if (state.commit <= top) return;
    demand(state.log.term(state.commit) === state.term || state.role !== "leader", "commit-own-term", () => {
      return `${host.id} commits ${state.commit} of term ${state.log.term(state.commit)} in term ${state.term}`;
    });
    for (let index = top + 1; index <= state.commit; index++) this.#enters(host, state, index);
  }

  #enters(host: Host, state: Readonly<RaftState>, index: Index): void {
    const entry = state.log.entry(index);
    demand(entry !== undefined, "commit-gap", () => `${host.id} commits ${index}, which it does not have`);
    const has = (id: NodeId): boolean => {
      const disk = this.hosts.get(id)?.disk;
      if (disk === undefined) return false;
      if (disk.base >= index) return true;
      return disk.term(index) === entry.term;
    };
    const durable = (config: Config): boolean => majority(config.voters, has) && majority(config.outgoing, has);
    const newest = state.configs.at(-1) as ConfigAt;
    const counted = host.before?.role === "leader" ? host.before.config : newest.config;
    // A step that commits a joint configuration appends the one that follows it, and counts by that from then on: the joint one
    // itself has to be committed by its own rule first.
    const previous = state.configs.at(-2);
    const moved = newest.config !== counted && previous !== undefined && previous.index <= this.ledger.top;
    const fine = durable(counted) || (moved && durable(newest.config));
    demand(fine, "commit-quorum", () => {
      return `${host.id} commits ${index} of term ${entry.term}, durable on no quorum of ${JSON.stringify([counted.voters, counted.outgoing])}`;
    });
    this.ledger.add(entry, state.term);
    if (entry.kind === "config") this.ledger.config = decodeConfig(entry.data);
  }

  #bounds(state: Readonly<RaftState>): void {
    const { limits } = state;
    demand(state.inflight.length <= limits.maxUnpersistedReadys, "bounded", () => `${state.id}: ${state.inflight.length} Readys under way`);
    demand(state.pendingReads.length <= limits.maxPendingReads, "bounded", () => `${state.id}: ${state.pendingReads.length} reads`);
    let uncommitted = 0;
    for (let at = state.configs.length - 1; at >= 0 && (state.configs[at] as ConfigAt).index > state.commit; at--) uncommitted++;
    if (state.role === "leader") demand(uncommitted <= 1, "one-config", () => `${state.id} has ${uncommitted} uncommitted configurations`);
  }

  #remember(host: Host, state: Readonly<RaftState>): void {
    const { role, term, commit, applied, log } = state;
    const { config } = state.configs[state.configs.length - 1] as ConfigAt;
    const { before } = host;
    if (before === null) {
      host.before = { role, term, commit, applied, last: log.last, lastTerm: log.lastTerm, config };
      return;
    }
    before.role = role;
    before.term = term;
    before.commit = commit;
    before.applied = applied;
    before.last = log.last;
    before.lastTerm = log.lastTerm;
    before.config = config;
  }

  /** Log matching: a (place, term) means one entry and one past, on every disk it is ever sent to. */
  wrote(host: Host, entries: readonly Entry[]): void {
    const state = host.node?.inspect();
    if (state === undefined) return;
    for (const entry of entries) {
      const prevTerm = state.log.term(entry.index - 1) ?? 0;
      const key = place(entry.index, entry.term);
      const known = this.#entries.get(key);
      if (known === undefined) {
        this.#entries.set(key, { entry, prevTerm });
        if (entry.kind === "config") this.#newConfig(host, state, entry);
        continue;
      }
      const same = known.prevTerm === prevTerm && known.entry.kind === entry.kind && sameBytes(known.entry.data, entry.data);
      demand(same, "log-matching", () => `${host.id}: entry ${entry.index} of term ${entry.term} differs from what another member has`);
    }
  }

  /** Consecutive configurations have intersecting quorums, and nobody comes back. */
  #newConfig(host: Host, state: Readonly<RaftState>, entry: Entry): void {
    const next = decodeConfig(entry.data);
    const previous = state.configs.findLast((one) => one.index < entry.index)?.config;
    if (next === null || previous === undefined) return;
    const sameVoters = (a: readonly NodeId[], b: readonly NodeId[]): boolean => a.join() === b.join();
    const linked = isJoint(previous)
      ? !isJoint(next) && sameVoters(previous.voters, next.voters)
      : sameVoters(isJoint(next) ? next.outgoing : next.voters, previous.voters);
    demand(linked, "config-chain", () => `${host.id}: ${JSON.stringify(previous)} is followed by ${JSON.stringify(next)}`);
    const gone = (config: Config): NodeId[] => config.removed.filter((id) => !config.outgoing.includes(id));
    const back = gone(previous).filter((id) => membersOf(next).includes(id) || !next.removed.includes(id));
    demand(back.length === 0, "removed-returns", () => `${host.id}: removed ${back.join()} returns`);
  }

  /** State machine safety: equal indexes applied, equal states. */
  applied(host: Host): void {
    demand(
      host.appliedIndex <= this.ledger.top,
      "applied-committed",
      () => `${host.id} applied ${host.appliedIndex}, committed is ${this.ledger.top}`,
    );
    const expected = this.ledger.hash(host.appliedIndex);
    demand(host.appliedHash === expected, "state-machine", () => `${host.id} differs from the ledger at ${host.appliedIndex}`);
  }

  /** A read was accepted: whatever is committed anywhere by now must be seen by it. */
  readAccepted(ctx: string): void {
    this.#openReads.set(ctx, this.ledger.top);
  }

  readConfirmed(host: Host, ctx: string, index: Index): void {
    const floor = this.#openReads.get(ctx);
    demand(floor !== undefined, "read-once", () => `${host.id}: read ${ctx} was answered twice or never asked`);
    this.#openReads.delete(ctx);
    this.readsConfirmed++;
    demand(index >= floor, "read-fresh", () => `${host.id}: read ${ctx} at ${index}, but ${floor} was committed when it was asked`);
  }

  readFailed(ctx: string): void {
    this.#openReads.delete(ctx);
  }

  get openReads(): number {
    return this.#openReads.size;
  }

  /** The table of what may leave when, at the moment it leaves. */
  left(host: Host, message: Message, afterPersist: boolean): void {
    const { disk } = host;
    if (message.kind === "voteReply" && message.granted) {
      const key = `${host.id} ${message.term}`;
      const other = this.#votes.get(key);
      demand(
        other === undefined || other === message.to,
        "one-vote",
        () => `${host.id} voted for ${other} and ${message.to} in term ${message.term}`,
      );
      this.#votes.set(key, message.to);
    }
    if (!this.checkTable) return;
    demand(afterPersist || AT_ONCE.has(message.kind), "table", () => `${host.id} sends ${message.kind} before it is durable`);
    switch (message.kind) {
      case "voteReply": {
        const bound =
          disk.hard.term > message.term || (disk.hard.term === message.term && (!message.granted || disk.hard.vote === message.to));
        return demand(bound, "table", () => `${host.id} sends a vote of term ${message.term} that its disk does not have`);
      }
      case "vote": {
        const bound = disk.hard.term > message.term || (disk.hard.term === message.term && disk.hard.vote === host.id);
        return demand(bound, "table", () => `${host.id} asks for votes in term ${message.term} before its own is durable`);
      }
      case "appendReply": {
        demand(
          disk.hard.term >= message.term,
          "table",
          () => `${host.id} answers in term ${message.term}, its disk is in ${disk.hard.term}`,
        );
        if (!message.accepted || disk.hard.term > message.term) return;
        return demand(disk.last >= message.index, "table", () => `${host.id} acknowledges ${message.index}, its disk ends at ${disk.last}`);
      }
      default:
    }
  }
}
