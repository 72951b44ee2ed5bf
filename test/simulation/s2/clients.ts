/**
 * Those who use the cluster: each does one thing at a time, through whichever member it likes, over a connection that breaks when the
 * member's process ends. What was answered must be in the ledger; what was refused for certain must never get there; an answer comes
 * within a bound; and a lease lives as long as was promised.
 */
import { isQuorateError } from "../../../core/errors.ts";
import { type Bytes, ascii } from "../../../core/bytes/bytes.ts";
import type { Replica } from "../../../core/replica/replica.ts";
import type { Applied, CommandBody, KeyValue, Operation, PutRequest, RangeRequest } from "../../../core/store/command.ts";
import type { CommandSession } from "../../../core/store/sessions.ts";
import { Chance } from "../../helpers/chance.ts";
import { Violation, demand } from "../violation.ts";
import type { Applied as LedgerEntry } from "./ledger.ts";
import type { Member } from "./member.ts";
import type { Answer, Request } from "../../history/revision-check.ts";
import { type FoundWhole, responseOf } from "./black-box.ts";
import type { Simulation } from "./simulation.ts";

/** The longest that a member which is up may take for an answer, in milliseconds: it may ask two leaders, 7 s each, and wait to catch up. */
const ANSWER_MS_MAX = 30_000;
/** With these nothing was proposed. */
const REFUSED = new Set(["noLeader", "tooManyRequests", "notSent"]);
/** Of these the outcome is not known. */
const UNKNOWN = new Set(["leaderChanged", "timeout", "stopped", "lost", "notLeader", "noPatience"]);

/** Nothing was done, but what was refused may be in the log: the alarm is judged there too. */
const NO_SPACE = "noSpace";

/** A repeatable write is given up after so many attempts. */
const ATTEMPTS_MAX = 6;

/** The connection to the member broke before the answer came. */
export class Lost extends Error {
  readonly reason = "lost";
}

