/**
 * Every reachable state of a small cluster, breadth first: model checking of the code itself, so that there is no gap between a
 * specification and the program.
 *
 * The network is the set of all messages ever sent: each may be delivered never, once or again, in any order, which is loss,
 * duplication and reordering at once. Time may pass at any moment, so that stickiness never refuses. Because the core is a pure
 * value, what one member does with one input is worked out once and remembered; a state of the cluster is a tuple of numbers.
 * States that differ only in the names of the members count as one: the fingerprint is the smallest over all permutations of names.
 */
import { foundingLog } from "../../core/raft/config-change.ts";
import { DEFAULT_LIMITS } from "../../core/raft/limits.ts";
import type { Message } from "../../core/raft/messages.ts";
import { RaftNode } from "../../core/raft/node.ts";
import type { Ready } from "../../core/raft/ready.ts";
import type { RaftState } from "../../core/raft/state.ts";
import type { NodeId } from "../../core/raft/types.ts";
import { Disk } from "./disk.ts";
import { Namer, PRIME, fingerprint, permutations } from "./explore-names.ts";
import { Violation, demand } from "./violation.ts";

export interface ExploreOptions {
  readonly members: number;
  readonly maxTerm: number;
  readonly proposals: number;
  readonly crashes: number;
  /** Removals of the last member. */
  readonly configs: number;
  readonly preVote: boolean;
  /** Writes end by an action of their own, so that crashes and messages come in between. */
  readonly slowDisks: boolean;
  readonly maxStates: number;
}

export interface ExploreResult {
  readonly states: number;
  readonly cells: number;
  readonly messages: number;
  readonly depth: number;
  /** Everything within the bounds was seen. */
  readonly complete: boolean;
}

/** One member with its disk, between two inputs. */
interface Cell {
  readonly id: number;
  readonly member: number;
  readonly node: RaftNode;
  readonly disk: Disk;
  readonly pending: readonly Ready[];
  /** A fingerprint for each permutation of the names. */
  readonly prints: readonly number[];
}

interface Letter {
  readonly id: number;
  readonly message: Message;
  readonly to: number;
  readonly prints: readonly number[];
}

interface Outcome {
  readonly cell: Cell;
  readonly letters: readonly Letter[];
}

interface Global {
  readonly cells: readonly Cell[];
  /** Ids of letters, ascending. */
  readonly letters: readonly number[];
  readonly proposals: number;
  readonly crashes: number;
  readonly configs: number;
  /** Sum of the letters' fingerprints, a permutation each. */
  readonly sums: readonly number[];
  readonly depth: number;
}

const QUIET = { u32: () => 0, clone: () => QUIET };

export class Explorer {
  readonly #options: ExploreOptions;
  readonly #ids: NodeId[];
  readonly #namers: Namer[];
  readonly #perms: number[][];
  readonly #cells = new Map<string, Cell>();
  readonly #letters = new Map<string, Letter>();
  readonly #letterList: Letter[] = [];
  readonly #outcomes = new Map<number, Outcome | null>();
  readonly #agreed = new Set<number>();

  constructor(options: ExploreOptions) {
    this.#options = options;
    this.#ids = Array.from({ length: options.members }, (_, at) => String.fromCharCode(97 + at));
    // A change of members names one of them: names are not all alike then, and only the identity is a symmetry.
    this.#perms = options.configs > 0 ? [this.#ids.map((_, at) => at)] : permutations(options.members);
    this.#namers = this.#perms.map((perm) => new Namer(new Map(this.#ids.map((id, at) => [id, String(perm[at])]))));
  }

