/**
 * Wires the member of one namespace: its tables, consensus, replica, views. No rule of the store lives here. What an instance knows is read
 * again when the next one takes its place, so that nothing is lost when the platform puts it to sleep.
 */
import { createHash } from "node:crypto";
import { nextTick } from "../adapters/cron/next-tick.ts";
import { readFact, writeFact } from "../adapters/durable-object-storage/facts.ts";
import { SqlLeaseDeadlines } from "../adapters/durable-object-storage/sql-lease-deadlines.ts";
import { SqlStateStorage } from "../adapters/durable-object-storage/sql-state-storage.ts";
import { JwtTokens } from "../adapters/jwt/jwt-tokens.ts";
import { passwords, randomToken } from "../adapters/node-crypto/passwords.ts";
import { Authenticator } from "../core/api/auth/authenticator.ts";
import { type App, ETCD_VERSION, createApp } from "../core/api/create-app.ts";
import { type V1Sockets, v1Routes, v1Sockets } from "../core/api/v1/routes.ts";
import { SCHEDULES, ScheduleDuty } from "../core/api/v1/schedule-duty.ts";
import { type V1Deps, v1Services } from "../core/api/v1/services.ts";
import { v2Routes } from "../core/api/v2/routes.ts";
import { v3Routes } from "../core/api/v3/routes.ts";
import { v3Services } from "../core/api/v3/services.ts";
import { WatchService } from "../core/api/v3/watch.ts";
import { decodeBase64, encodeBase64 } from "../core/bytes/base64.ts";
import { fromUint8Array, toUint8Array } from "../core/bytes/bytes.ts";
import type { Identity } from "../core/replica/log-storage-port.ts";
import { Replica } from "../core/replica/replica.ts";
import { StoredSolo } from "../core/replica/stored-solo.ts";
import { isInRange } from "../core/store/mvcc/key-range.ts";
import type { RevisionRecord } from "../core/store/version-store-port.ts";
import { AlarmClock } from "./alarm-clock.ts";
import { after, clock, every, pause, randomBytes, randomId } from "./host.ts";
import type { Settings } from "./settings.ts";

/** How often a quiet watch that asked for it is told the revision, as etcd does. */
const WATCH_PROGRESS_MS = 10 * 60_000;
/** As of an etcd with its default election timeout. */
const MIN_LEASE_TTL_SECONDS = 2;
/** Bytes of a body beyond the longest command: base64 adds a third, JSON escapes and form encoding more. */
const bodyBytesMaxFor = (requestBytesMax: number): number => 3 * requestBytesMax + 512 * 1024;
/** Revisions after which the upkeep is looked after without an alarm. */
const UPKEEP_REVISIONS = 1_000;
const TOKEN_KEY_BYTES = 32;

export interface MemberOptions {
  readonly storage: DurableObjectStorage;
  readonly settings: Settings;
  readonly version: string;
  /** Where clients reach this namespace, as far as is known. */
  readonly clientUrl: () => string | null;
  readonly onError: (error: unknown, where: Readonly<Record<string, unknown>>) => void;
  readonly onNotice: (level: "info" | "warn", message: string, details?: Record<string, unknown>) => void;
  /** The storage failed: nothing is answered any more. */
  readonly onFailed: (error: Error) => void;
}

/** What is made once, with the namespace. */
interface Birth {
  readonly identity: Identity;
  /** Signs the tokens of users; base64. */
  readonly tokenKey: string;
}

export class NamespaceMember {
  readonly #storage: DurableObjectStorage;
  readonly replica: Replica;
  readonly app: App;
  readonly sockets: V1Sockets;
  readonly #consensus: StoredSolo;
  readonly #schedules: ScheduleDuty;
  readonly #alarm: AlarmClock;
  /** The directory has it. */
  #isListed: boolean;
  #commits = 0;

  /** Reads the totals and makes what is not there yet. @throws QuorateError unimplemented for tables of a newer release */
  static async open(options: MemberOptions): Promise<NamespaceMember> {
    const member = new NamespaceMember(options);
    await member.#alarm.load();
    await member.replica.start();
    return member;
  }