export function rangeOf(key: Bytes, end = "" as Bytes, revision = 0): RangeRequest {
  return {
    key,
    end,
    revision,
    limit: 0,
    sortTarget: "key",
    sortOrder: "none",
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
}

export function putOf(key: Bytes, value: Bytes, lease = "0"): PutRequest {
  return { key, value, lease, prevKv: false, ignoreValue: false, ignoreLease: false };
}

function foundOf(kv: KeyValue | null): FoundWhole | null {
  if (kv === null) return null;
  const { value, modRevision, createRevision, version } = kv;
  return { value, modRevision, createRevision, version };
}

function reasonOf(error: unknown): string {
  return error instanceof Lost ? "lost" : isQuorateError(error) ? error.reason : String(error);
}

interface HeldLease {
  readonly ttlMs: number;
  /** When the last renewal that was acknowledged was asked for. */
  renewedAt: number;
  /** When the ledger got the leader's revoke. */
  endedAt: number | null;
  /** A client has revoked it, or may have. */
  given: boolean;
}

export class Clients {
  readonly #simulation: Simulation;
  readonly #values = new Set<string>();
  readonly #refused = new Set<string>();
  readonly #leases = new Map<string, HeldLease>();
  readonly #clients: Client[] = [];
  #stopped = false;
  pending = 0;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  start(): void {
    const { swarm } = this.#simulation;
    for (let n = 0; n < swarm.clients; n++) this.#clients.push(new Client(this.#simulation, this, n));
    for (const client of this.#clients) client.next();
  }

  stop(): void {
    this.#stopped = true;
  }

  // ---- what the ledger tells

  applied({ command, index }: LedgerEntry): void {
    if (command === null) return;
    for (const value of valuesOf(command)) {
      demand(
        command.session !== undefined || !this.#values.has(value),
        "nothing is done twice",
        () => `${value.slice(0, 20)} is applied again at ${index}`,
      );
      demand(!this.#refused.has(value), "what was refused is not done", () => `${value.slice(0, 20)} is applied at ${index}`);
      this.#values.add(value);
    }
  }

  /** A lease that the store held is no longer there, by the leader's act. */
  expired(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined || lease.endedAt !== null) return;
    lease.endedAt = this.#simulation.engine.now;
    this.#simulation.count("lease expired");
    this.#checkLease(id, lease);
  }

  /** Not before the time to live has passed on the fastest clock since the renewal was asked for. */
  #checkLease(id: string, { ttlMs, renewedAt, endedAt, given }: HeldLease): void {
    if (endedAt === null || given) return;
    const earliest = renewedAt + ttlMs / (1 + this.#simulation.swarm.drift);
    demand(
      endedAt >= earliest - 1,
      "a lease lives as long as was promised",
      () => `lease ${id} of ${ttlMs} ms, renewed at ${renewedAt}, was revoked at ${endedAt}`,
    );
  }

  // ---- what clients tell

  isApplied(value: string): boolean {
    return this.#values.has(value);
  }

  refuse(value: string): void {
    demand(!this.#values.has(value), "what was refused is not done", () => `${value.slice(0, 20)} was applied and then refused`);
    this.#refused.add(value);
  }

  granted(id: string, ttlMs: number, at: number): void {
    this.#leases.set(id, { ttlMs, renewedAt: at, endedAt: null, given: false });
  }

  renewed(id: string, at: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.renewedAt = Math.max(lease.renewedAt, at);
    this.#checkLease(id, lease);
  }

  givenUp(id: string): void {
    const lease = this.#leases.get(id);
    if (lease !== undefined) lease.given = true;
  }
}

function valuesOf(command: CommandBody): string[] {
  const of = (operation: Operation): string[] => (operation.op === "put" ? [operation.value] : []);
  if (command.kind === "put") return [command.value];
  if (command.kind === "txn") return [...command.success, ...command.failure].flatMap(of);
  return [];
}

class Client {
  readonly #simulation: Simulation;
  readonly #clients: Clients;
  readonly #chance: Chance;
  readonly #rangeChance: Chance;
  readonly #name: string;
  readonly #number: number;
  #done = 0;
  #sequence = 0;
  #home: Member | null = null;
  #lease: { readonly id: string; readonly ttlMs: number } | null = null;
  /** The last it saw of each key, to compare with. */
  readonly #seen = new Map<string, KeyValue | null>();
  /** The newest revision it was shown by a linearizable answer. */
  #revision = 0;

  constructor(simulation: Simulation, clients: Clients, number: number) {
    this.#simulation = simulation;
    this.#clients = clients;
    this.#number = number;
    this.#name = `c${number}`;
    this.#chance = new Chance(simulation.seed, `client ${number}`);
    this.#rangeChance = new Chance(simulation.seed, `client ${number} ranges`);
  }

  next(): void {
    const { engine } = this.#simulation;
    engine.after(this.#chance.exponential(this.#simulation.swarm.thinkMean), () => {
      if (this.#clients.stopped) return;
      this.#clients.pending++;
      this.#act().then(
        () => {
          this.#clients.pending--;
          this.next();
        },
        (error: unknown) => engine.fail(error instanceof Error ? error : new Error(String(error))),
      );
    });
  }

  #member(): Member | undefined {
    const { members } = this.#simulation;
    if (this.#home?.up === true && !this.#chance.hit(0.1)) return this.#home;
    const up = members.filter((member) => member.up);
    this.#home = up.length === 0 ? null : this.#chance.pick(up);
    return this.#home ?? undefined;
  }

  /** Has a member do something. @throws QuorateError, or Lost when its process ends before the answer is here */
  async #ask<T>(member: Member, what: string, act: (replica: Replica) => Promise<T> | T): Promise<T> {
    const simulation = this.#simulation;
    const { engine } = simulation;
    const { life, replica } = member.running!;
    const way = (): number => this.#chance.exponential(simulation.swarm.delayMean / 2);
    let timer = true;
    try {
      return await new Promise<T>((resolve, reject) => {
        const lost = (): void => engine.after(way(), () => reject(new Lost(`the connection to ${member.name} broke`)));
        if (!life.alive) return lost();
        life.onDeath.add(lost);
        const settle = (then: () => void): void => {
          if (!life.alive) return;
          life.onDeath.delete(lost);
          engine.after(way(), then);
        };
        life.after(way(), () => {
          // Time in which the process stands still does not count.
          life.after(ANSWER_MS_MAX, () => {
            if (timer) reject(new Violation("an answer comes in time", `${this.#name}: ${what} at ${member.name}`));
          });
          // eslint-disable-next-line typescript/no-floating-promises -- settles the promise around it
          (async () => act(replica))().then(
            (value) => settle(() => resolve(value)),
            (error: unknown) => settle(() => reject(error as Error)),
          );
        });
      });
    } finally {
      timer = false;
    }
  }

  async #act(): Promise<void> {
    const member = this.#member();
    const simulation = this.#simulation;
    if (member === undefined) return;
    const key = ascii(`k${this.#chance.int(1, simulation.swarm.keys)}`);
    const dice = this.#chance.real();
    try {
      if (simulation.swarm.leases && dice < 0.15) await this.#useLease(member);
      else if (dice < 0.5) await this.#put(member, key);
      else if (dice < 0.7) await (this.#rangeChance.hit(0.4) ? this.#range(member) : this.#get(member, key));
      else if (dice < 0.78) await this.#look(member, key);
      else if (dice < 0.85) await this.#delete(member, key);
      else if (dice < 0.97 || !simulation.swarm.compactions) await this.#swap(member, key);
      else await this.#compact(member);
      simulation.count("answered");
    } catch (error) {
      const reason = reasonOf(error);
      simulation.count(`answer: ${reason}`);
      if (error instanceof Violation || (!isQuorateError(error) && !(error instanceof Lost))) throw error;
    }
  }

  #value(): Bytes {
    const value = `${this.#name}.${++this.#done}`;
    const length = this.#simulation.swarm.largeValues && this.#chance.hit(0.3) ? this.#chance.int(1000, 30_000) : 0;
    return ascii(value.padEnd(length, "."));
  }

  async #write<B extends CommandBody>(member: Member, body: B, value: string | null): Promise<Applied> {
    const { swarm } = this.#simulation;
    if (swarm.sessions && this.#chance.hit(0.6)) return this.#writeOnce(member, body, value);
    try {
      return await this.#propose(member, body, value);
    } catch (error) {
      if (value !== null && REFUSED.has(reasonOf(error))) this.#clients.refuse(value);
      throw error;
    }
  }

  /** With a number, so that it may be asked for again, of whomever, until there is an answer: it is done once. */
  async #writeOnce<B extends CommandBody>(first: Member, body: B, value: string | null): Promise<Applied> {
    const session = { client: this.#name, sequence: ++this.#sequence };
    let unknown: Error | null = null;
    for (let attempt = 1, member: Member | undefined = first; ; attempt++) {
      try {
        if (member === undefined) throw unknown ?? new Lost("nobody is up");
        const applied = await this.#propose(member, body, value, session);
        if (unknown !== null) this.#simulation.count("repeated after an unknown outcome, answered");
        return applied;
      } catch (error) {
        const reason = reasonOf(error);
        if (UNKNOWN.has(reason)) unknown = error as Error;
        else if (reason === NO_SPACE) throw unknown ?? error; // said before the log is asked: an earlier attempt may have been done
        else if (!REFUSED.has(reason)) throw error;
        if (attempt === ATTEMPTS_MAX) {
          if (unknown === null && value !== null) this.#clients.refuse(value);
          throw unknown ?? error;
        }
        await new Promise<void>((resolve) => this.#simulation.engine.after(100, resolve));
        this.#home = null;
        member = this.#member();
      }
    }
  }

  async #propose<B extends CommandBody>(member: Member, body: B, value: string | null, session?: CommandSession): Promise<Applied> {
    const since = this.#simulation.ledger.top;
    const { witness } = this.#simulation;
    const asked = this.#ask(member, body.kind, (replica) => replica.propose(body, session === undefined ? {} : { session }));
    const applied: Applied = await asked.catch((error: unknown) => {
      const reason = reasonOf(error);
      // What the command came to, as against what became of the question.
      const judged = isQuorateError(error) && !UNKNOWN.has(reason) && !REFUSED.has(reason) && reason !== NO_SPACE;
      if (judged) witness.answered(body, session, since, { reason });
      throw error;
    });
    witness.answered(body, session, since, applied);
    if (value !== null) {
      demand(this.#clients.isApplied(value), "what was answered is agreed", () => `${value.slice(0, 20)} was acknowledged and not applied`);
    }
    demand(this.#simulation.ledger.top > since, "what was answered is agreed", () => `a ${body.kind} was answered without an entry`);
    demand(
      applied.revision >= this.#revision,
      "time does not go back",
      () => `a ${body.kind} is answered at ${applied.revision} to a client that saw ${this.#revision}`,
    );
    this.#revision = applied.revision;
    return applied;
  }

  /** Notes what was asked for and what came of it. */
  async #recorded(request: Request, send: () => Promise<Answer>): Promise<void> {
    const thrown: { error: Error | null } = { error: null };
    const noted = this.#simulation.blackBox.invoke(this.#number, request);
    await this.#simulation.recorder.record(this.#number, request, async () => {
      try {
        const answer = await send();
        noted?.ok(responseOf(request, answer));
        return answer;
      } catch (error) {
        thrown.error = error as Error;
        const unknown = UNKNOWN.has(reasonOf(error));
        if (unknown) noted?.unknown();
        else noted?.refused();
        return unknown ? "unknown" : "refused";
      }
    });
    if (thrown.error !== null) throw thrown.error;
  }

  async #put(member: Member, key: Bytes): Promise<void> {
    const value = this.#value();
    const lease = this.#lease !== null && this.#chance.hit(0.3) ? this.#lease.id : "0";
    const prevKv = this.#chance.hit(0.3);
    await this.#recorded({ kind: "put", key, value }, async () => {
      const { revision, result } = await this.#write(member, { kind: "put", ...putOf(key, value, lease), prevKv }, value);
      return { revision, ...(prevKv && result.op === "put" ? { found: foundOf(result.prev) } : {}) };
    });
  }

  async #delete(member: Member, key: Bytes): Promise<void> {
    await this.#recorded({ kind: "delete", key }, async () => {
      const { revision, result } = await this.#write(member, { kind: "delete", key, end: "" as Bytes, prevKv: true }, null);
      return { revision, deleted: result.op === "delete" ? result.deleted : -1 };
    });
    this.#seen.set(key, null);
  }

  /** Compares with what it saw last, so that it may hold or not. */
  async #swap(member: Member, key: Bytes): Promise<void> {
    const expected = this.#seen.get(key)?.modRevision ?? 0;
    const value = this.#value();
    const compare = { key, end: "" as Bytes, target: "mod", operator: "equal", value: expected } as const;
    const range = { op: "range", ...rangeOf(key) } as const;
    const body = { kind: "txn", compare: [compare], success: [{ op: "put", ...putOf(key, value) }, range], failure: [range] } as const;
    await this.#recorded({ kind: "swap", key, value, expected }, async () => {
      const { revision, result } = await this.#write(member, body, value);
      const last = result.op === "txn" ? result.responses.at(-1) : undefined;
      const found = last?.op === "range" ? (last.kvs[0] ?? null) : null;
      this.#seen.set(key, found);
      return { revision, succeeded: result.op === "txn" && result.succeeded, found: foundOf(found) };
    });
  }

  async #compact(member: Member): Promise<void> {
    const revision = this.#revision - this.#chance.int(0, 20);
    if (revision > 1) await this.#write(member, { kind: "compact", revision }, null);
  }

  /** Linearizable: nothing that anybody applied before it was asked for may be missing. */
  async #get(member: Member, key: Bytes): Promise<void> {
    const { ledger } = this.#simulation;
    const since = ledger.top;
    const { consensus } = member.running!;
    await this.#recorded({ kind: "get", key }, async () => {
      const { kv, applied, revision } = await this.#ask(member, "get", async (replica) => {
        await replica.readBarrier();
        return { kv: replica.store.range(rangeOf(key)).kvs[0] ?? null, revision: replica.store.revision, applied: consensus.applied };
      });
      demand(applied >= since, "reads are current", () => `${this.#name} read at index ${applied} after ${since} had been applied`);
      this.#simulation.witness.read(rangeOf(key), since, revision, {
        kvs: kv === null ? [] : [kv],
        count: kv === null ? 0 : 1,
        more: false,
      });
      demand(
        revision >= this.#revision,
        "time does not go back",
        () => `a read is answered at ${revision}, ${this.#revision} was seen before`,
      );
      this.#revision = revision;
      this.#seen.set(key, kv);
      return { revision, found: foundOf(kv) };
    });
  }

  /** Linearizable, of several keys; sometimes as they were before, or only the first of them. */
  async #range(member: Member): Promise<void> {
    const { ledger, witness } = this.#simulation;
    const chance = this.#rangeChance;
    const first = chance.int(0, 9);
    const old = this.#revision > 1 && chance.hit(0.4);
    const request: RangeRequest = {
      ...rangeOf(ascii(`k${first}`), ascii(chance.pick(["l", `k${first + chance.int(1, 4)}`])), old ? chance.int(1, this.#revision) : 0),
      limit: chance.pick([0, 0, 1, 3]),
    };
    const since = ledger.top;
    try {
      const { told, revision } = await this.#ask(member, "range", async (replica) => {
        await replica.readBarrier();
        return { told: replica.store.range(request), revision: replica.store.revision };
      });
      witness.read(request, since, revision, told);
      demand(revision >= this.#revision, "time does not go back", () => `a range is answered at ${revision}, ${this.#revision} was seen`);
      this.#revision = revision;
      this.#simulation.count(old ? "range of the past" : "range");
    } catch (error) {
      const reason = reasonOf(error);
      if (isQuorateError(error) && !UNKNOWN.has(reason) && !REFUSED.has(reason)) witness.readRefused(request, reason);
      throw error;
    }
  }

  /** Serializable: whatever the member has. */
  async #look(member: Member, key: Bytes): Promise<void> {
    const request = rangeOf(key);
    await this.#recorded({ kind: "stale-get", key }, async () => {
      const { told, revision } = await this.#ask(member, "look", ({ store }) => ({ told: store.range(request), revision: store.revision }));
      this.#simulation.witness.read(request, null, revision, told);
      return { revision, found: foundOf(told.kvs[0] ?? null) };
    });
  }

  async #useLease(member: Member): Promise<void> {
    const { engine } = this.#simulation;
    const since = engine.now;
    if (this.#lease === null) {
      const ttlSeconds = this.#chance.int(1, 4);
      const id = String(this.#chance.int(1, 2 ** 31 - 1));
      await this.#write(member, { kind: "leaseGrant", id, ttlSeconds }, null);
      this.#clients.granted(id, ttlSeconds * 1000, since);
      this.#lease = { id, ttlMs: ttlSeconds * 1000 };
      return;
    }
    const { id } = this.#lease;
    if (this.#chance.hit(0.1)) {
      this.#lease = null;
      this.#clients.givenUp(id);
      await this.#write(member, { kind: "leaseRevoke", id, term: 0 }, null);
      return;
    }
    try {
      await this.#ask(member, "keep-alive", (replica) => replica.keepAlive(id));
      this.#simulation.count("keep-alive acknowledged");
      this.#clients.renewed(id, since);
    } catch (error) {
      if (!UNKNOWN.has(reasonOf(error)) && !REFUSED.has(reasonOf(error))) this.#lease = null;
      throw error;
    }
  }
}
