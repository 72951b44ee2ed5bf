/** Names of members are interchangeable: states as text under a renaming, and fingerprints of such texts. */
import type { Message } from "../../core/raft/messages.ts";
import type { Ready } from "../../core/raft/ready.ts";
import type { RaftState } from "../../core/raft/state.ts";
import type { Entry, NodeId } from "../../core/raft/types.ts";
import type { Disk } from "./disk.ts";

export const PRIME = 2 ** 52 - 47;

/** 52 bits of a text: two rounds of FNV with different seeds. */
export function fingerprint(text: string): number {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ code, 0x5bd1e995);
    b ^= b >>> 13;
  }
  return ((a >>> 0) * 2 ** 20 + ((b >>> 0) & 0xfffff)) % PRIME;
}

export function permutations(count: number): number[][] {
  if (count === 0) return [[]];
  return permutations(count - 1).flatMap((rest) =>
    Array.from({ length: count }, (_, at) => [...rest.slice(0, at), count - 1, ...rest.slice(at)]),
  );
}

/** The text of a member's state under a renaming, without what cannot matter here (clocks, numbers of Readys). */
export class Namer {
  readonly #names: ReadonlyMap<NodeId, string>;

  constructor(names: ReadonlyMap<NodeId, string>) {
    this.#names = names;
  }

  name(id: NodeId | null): string {
    return id === null ? "-" : (this.#names.get(id) as string);
  }

  names(ids: Iterable<NodeId>): string {
    return [...ids]
      .map((id) => this.name(id))
      .toSorted()
      .join("");
  }

  entry(entry: Entry): string {
    if (entry.kind === "noop") return `${entry.term}n`;
    if (entry.kind === "data") return `${entry.term}d${entry.data[0]}`;
    const config = JSON.parse(new TextDecoder().decode(entry.data)) as { voters: NodeId[]; outgoing: NodeId[]; removed: NodeId[] };
    return `${entry.term}c${this.names(config.voters)}/${this.names(config.outgoing)}/${this.names(config.removed)}`;
  }

  entries(entries: readonly Entry[]): string {
    return entries.map((entry) => this.entry(entry)).join();
  }

  message(message: Message): string {
    const { kind, from, to, term, boot, ...rest } = message;
    const fields = Object.entries(rest).map(([key, value]) =>
      key === "entries" ? this.entries(value as Entry[]) : `${key}${String(value)}`,
    );
    return [kind, this.name(from), this.name(to), term, boot, ...fields].join(" ");
  }

  cell(state: Readonly<RaftState>, disk: Disk, pending: readonly Ready[]): string {
    const { log } = state;
    const votes = [...state.votes].map(([id, yes]) => `${this.name(id)}${yes}`).toSorted();
    const boots = [...state.boots].map(([id, boot]) => `${this.name(id)}${boot}`).toSorted();
    const progress = [...state.progress.values()].map((one) => {
      return [
        this.name(one.id),
        one.match,
        one.next,
        one.state,
        one.paused,
        one.nudge,
        one.sentCommit,
        one.boot,
        one.inflightLast.join("+"),
      ].join(":");
    });
    const first = state.inflight.map((one) => `${one.first}:${one.last}:${one.term}:${this.name(one.vote)}`);
    return [
      state.role,
      state.term,
      this.name(state.vote),
      this.name(state.leader),
      this.entries(log.slice(1, log.last, Infinity)),
      `${state.commit} ${state.applied} ${state.stable} ${state.handed} ${state.termStart} ${state.removed} ${state.transferSent}`,
      first.join(),
      votes.join(),
      boots.join(),
      progress.toSorted().join(),
      `${state.durableTerm} ${this.name(state.durableVote)}`,
      `${disk.boot} ${disk.hard.term} ${this.name(disk.hard.vote)} ${disk.hard.commit} ${this.entries(disk.entries)}`,
      pending
        .map(
          (one) =>
            `${this.entries(one.entries)}|${one.hard?.term}:${this.name(one.hard?.vote ?? null)}:${one.hard?.commit}|${one.sendAfterPersist.map((each) => this.message(each)).join()}`,
        )
        .join(";"),
    ].join("\n");
  }
}
