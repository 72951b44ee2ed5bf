/**
 * Scenarios: text that reads like the minutes of a cluster. A line that begins with `>` is a command, the lines below it up to the
 * next blank one are what it caused; everything else is prose. `--rewrite` puts in what happens now, for review as a diff.
 *
 *     > cluster a b c             founding voters; then key=value: prevote, checkquorum, catchup, inflight, msgbytes
 *     > tick a 3                  three ticks, one at a time
 *     > pause a 50                fifty ticks at once
 *     > run 5                     five rounds: a tick for each, then everything delivered
 *     > campaign a                as if a's timer ran out
 *     > deliver                   everything, and what it causes; `deliver a b` only from a to b; `deliver append` only that kind
 *     > drop                      what is on the wire, with the same filters
 *     > cut a b / isolate a / heal
 *     > propose a 3               three entries
 *     > change a +d +e:learner -b ~c      add voter d, learner e, remove b, demote c; new members start empty
 *     > transfer a b
 *     > read a
 *     > crash a / restart a
 *     > compact a                 a snapshot of what a has applied
 *     > fetched / fetchfailed     ends the fetches of snapshots under way
 *     > slowdisk a / persist a    writes of a wait until told / one write of a ends
 *     > status                    a line a member
 */
import type { ConfigChange } from "../../core/raft/config-change.ts";
import type { Message } from "../../core/raft/messages.ts";
import type { TraceEvent } from "../../core/raft/trace.ts";
import { Lab } from "../simulation/lab.ts";

/** Timers of scenarios are in ticks of T = 10, as in the lab. */
export class Interpreter {
  #lab: Lab | null = null;
  #lines: string[] = [];
  #joined = new Set<string>();

  get #cluster(): Lab {
    if (this.#lab === null) throw new Error("a scenario begins with `> cluster`");
    return this.#lab;
  }

  /** @returns what the command caused, a line an event; "ok" for nothing */
  run(command: string): string[] {
    this.#lines = [];
    const [verb = "", ...words] = command.trim().split(/\s+/);
    this.#do(verb, words);
    return this.#lines.length === 0 ? ["ok"] : this.#lines;
  }

  #do(verb: string, words: readonly string[]): void {
    const [first = "", second = ""] = words;
    switch (verb) {
      case "cluster":
        return this.#start(words);
      case "tick":
        return this.#cluster.tick(first, Number(second || 1));
      case "pause":
        return this.#cluster.tick(first, 1, Number(second));
      case "run":
        return this.#cluster.run(Number(first));
      case "campaign":
        return this.#cluster.act(first, (node) => node.campaign());
      case "deliver":
        return this.#cluster.deliver(filter(words));
      case "drop":
        return void this.#lines.push(`${this.#cluster.drop(filter(words)).length} messages lost`);
      case "cut":
        return this.#cluster.cut(first, second);
      case "isolate":
        return this.#cluster.isolate(first);
      case "heal":
        return this.#cluster.heal();
      case "propose":
        return this.#answer(this.#cluster.propose(first, Number(second || 1)));
      case "change":
        return this.#change(first, words.slice(1));
      case "transfer":
        return this.#answer(this.#cluster.act(first, (node) => node.transferLeadership(second)));
      case "read":
        return this.#read(first);
      case "crash":
        return this.#cluster.crash(first);
      case "restart":
        return this.#cluster.restart(first);
      case "compact":
        return this.#cluster.compact(first);
      case "fetched":
      case "fetchfailed":
        return this.#cluster.finishFetches(verb === "fetched");
      case "slowdisk":
        return void this.#cluster.slowDisks.add(first);
      case "persist":
        return this.#cluster.persist(first, 1);
      case "status":
        return this.#status();
      default:
        throw new Error(`unknown command ${verb}`);
    }
  }

  #start(words: readonly string[]): void {
    const settings = new Map(words.filter((word) => word.includes("=")).map((word) => word.split("=") as [string, string]));
    const number = (name: string, otherwise: number): number => Number(settings.get(name) ?? otherwise);
    this.#lab = new Lab({
      voters: words.filter((word) => !word.includes("=")),
      limits: {
        catchUpEntries: number("catchup", 1000),
        maxInflightMsgs: number("inflight", 64),
        maxMsgBytes: number("msgbytes", 1 << 20),
      },
      node: { preVote: settings.get("prevote") !== "off", checkQuorum: settings.get("checkquorum") !== "off" },
      trace: (event) => this.#traced(event),
    });
  }

  #traced(event: TraceEvent): void {
    const line = told(event);
    if (line !== null) this.#lines.push(`${event.node} ${line}`);
  }

  #answer(result: object & { readonly ok: boolean; readonly why?: string; readonly detail?: string }): void {
    if (!result.ok) this.#lines.push(`refused: ${result.why}${result.detail === undefined ? "" : ` (${result.detail})`}`);
  }

  #change(id: string, words: readonly string[]): void {
    const of = (mark: string): string[] => words.filter((word) => word.startsWith(mark)).map((word) => word.slice(1));
    const add = of("+").map((word) => {
      const [name = "", as = "voter"] = word.split(":");
      if (as === "auto") return { id: name, meta: "", as: "voter" as const, promote: "auto" as const };
      return { id: name, meta: "", as: as as "voter" | "learner" };
    });
    const change: ConfigChange = { add, remove: of("-"), demote: of("~") };
    const result = this.#cluster.act(id, (node) => node.proposeConfig(change));
    this.#answer(result);
    if (!result.ok) return;
    for (const { id: name } of add) {
      if (this.#cluster.hosts.has(name)) continue;
      this.#joined.add(name);
      this.#cluster.join(name, result.first);
    }
  }

  #read(id: string): void {
    const lab = this.#cluster;
    const ctx = lab.read(id);
    lab.deliver((message) => message.kind.startsWith("read") || message.kind.startsWith("heartbeat"));
    const answer = lab.reading.get(ctx);
    this.#lines.push(answer === undefined ? "no answer yet" : answer === "failed" ? "the read failed" : `the read is good at ${answer}`);
  }

  #status(): void {
    for (const host of this.#cluster.hosts.values()) {
      const status = host.node?.status();
      if (status === undefined) {
        this.#lines.push(`${host.id} is down`);
        continue;
      }
      const { role, term, leader, commit, first, last, config } = status;
      const peers = Object.entries(status.progress).map(([id, { state, match }]) => `${id}:${state}@${match}`);
      const joint = config.outgoing.length > 0 ? ` from ${config.outgoing.join("")}` : "";
      const learners = config.learners.length > 0 ? ` learning ${config.learners.join("")}` : "";
      this.#lines.push(
        [
          `${host.id} ${role} term ${term} leader ${leader ?? "-"} log ${first}..${last} commit ${commit}`,
          `voters ${config.voters.join("")}${joint}${learners}`,
          ...(peers.length > 0 ? [peers.join(" ")] : []),
        ].join(" | "),
      );
    }
  }
}

