/**
 * What all members have applied, as one truth: an index that is in it never changes, and who applied up to the same index has the same
 * state. Members report through a `RecordedConsensus`, which stands between the replica and its consensus and changes nothing.
 */
import { crc32 } from "../../../core/bytes/crc32.ts";
import type { ConfigChange } from "../../../core/raft/config-change.ts";
import type { Entry, Index, NodeId, SnapshotMeta, Term } from "../../../core/raft/types.ts";
import type { Consensus, ConsensusHost, ConsensusMember, ConsensusStatus, Proposed } from "../../../core/replica/consensus-port.ts";
import type { RaftConsensus } from "../../../core/replica/raft-consensus.ts";
import { decodeCommand } from "../../../core/store/command-codec.ts";
import type { Command } from "../../../core/store/command.ts";
import { demand } from "../violation.ts";
import type { Life } from "./life.ts";

export interface Applied {
  readonly index: Index;
  readonly term: Term;
  readonly kind: Entry["kind"];
  readonly crc: number;
  readonly bytes: number;
  readonly command: Command | null;
  /** When it was applied first anywhere. */
  readonly at: number;
}

export class Ledger {
  readonly #applied: Applied[] = [];
  readonly #hashes = new Map<Index, number>();
  readonly #leaders = new Map<Term, NodeId>();
  readonly #now: () => number;
  readonly #onApplied: (applied: Applied) => void;

  /** @param onApplied told of each entry when the first member applies it */
  constructor(now: () => number, onApplied: (applied: Applied) => void) {
    this.#now = now;
    this.#onApplied = onApplied;
  }

  get top(): Index {
    return this.#applied.length;
  }

  get leaderTerms(): number {
    return this.#leaders.size;
  }

  at(index: Index): Applied | undefined {
    return this.#applied[index - 1];
  }

  all(): readonly Applied[] {
    return this.#applied;
  }

