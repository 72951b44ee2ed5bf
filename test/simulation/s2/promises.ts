/**
 * What a member has bound itself to by what it said: the terms it spoke in, its vote in each, and the entries it acknowledged. All of it
 * must be on its disk when it comes back, whatever was lost (dissertation §3.8); what is not could be promised to somebody else.
 *
 * Only of messages that wait for the disk: a heartbeat's answer binds nobody, so its term may be lost.
 */
import { type Message, isMessage } from "../../../core/raft/messages.ts";
import type { Status } from "../../../core/raft/status.ts";
import type { Index, NodeId, Term } from "../../../core/raft/types.ts";
import { demand } from "../violation.ts";

export class Promises {
  #term: Term = 0;
  #vote: { readonly term: Term; readonly for: NodeId } | null = null;
  #acknowledged: { readonly term: Term; readonly index: Index } = { term: 0, index: 0 };

  /** A message that leaves; other things that leave are passed over. */
  sent(value: unknown): void {
    if (!isMessage(value)) return;
    const message: Message = value;
    switch (message.kind) {
      case "vote":
        this.#voted(message.term, message.from);
        break;
      case "voteReply":
        if (message.granted) this.#voted(message.term, message.to);
        this.#spoke(message.term);
        break;
      case "appendReply":
        this.#spoke(message.term);
        if (message.accepted && !message.amnesiac) this.#matches(message.term, message.index);
        break;
      case "append":
      case "heartbeat":
        this.#spoke(message.term);
        break;
      case "preVote": // a term that is only asked for
      case "preVoteReply":
      case "heartbeatReply":
      case "timeoutNow":
      case "snapshotOffer":
      case "snapshotReply":
      case "readRequest":
      case "readReply":
        break;
    }
  }

  #spoke(term: Term): void {
    this.#term = Math.max(this.#term, term);
  }

  #voted(term: Term, candidate: NodeId): void {
    this.#spoke(term);
    if (this.#vote === null || term > this.#vote.term) this.#vote = { term, for: candidate };
    else if (term === this.#vote.term) {
      const { for: before } = this.#vote;
      demand(before === candidate, "one vote a term", () => `in term ${term} there are votes for ${before} and ${candidate} of one member`);
    }
  }

  #matches(term: Term, index: Index): void {
    const { term: known, index: before } = this.#acknowledged;
    if (term >= known) this.#acknowledged = { term, index: term === known ? Math.max(index, before) : index };
  }

  /** What it came back with. */
  kept(by: string, { term, vote, last }: Status): void {
    demand(term >= this.#term, "promises outlive a restart", () => `${by} is back in term ${term} and spoke in ${this.#term}`);
    if (this.#vote?.term === term) {
      const { for: candidate } = this.#vote;
      demand(
        vote === candidate,
        "promises outlive a restart",
        () => `${by} is back with its vote of ${term} for ${vote}, given to ${candidate}`,
      );
    }
    const { term: under, index } = this.#acknowledged;
    // In a later term a leader may have had it replace what was not committed.
    if (under === term)
      demand(last >= index, "promises outlive a restart", () => `${by} is back with ${last} entries, acknowledged ${index}`);
  }
}