function filter(words: readonly string[]): (message: Message) => boolean {
  if (words.length === 0) return () => true;
  const [first = "", second = ""] = words;
  if (first.length > 1) return (message) => message.kind === first;
  return (message) => message.from === first && (second === "" || message.to === second);
}

function told(event: TraceEvent): string | null {
  switch (event.event) {
    case "role":
      return `is ${event.role} in term ${event.term}`;
    case "campaign":
      return event.pre
        ? `asks whether it could win term ${event.term + 1}`
        : `asks for votes in term ${event.term}${event.transfer ? ", as its leader wished" : ""}`;
    case "vote":
      return `${event.granted ? "grants" : "refuses"} ${event.to} a ${event.pre ? "pre-vote" : `vote in term ${event.term}`}`;
    case "truncate":
      return `truncates at ${event.from}`;
    case "commit":
      return `commits ${event.index}`;
    case "config":
      return `uses ${event.voters.join("")}${event.outgoing.length > 0 ? ` from ${event.outgoing.join("")}` : ""} as of ${event.index}`;
    case "progress":
      return `sees ${event.peer} in ${event.state}, match ${event.match}`;
    case "offer":
      return `offers ${event.to} the snapshot at ${event.index}`;
    case "install":
      return event.ok ? `installs the snapshot at ${event.index}` : `gives up the snapshot at ${event.index}`;
    case "transfer":
      return event.to === null ? "gives up the transfer" : `hands over to ${event.to}`;
    case "amnesia":
      return `notices that ${event.of} forgot entries`;
    case "dropped":
      return `drops ${event.kind} of ${event.from}: ${event.why}`;
    default:
      return null; // appends are told by what they commit
  }
}

/** The scenario with every command's output replaced by what happens now. */
export function replay(text: string): string {
  const interpreter = new Interpreter();
  const out: string[] = [];
  let skipping = false;
  for (const line of text.split("\n")) {
    if (skipping && line.trim() !== "" && !line.startsWith(">")) continue;
    skipping = false;
    out.push(line);
    if (!line.startsWith(">")) continue;
    out.push(...interpreter.run(line.slice(1)));
    skipping = true;
  }
  return out.join("\n");
}