  /** @returns it, when nobody had applied it before */
  entry(by: NodeId, { index, term, kind, data }: Entry): Applied | null {
    const crc = crc32(data);
    const known = this.#applied[index - 1];
    if (known !== undefined) {
      const same = known.term === term && known.kind === kind && known.bytes === data.length && known.crc === crc;
      demand(
        same,
        "one log",
        () => `member ${by} applies ${kind} of term ${term} at ${index}, where ${known.kind} of term ${known.term} was applied before`,
      );
      return null;
    }
    demand(index === this.#applied.length + 1, "one log", () => `member ${by} applies ${index} when ${this.#applied.length} is the last`);
    const command = kind === "data" ? decodeCommand(data) : null;
    const applied: Applied = { index, term, kind, crc, bytes: data.length, command, at: this.#now() };
    this.#applied.push(applied);
    this.#onApplied(applied);
    return applied;
  }

  /** A member's state as of an index. */
  state(by: NodeId, index: Index, hash: number): void {
    const known = this.#hashes.get(index);
    if (known === undefined) this.#hashes.set(index, hash);
    else demand(known === hash, "equal states", () => `member ${by} has ${hash} at index ${index}, where another had ${known}`);
  }

  leads(id: NodeId, term: Term): void {
    const known = this.#leaders.get(term);
    this.#leaders.set(term, id);
    demand(known === undefined || known === id, "one leader a term", () => `${id} and ${known} lead in term ${term}`);
  }
}

export interface Recording {
  readonly inner: RaftConsensus;
  readonly ledger: Ledger;
  readonly life: Life;
  /** Of the replica above. */
  readonly stateHash: () => number;
  readonly onOffice: (leading: boolean, term: Term) => void;
  /** After entries were applied or a snapshot restored: the state is looked at. `fresh`: what nobody had applied before. */
  readonly onState: (fresh: readonly Applied[]) => void;
  readonly onFault: (error: unknown) => void;
}

/** Passes everything on and tells the ledger. */
export class RecordedConsensus implements Consensus {
  readonly #recording: Recording;
  readonly #inner: RaftConsensus;
  #applied: Index = 0;
  #term: Term = 0;

  constructor(recording: Recording) {
    this.#recording = recording;
    this.#inner = recording.inner;
  }

  /** The last index the state includes. */
  get applied(): Index {
    return this.#applied;
  }

  get identity() {
    return this.#inner.identity;
  }

  get boot(): number {
    return this.#inner.boot;
  }

  start(host: ConsensusHost): Promise<void> {
    return this.#inner.start({
      apply: (entries) => {
        let fresh: readonly Applied[] = [];
        this.#checked(() => (fresh = this.#entries(entries)));
        host.apply(entries);
        this.#applied = entries.at(-1)?.index ?? this.#applied;
        this.#checked(() => {
          this.#recording.ledger.state(this.identity.memberId, this.#applied, this.#recording.stateHash());
          this.#recording.onState(fresh);
        });
      },
      restore: async (meta, chunks) => {
        await host.restore(meta, chunks);
        this.#checked(() => this.#restored(meta));
      },
      officeChanged: (leading, term, leader) => {
        this.#checked(() => this.#office(leading, term));
        host.officeChanged(leading, term, leader);
        if (this.#recording.life.alive) this.#recording.onOffice(leading, term);
      },
      answer: (from, request) => host.answer(from, request),
      failed: (error) => host.failed(error),
      removed: () => host.removed(),
    });
  }

  /** What a check finds must not look like a failure of the member. */
  #checked(check: () => void): void {
    if (!this.#recording.life.alive) return; // what a dying process did in the middle of a step is seen by nobody
    try {
      check();
    } catch (error) {
      this.#recording.onFault(error);
    }
  }

  /** @returns those that nobody had applied before */
  #entries(entries: readonly Entry[]): Applied[] {
    let next = this.#applied + 1;
    const fresh: Applied[] = [];
    for (const entry of entries) {
      demand(entry.index === next, "each index once, without gaps", () => `${entry.index} is applied after ${next - 1}`);
      const applied = this.#recording.ledger.entry(this.identity.memberId, entry);
      if (applied !== null) fresh.push(applied);
      next++;
    }
    return fresh;
  }

  #restored(meta: SnapshotMeta): void {
    demand(meta.index >= this.#applied, "applied never goes back", () => `a snapshot of ${meta.index} is restored over ${this.#applied}`);
    this.#applied = meta.index;
    const { ledger, stateHash } = this.#recording;
    demand(meta.index <= ledger.top, "one log", () => `a snapshot of ${meta.index} is ahead of what was applied, ${ledger.top}`);
    demand(ledger.at(meta.index)?.term === meta.term, "one log", () => `a snapshot of ${meta.index} has term ${meta.term}`);
    ledger.state(this.identity.memberId, meta.index, stateHash());
    this.#recording.onState([]);
  }

  #office(leading: boolean, term: Term): void {
    const { ledger } = this.#recording;
    // Within a life: what a member was before it could write it down is nothing to go by.
    demand(term >= this.#term, "terms never go back", () => `member ${this.identity.memberId} is in term ${term} and was in ${this.#term}`);
    this.#term = term;
    if (leading) ledger.leads(this.identity.memberId, term);
  }

  propose(data: Uint8Array): Proposed {
    return this.#inner.propose(data);
  }

  readBarrier(): Promise<void> | undefined {
    return this.#inner.readBarrier();
  }

  status(): ConsensusStatus {
    return this.#inner.status();
  }

  tick(ticks: number): void {
    this.#inner.tick(ticks);
  }

  askLeader(request: unknown, timeoutMs: number): Promise<unknown> {
    return this.#inner.askLeader(request, timeoutMs);
  }

  members(): readonly ConsensusMember[] {
    return this.#inner.members();
  }

  raftStatus() {
    return this.#inner.raftStatus();
  }

  changeMembership(change: ConfigChange): Promise<void> {
    return this.#inner.changeMembership(change);
  }

  transferLeadership(to: NodeId): void {
    this.#inner.transferLeadership(to);
  }

  snapshot(meta: { readonly index: Index; readonly term: Term; readonly id: string }, chunks: AsyncIterable<Uint8Array>) {
    return this.#inner.snapshot(meta, chunks);
  }

  stop(): Promise<void> {
    return this.#inner.stop();
  }
}
