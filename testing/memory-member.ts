/**
 * A whole member in memory, alone, on virtual time: its leases end and its clock goes when the test moves time. What it did is kept
 * revision by revision, for checks that need no clock.
 */
import { MemoryLogStorage } from "../adapters/memory/log-storage.ts";
import { MemberStore, type MemberStoreOptions } from "../core/api/v1/member-store.ts";
import { ZERO } from "../core/bytes/bytes.ts";
import { utf8Encode } from "../core/bytes/utf8.ts";
import { Xoshiro128 } from "../core/raft/prng.ts";
import { readOf } from "../core/recipes/requests.ts";
import { Replica } from "../core/replica/replica.ts";
import { Solo } from "../core/replica/solo.ts";
import type { KeyValue, LeaseId } from "../core/store/command.ts";
import type { WatchEvent } from "../core/store/watch/watcher.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** Of the wall clock at the beginning. */
export const STARTED_AT = Date.UTC(2026, 0, 1);
const TICK_MS = 100;
export const STORE_OPTIONS: MemberStoreOptions = { maxTxnOps: 128, minLeaseTtlSeconds: 2, pause: () => Promise.resolve() };

/** Everything that one revision changed. */
export interface Revision {
  readonly revision: number;
  /** Virtual milliseconds. */
  readonly at: number;
  /** With the version before. */
  readonly events: readonly WatchEvent[];
}

export class MemoryMember {
  readonly replica: Replica;
  /** The store as recipes want it, without anything between. */
  readonly store: MemberStore;
  /** Of the store, from the first; oldest first. */
  readonly history: Revision[] = [];
  readonly #time: VirtualTime;
  #closed = false;

  private constructor(time: VirtualTime, seed: number) {
    this.#time = time;
    const prng = new Xoshiro128(seed, "member");
    this.replica = new Replica({
      consensus: new Solo({
        storage: new MemoryLogStorage(),
        newIdentity: () => ({ clusterId: "7", memberId: "1", diskId: "5" }),
        meta: { name: "memory", peerUrls: [], clientUrls: [] },
      }),
      clock: { wallMs: () => STARTED_AT + time.now, monotonicMs: () => time.now },
      randomBytes: (count) => randomBytes(prng, count),
      pause: () => Promise.resolve(),
      tickMs: TICK_MS,
      snapshotEntries: 1_000_000,
      quotaBytes: 2 ** 30,
      autoCompaction: { mode: "off" },
      strictReconfigCheck: true,
      attributes: () => null,
      onFailed: (error) => {
        throw error;
      },
      onRemoved: () => {},
      onNotice: () => {},
      diskBytes: () => 0,
      logReserve: () => "ok",
    });
    this.store = new MemberStore(this.replica, STORE_OPTIONS);
  }

  /** @param seed of all random bytes */
  static async start(time: VirtualTime, seed: number): Promise<MemoryMember> {
    const member = new MemoryMember(time, seed);
    await member.replica.start();
    member.#record();
    member.#tick();
    return member;
  }

  #tick(): void {
    if (this.#closed) return;
    this.replica.tick();
    this.#time.after(TICK_MS, () => this.#tick());
  }

  #record(): void {
    const options = { key: ZERO, end: ZERO, startRevision: 1, noPut: false, noDelete: false, prevKv: true };
    const take = () => {
      for (let step = watcher.take(Infinity); step?.kind === "events"; step = watcher.take(Infinity)) {
        for (const event of step.events) {
          const { modRevision } = event.kv;
          const last = this.history.at(-1);
          if (last?.revision === modRevision) (last.events as WatchEvent[]).push(event);
          else this.history.push({ revision: modRevision, at: this.#time.now, events: [event] });
        }
      }
    };
    const watcher = this.replica.store.watch({ ...options, onReady: take });
    take();
  }

  /** The keys that begin so, with their values. */
  keys(prefix = ""): readonly KeyValue[] {
    const bytes = utf8Encode(prefix);
    return this.replica.store.range(readOf({ key: ZERO, end: ZERO })).kvs.filter(({ key }) => key.startsWith(bytes));
  }

  /** Leases that there are. */
  leases(): readonly LeaseId[] {
    return this.replica.store.leaseIds();
  }

  get revision(): number {
    return this.replica.store.revision;
  }

  /** Forgets the history before the present revision. */
  async compact(): Promise<void> {
    const { revision, compactedRevision } = this.replica.store;
    if (revision > compactedRevision) await this.replica.propose({ kind: "compact", revision });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.replica.stop();
  }
}

/** Bytes that are the same in each run. */
export function randomBytes(prng: Xoshiro128, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, () => prng.u32() & 255);
}
