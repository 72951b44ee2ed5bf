/**
 * The entry `quorate/testing`: a store of its own for each test, in the process of the test, without a socket. It is the real server, in
 * memory, behind the real API; only the network and time are the test's: leases end, sleeps are over and faults happen when it says so.
 */
import { type FullClient, connectAll } from "../client/all.ts";
import type { ConnectOptions } from "../client/connect.ts";
import { Authenticator } from "../core/api/auth/authenticator.ts";
import { createApp } from "../core/api/create-app.ts";
import { nextTick } from "../adapters/cron/next-tick.ts";
import { CheckDuty } from "../core/api/v1/check-duty.ts";
import { DUTY_LOOK_MS, ScheduleDuty } from "../core/api/v1/schedule-duty.ts";
import { type V1Deps, v1Services } from "../core/api/v1/services.ts";
import { v1Routes } from "../core/api/v1/routes.ts";
import { utf8Decode } from "../core/bytes/utf8.ts";
import { Xoshiro128 } from "../core/raft/prng.ts";
import type { LeaseId } from "../core/store/command.ts";
import { MemoryMember, STARTED_AT, STORE_OPTIONS, randomBytes } from "./memory-member.ts";
import { type Answer, TestNetwork } from "./test-network.ts";
import { VirtualTime } from "./virtual-time.ts";

export { type Fault, TestNetwork, type TestRequest } from "./test-network.ts";
export { VirtualTime } from "./virtual-time.ts";

const URL_OF_TESTS = "http://store.test";
const BODY_BYTES_MAX = 2 * 1024 * 1024;

/** One process that uses the store, and its way there. */
export interface TestClient {
  readonly q: FullClient;
  readonly network: TestNetwork;
}

export interface TestStoreOptions {
  /** Of all random bytes: another seed is another run. Default 1. */
  readonly seed?: number;
  /** Answers the checks of services: null when all is well, otherwise what is not. Left out: nobody is asked, and checks are refused. */
  readonly probe?: (url: string) => string | null;
}

export class TestStore implements AsyncDisposable {
  readonly time: VirtualTime;
  readonly #member: MemoryMember;
  readonly #seed: number;
  readonly #answer: Answer;
  readonly #bugs: unknown[] = [];
  #clients = 0;

  private constructor(time: VirtualTime, member: MemoryMember, { seed = 1, probe }: TestStoreOptions) {
    this.time = time;
    this.#member = member;
    this.#seed = seed;
    const onBug = (error: unknown): void => void this.#bugs.push(error);
    const prng = new Xoshiro128(seed, "api");
    const wallMs = (): number => STARTED_AT + time.now;
    const monotonicMs = (): number => time.now;
    const authenticator = new Authenticator({
      member: member.replica,
      passwords: { hash: (password) => Promise.resolve(password), matches: (password, hash) => Promise.resolve(password === hash) },
      randomToken: () => Array.from(randomBytes(prng, 16), (byte) => byte.toString(16)).join(""),
      monotonicMs,
      wallMs,
    });
    const deps: V1Deps = {
      ...STORE_OPTIONS,
      member: member.replica,
      authenticator,
      wallMs,
      monotonicMs,
      after: (ms, act) => time.after(ms, act),
      randomBytes: (count) => randomBytes(prng, count),
      onInternalError: onBug,
      maxRequestBytes: BODY_BYTES_MAX,
      version: "test",
      nextTick,
      prober: probe && { allows: () => true, probe: ({ href }) => Promise.resolve(probe(href)) },
    };
    const routes = v1Routes(deps);
    const duties = [new ScheduleDuty(v1Services(deps)), new CheckDuty(v1Services(deps))];
    const look = (): void => {
      for (const duty of duties) void duty.tick();
      time.after(DUTY_LOOK_MS, look);
    };
    look();
    const access = { corsOrigins: [], hosts: ["*"] };
    const { app } = createApp({ member: member.replica, routes, access, bodyBytesMax: BODY_BYTES_MAX, onError: onBug });
    this.#answer = (request) => app.fetch(request);
  }

  static async start(options: TestStoreOptions = {}): Promise<TestStore> {
    const time = new VirtualTime();
    return new TestStore(time, await MemoryMember.start(time, options.seed ?? 1), options);
  }

  /** A client that knows nothing of the others, with a network of its own. */
  client(options: Omit<ConnectOptions, "platform" | "fetch"> = {}): TestClient {
    const { time } = this;
    const prng = new Xoshiro128(this.#seed, `client ${this.#clients++}`);
    const network = new TestNetwork(time, this.#answer, () => ({ date: new Date(STARTED_AT + time.now).toUTCString() }));
    const platform = {
      monotonicMs: () => time.now,
      wallMs: () => STARTED_AT + time.now,
      sleep: (ms: number, signal?: AbortSignal) => time.sleep(ms, signal),
      randomBytes: (count: number) => randomBytes(prng, count),
    };
    return { q: connectAll({ url: URL_OF_TESTS, ...options, fetch: network.fetch, platform }), network };
  }

  /** Moves time until the work is done, as far as it has to. @throws what the work throws, or Error when it will never be done */
  run<T>(work: Promise<T>): Promise<T> {
    return this.time.run(work);
  }

  /** Moves time on; what is due meanwhile happens, in its order. */
  advance(ms: number): Promise<void> {
    return this.time.advance(ms);
  }

  /** The keys that there are, with their values as text. */
  keys(prefix = ""): Record<string, string> {
    return Object.fromEntries(this.#member.keys(prefix).map(({ key, value }) => [utf8Decode(key), utf8Decode(value)]));
  }

  /** The leases that there are. */
  leases(): readonly LeaseId[] {
    return this.#member.leases();
  }

  get revision(): number {
    return this.#member.revision;
  }

  /** Forgets the history: whoever watches from before begins anew. */
  compact(): Promise<void> {
    return this.#member.compact();
  }

  /** Ends a lease at once, as if its time were over. */
  async expire(lease: LeaseId): Promise<void> {
    await this.#member.store.revoke(lease);
  }

  /** Ends everything. @throws what went wrong inside the store, which is a bug of it */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#member.close();
    this.time.close();
    for (const bug of this.#bugs) throw bug;
  }
}