  private constructor(options: MemberOptions) {
    const { storage, settings, onError } = options;
    this.#storage = storage;
    this.#alarm = new AlarmClock(storage, (error) => onError(error, { what: "setting the alarm" }));
    const state = new SqlStateStorage(storage);
    const known = readFact(storage.sql, "birth");
    this.#isListed = readFact(storage.sql, "listed") !== undefined;
    const birth = known === undefined ? this.#beBorn() : (JSON.parse(known) as Birth);
    const { autoCompactionRevisions: retentionRevisions } = settings;
    this.#consensus = new StoredSolo({
      storage: { transaction: (work) => storage.transactionSync(work), sync: () => this.#sync() },
      identity: birth.identity,
      appliedIndex: state.load().appliedIndex,
      meta: { name: "default", peerUrls: [], clientUrls: [] },
      // Requests that are there already share the transaction, and its way to be durable.
      defer: (task) => void after(0, task),
    });
    this.replica = new Replica({
      consensus: this.#consensus,
      storage: state,
      deadlines: new SqlLeaseDeadlines(storage),
      clock,
      randomBytes,
      pause,
      tickMs: 100,
      snapshotEntries: Infinity, // there is no log
      quotaBytes: Number(readFact(storage.sql, "quota") ?? settings.quotaBytes),
      autoCompaction: retentionRevisions === 0 ? { mode: "off" } : { mode: "revision", retentionRevisions },
      strictReconfigCheck: true,
      attributes: () => {
        const url = options.clientUrl();
        // There are no peers; clients expect an address all the same.
        return url === null ? null : { name: "default", clientUrls: [url], peerUrls: [url] };
      },
      onFailed: options.onFailed,
      onRemoved: () => {},
      onNotice: options.onNotice,
      onCommit: (record) => this.#committed(record),
      diskBytes: () => storage.sql.databaseSize,
      logReserve: () => "ok",
    });
    const secret = toUint8Array(decodeBase64(birth.tokenKey)!);
    const authenticator = new Authenticator({
      member: this.replica,
      passwords,
      randomToken,
      monotonicMs: () => clock.monotonicMs(),
      wallMs: () => clock.wallMs(),
      // What only memory knows is gone with the next nap: so tokens say themselves whose they are.
      signedTokens: new JwtTokens({
        algorithm: "HS256",
        signingKey: secret,
        verifyingKey: secret,
        ttlMs: settings.authTokenTtlMs,
        wallMs: () => clock.wallMs(),
      }),
    });
    const v1 = this.#v1Deps(options, authenticator);
    this.#schedules = new ScheduleDuty(v1Services(v1), this.replica.store.revision);
    this.sockets = v1Sockets(v1);
    this.app = this.#app(options, authenticator, v1);
  }

  #beBorn(): Birth {
    const identity = { clusterId: randomId(), memberId: randomId(), diskId: randomId() };
    const birth = { identity, tokenKey: encodeBase64(fromUint8Array(randomBytes(TOKEN_KEY_BYTES))) };
    writeFact(this.#storage.sql, "birth", JSON.stringify(birth));
    return birth;
  }

  #v1Deps({ settings, version, onError }: MemberOptions, authenticator: Authenticator): V1Deps {
    return {
      member: this.replica,
      authenticator,
      maxTxnOps: settings.maxTxnOps,
      maxRequestBytes: settings.maxRequestBytes,
      minLeaseTtlSeconds: MIN_LEASE_TTL_SECONDS,
      pause,
      after,
      randomBytes,
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs(),
      onInternalError: (error) => onError(error, { what: "a request of the v1 API" }),
      version,
      nextTick,
    };
  }

  #app({ settings, onError }: MemberOptions, authenticator: Authenticator, v1: V1Deps): App {
    const member = this.replica;
    const { maxRequestBytes, maxTxnOps } = settings;
    const watch = new WatchService({ member, authenticator, maxRequestBytes, progressIntervalMs: WATCH_PROGRESS_MS, every, pause });
    const services = v3Services({
      member,
      authenticator,
      limits: { maxTxnOps, maxRequestBytes },
      version: ETCD_VERSION.server,
      minLeaseTtlSeconds: MIN_LEASE_TTL_SECONDS,
      pause,
      every,
      sha256: () => createHash("sha256"),
    });
    const onInternalError = (error: unknown): void => onError(error, { what: "a request of the v3 API" });
    const routes = [...v3Routes({ services, watch, authenticator, maxRequestBytes, onInternalError }), ...v1Routes(v1)];
    if (settings.enableV2) routes.push(...v2Routes({ member, authenticator, now: () => clock.wallMs() }));
    return createApp({
      member,
      routes,
      access: { corsOrigins: settings.corsOrigins, hosts: ["*"] },
      bodyBytesMax: bodyBytesMaxFor(maxRequestBytes),
      onError: (error, request) => onError(error, { ...request }),
    });
  }

  /** In one turn with the transaction that it makes durable: what is due now is stored with its alarm, or neither is. */
  #sync(): Promise<void> {
    this.#alarm.notLaterThan(this.replica.nextDutyMs);
    return this.#storage.sync();
  }

  #committed({ kvs }: RevisionRecord): void {
    this.#commits++;
    if (kvs.some(({ key, version }) => version > 0 && isInRange(key, SCHEDULES))) this.#alarm.notLaterThan(clock.wallMs());
  }

  /** After a request: compaction and the like, which no alarm is set for. */
  upkeep(): void {
    if (this.#commits < UPKEEP_REVISIONS) return;
    this.#commits = 0;
    this.replica.tick();
  }

  /** Does all that is due, and sets the alarm for the next time; whatever fails is tried again then. */
  async alarmRang(): Promise<void> {
    this.#alarm.rung();
    try {
      this.replica.tick();
      this.#schedules.lookAgain();
      await this.#schedules.tick();
      while (this.replica.pendingProposals > 0) await pause();
    } finally {
      this.#alarm.rearm(clock.wallMs(), this.replica.nextDutyMs, this.#schedules.nextAtMs);
    }
  }

  get isListed(): boolean {
    return this.#isListed;
  }

  listed(): void {
    this.#isListed = true;
    writeFact(this.#storage.sql, "listed", "yes");
  }

  /** Nothing is applied any more: the tables are about to be another state's. Another instance has to take the place of this one. */
  halt(): void {
    this.#consensus.halt();
  }

  /** Of this namespace, from now on. */
  async setQuota(bytes: number): Promise<void> {
    writeFact(this.#storage.sql, "quota", String(bytes));
    this.replica.quotaBytes = bytes;
    await this.#storage.sync();
  }
}