  #nodeOptions(id: NodeId, disk: Disk): ConstructorParameters<typeof RaftNode>[0] {
    const { preVote } = this.#options;
    return {
      id,
      limits: { ...DEFAULT_LIMITS, electionTicks: 1000, maxInflightMsgs: 2 },
      prng: QUIET,
      preVote,
      checkQuorum: false,
      reads: "quorum",
      maxClockDriftPpm: 0,
      priority: 100,
      restored: disk.restored(),
    };
  }

  #intern(member: number, node: RaftNode, disk: Disk, pending: readonly Ready[]): Cell {
    const state = node.inspect();
    const text = `${member}\n${(this.#namers[0] as Namer).cell(state, disk, pending)}`;
    const known = this.#cells.get(text);
    if (known !== undefined) return known;
    const prints = this.#namers.map((namer, at) =>
      fingerprint(`${(this.#perms[at] as number[])[member]}\n${namer.cell(state, disk, pending)}`),
    );
    const cell = { id: this.#cells.size, member, node, disk, pending, prints };
    this.#cells.set(text, cell);
    return cell;
  }

  #letter(message: Message): Letter {
    const text = (this.#namers[0] as Namer).message(message);
    const known = this.#letters.get(text);
    if (known !== undefined) return known;
    const letter = {
      id: this.#letterList.length,
      message: Object.freeze(message),
      to: this.#ids.indexOf(message.to),
      prints: this.#namers.map((namer) => fingerprint(namer.message(message))),
    };
    this.#letters.set(text, letter);
    this.#letterList.push(letter);
    return letter;
  }

  /** Empties the node after an input; with fast disks every write ends at once. */
  #settle(member: number, node: RaftNode, disk: Disk, pending: Ready[], sent: Message[]): Outcome {
    for (let round = 0; node.hasReady(); round++) {
      demand(round < 1000, "bounded", () => "a Ready for ever");
      const ready = node.ready();
      sent.push(...ready.send);
      const writes = ready.mustSync || ready.hard !== undefined || ready.sendAfterPersist.length > 0;
      if (writes && (!this.#options.slowDisks || (!ready.mustSync && pending.length === 0))) this.#finish(node, disk, ready, sent);
      else if (writes) pending.push(ready);
      const last = ready.apply.at(-1);
      if (last !== undefined) node.applied(last.index);
    }
    const state = node.inspect();
    demand(state.protocolErrors === 0 && state.amnesiaTotal === 0, "protocol", () => `${state.id} saw what no member may send`);
    demand(disk.term(state.stable) === state.log.term(state.stable), "stable", () => `${state.id} takes ${state.stable} for durable`);
    return { cell: this.#intern(member, node, disk, pending), letters: sent.map((message) => this.#letter(message)) };
  }

  #finish(node: RaftNode, disk: Disk, ready: Ready, sent: Message[]): void {
    disk.write(ready);
    node.persisted(ready.seq);
    sent.push(...ready.sendAfterPersist);
  }

  #copyDisk(disk: Disk): Disk {
    const copy = new Disk(disk.hard, disk.entries, disk.joinIndex);
    copy.boot = disk.boot;
    return copy;
  }

  /** What a member does with an input, worked out once. null: nothing at all. */
  #outcome(cell: Cell, input: number, act: (node: RaftNode, disk: Disk, pending: Ready[], sent: Message[]) => RaftNode): Outcome | null {
    const key = cell.id * 2 ** 24 + input;
    const known = this.#outcomes.get(key);
    if (known !== undefined) return known;
    const disk = this.#copyDisk(cell.disk);
    const pending = cell.pending.slice();
    const sent: Message[] = [];
    const node = act(cell.node.clone(), disk, pending, sent);
    const outcome = this.#settle(cell.member, node, disk, pending, sent);
    const result = outcome.cell === cell && outcome.letters.length === 0 ? null : outcome;
    this.#outcomes.set(key, result);
    return result;
  }

  #deliver(cell: Cell, letter: Letter): Outcome | null {
    return this.#outcome(cell, 16 + letter.id, (node) => {
      // Time may have passed: nobody remembers the leader well enough to refuse.
      (node.inspect() as RaftState).leaderSilence = 1000;
      node.step(letter.message);
      return node;
    });
  }

  #moves(cell: Cell, state: Global): { outcome: Outcome | null; proposals: number; crashes: number; configs: number }[] {
    const { proposals, crashes, configs } = state;
    const left = { proposals, crashes, configs };
    const moves = [];
    const { role, term } = cell.node.inspect();
    if (role !== "leader" && term < this.#options.maxTerm) {
      moves.push({ ...left, outcome: this.#outcome(cell, 0, (node) => (node.campaign(), node)) });
    }
    if (cell.pending.length > 0) {
      const finish = (node: RaftNode, disk: Disk, pending: Ready[], sent: Message[]): RaftNode => {
        this.#finish(node, disk, pending.shift() as Ready, sent);
        return node;
      };
      moves.push({ ...left, outcome: this.#outcome(cell, 1, finish) });
    }
    if (role === "leader" && proposals > 0) {
      const data = new Uint8Array([proposals]);
      moves.push({
        ...left,
        proposals: proposals - 1,
        outcome: this.#outcome(cell, 2 + proposals, (node) => (node.propose([data]), node)),
      });
    }
    if (role === "leader" && configs > 0) {
      const remove = [this.#ids[(cell.member + configs) % this.#ids.length] as NodeId];
      moves.push({
        ...left,
        configs: configs - 1,
        outcome: this.#outcome(cell, 8 + configs, (node) => (node.proposeConfig({ remove }), node)),
      });
    }
    if (crashes > 0) {
      const restart = (_node: RaftNode, disk: Disk, pending: Ready[]): RaftNode => {
        pending.length = 0;
        disk.boot++;
        return new RaftNode(this.#nodeOptions(this.#ids[cell.member] as NodeId, disk));
      };
      moves.push({ ...left, crashes: crashes - 1, outcome: this.#outcome(cell, 15, restart) });
    }
    return moves;
  }

  #next(state: Global, at: number, outcome: Outcome, left: { proposals: number; crashes: number; configs: number }): Global {
    const cells = state.cells.slice();
    cells[at] = outcome.cell;
    let { letters, sums } = state;
    for (const letter of outcome.letters) {
      if (letters.includes(letter.id)) continue;
      letters = [...letters, letter.id].toSorted((a, b) => a - b);
      sums = sums.map((sum, perm) => (sum + (letter.prints[perm] as number)) % PRIME);
    }
    const { proposals, crashes, configs } = left;
    return { cells, letters, sums, proposals, crashes, configs, depth: state.depth + 1 };
  }

  #print({ cells, sums, proposals, crashes, configs }: Global): number {
    let best = Infinity;
    for (const [perm, sum] of sums.entries()) {
      let print = (sum + proposals * 7919 + crashes * 104_729 + configs * 1_299_709) % PRIME;
      // The name is part of a cell's fingerprint, so that their sum does not forget who is who.
      for (const cell of cells) print = (print + (cell.prints[perm] as number)) % PRIME;
      if (print < best) best = print;
    }
    return best;
  }

  /** What any two members must agree on; looked at once for each pair of member states. */
  #agree(a: Cell, b: Cell): void {
    const key = a.id * 2 ** 26 + b.id;
    if (this.#agreed.has(key)) return;
    const [one, other] = [a.node.inspect(), b.node.inspect()];
    const bothLead = one.role === "leader" && other.role === "leader" && one.term === other.term;
    demand(!bothLead, "one-leader", () => `${one.id} and ${other.id} lead in term ${one.term}`);
    let matching = false;
    for (let index = Math.min(one.log.last, other.log.last); index > 0; index--) {
      const same = one.log.term(index) === other.log.term(index);
      demand(same || !matching, "log-matching", () => `${one.id} and ${other.id} agree after ${index} and not there`);
      demand(
        same || index > Math.min(one.commit, other.commit),
        "committed-changes",
        () => `${one.id} and ${other.id} committed different entries at ${index}`,
      );
      matching ||= same;
    }
    // A leader of the same or a later term has what is known to be committed.
    if (one.role === "leader" && one.term >= other.term) {
      demand(one.log.term(other.commit) === other.log.term(other.commit), "leader-complete", () => {
        return `${one.id} leads term ${one.term} without entry ${other.commit}, which ${other.id} knows to be committed`;
      });
    }
    this.#agreed.add(key);
  }

  #check(state: Global, at: number): void {
    const changed = state.cells[at] as Cell;
    for (const cell of state.cells) {
      if (cell === changed) continue;
      this.#agree(changed, cell);
      this.#agree(cell, changed);
    }
    if (this.#options.configs > 0) return;
    const { commit, log, id } = changed.node.inspect();
    const holders = state.cells.filter(({ disk }) => disk.term(commit) === log.term(commit)).length;
    demand(holders * 2 > state.cells.length, "commit-quorum", () => `${id} commits ${commit}, which ${holders} disks have`);
  }

  #start(): Global {
    const founding = foundingLog(this.#ids.map((id) => ({ id, meta: "" })));
    const cells = this.#ids.map((id, member) => {
      const disk = new Disk(founding.hard, founding.entries, 0);
      disk.boot = 1;
      return this.#settle(member, new RaftNode(this.#nodeOptions(id, disk)), disk, [], []).cell;
    });
    const { proposals, crashes, configs } = this.#options;
    return { cells, letters: [], sums: this.#perms.map(() => 0), proposals, crashes, configs, depth: 0 };
  }

  /** @throws Violation in the first state that breaks a promise, with the shortest way to it being as long as its depth */
  run(): ExploreResult {
    const seen = new Set<number>();
    let frontier = [this.#start()];
    let depth = 0;
    while (frontier.length > 0) {
      const following: Global[] = [];
      for (const state of frontier) {
        depth = state.depth;
        for (const [at, outcome, left] of this.#successors(state)) {
          const next = this.#next(state, at, outcome, left);
          const print = this.#print(next);
          if (seen.has(print)) continue;
          seen.add(print);
          this.#check(next, at);
          if (seen.size >= this.#options.maxStates) return this.#result(seen.size, depth + 1, false);
          following.push(next);
        }
      }
      frontier = following;
    }
    return this.#result(seen.size, depth, true);
  }

  #result(states: number, depth: number, complete: boolean): ExploreResult {
    return { states, cells: this.#cells.size, messages: this.#letterList.length, depth, complete };
  }

  *#successors(state: Global): Generator<[number, Outcome, { proposals: number; crashes: number; configs: number }]> {
    for (const [at, cell] of state.cells.entries()) {
      for (const { outcome, ...left } of this.#moves(cell, state)) if (outcome !== null) yield [at, outcome, left];
    }
    for (const id of state.letters) {
      const letter = this.#letterList[id] as Letter;
      const outcome = this.#deliver(state.cells[letter.to] as Cell, letter);
      if (outcome !== null) yield [letter.to, outcome, state];
    }
  }
}

/** The clusters that are explored; each within its bound of states. */
export const EXPLORATIONS: readonly (ExploreOptions & { readonly name: string })[] = [
  {
    name: "two members, slow disks, a crash",
    members: 2,
    maxTerm: 3,
    proposals: 1,
    crashes: 1,
    configs: 0,
    preVote: false,
    slowDisks: true,
    maxStates: 200_000,
  },
  {
    name: "three members, fast disks",
    members: 3,
    maxTerm: 3,
    proposals: 1,
    crashes: 0,
    configs: 0,
    preVote: false,
    slowDisks: false,
    maxStates: 500_000,
  },
  {
    name: "three members, slow disks, a crash",
    members: 3,
    maxTerm: 3,
    proposals: 1,
    crashes: 1,
    configs: 0,
    preVote: false,
    slowDisks: true,
    maxStates: 200_000,
  },
  {
    name: "three members, pre-vote",
    members: 3,
    maxTerm: 3,
    proposals: 1,
    crashes: 0,
    configs: 0,
    preVote: true,
    slowDisks: false,
    maxStates: 100_000,
  },
  {
    name: "three members, one removal",
    members: 3,
    maxTerm: 3,
    proposals: 1,
    crashes: 0,
    configs: 1,
    preVote: false,
    slowDisks: false,
    maxStates: 200_000,
  },
];

/** Runs all explorations, their bounds scaled. @returns the violation, or null */
export function exploreAll(scale: number, report: (line: string) => void): Violation | null {
  for (const { name, ...options } of EXPLORATIONS) {
    const began = performance.now();
    try {
      const result = new Explorer({ ...options, maxStates: Math.floor(options.maxStates * scale) }).run();
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      report(
        `${name}: ${result.states} states, depth ${result.depth}, ${result.cells} member states, ${result.messages} messages, ${seconds} s${result.complete ? ", complete" : ""}`,
      );
    } catch (error) {
      if (error instanceof Violation) return error;
      throw error;
    }
  }
  return null;
}
