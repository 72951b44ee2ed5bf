/** Wires a member that lives in one page: storage, consensus of one, replica, views. No rule of the store lives here. */
import { sha256 } from "@noble/hashes/sha2.js";
import { nextTick } from "../adapters/cron/next-tick.ts";
import { IdbLogStorage, type LockPort, storageEstimate } from "../adapters/idb-storage/idb-log-storage.ts";
import { after, every, pause, randomBytes, randomId } from "../adapters/web-platform/host.ts";
import { Authenticator } from "../core/api/auth/authenticator.ts";
import { ETCD_VERSION, createApp } from "../core/api/create-app.ts";
import { v1Routes } from "../core/api/v1/routes.ts";
import { DUTY_LOOK_MS, ScheduleDuty } from "../core/api/v1/schedule-duty.ts";
import { type V1Deps, v1Services } from "../core/api/v1/services.ts";
import { v2Routes } from "../core/api/v2/routes.ts";
import { v3Routes } from "../core/api/v3/routes.ts";
import { v3Services } from "../core/api/v3/services.ts";
import { WatchService } from "../core/api/v3/watch.ts";
import { Replica } from "../core/replica/replica.ts";
import { Solo } from "../core/replica/solo.ts";
import { passwords } from "./passwords.ts";

const TICK_MS = 100;
const SNAPSHOT_ENTRIES = 10_000;
const WATCH_PROGRESS_MS = 10 * 60_000;
const MIN_LEASE_TTL_SECONDS = 2;
const MAX_TXN_OPS = 128;
const MAX_REQUEST_BYTES = 1_572_864;
const BODY_BYTES_MAX = 3 * MAX_REQUEST_BYTES + 512 * 1024;

export interface BrowserMemberOptions {
  /** Name of the database. */
  readonly database: string;
  readonly locks: LockPort;
  /** Of keys, values and kept history, in bytes. */
  readonly quotaBytes: number;
  /** What is told on /v1/openapi.json. */
  readonly version: string;
  readonly onNotice: (level: "info" | "warn", message: string, details?: Record<string, unknown>) => void;
  /** The storage failed: nothing is answered any more. */
  readonly onFailed: (error: Error) => void;
}

export class BrowserMember {
  readonly replica: Replica;
  readonly #answer: (request: Request) => Response | Promise<Response>;
  readonly #ends: readonly (() => void)[];

  /** @throws QuorateError `locked` when another page has the database open; `damaged`, `storageFailed` */
  static async open(options: BrowserMemberOptions): Promise<BrowserMember> {
    const storage = new IdbLogStorage({
      database: options.database,
      locks: options.locks,
      estimate: storageEstimate,
      onGone: options.onFailed,
    });
    const member = new BrowserMember(options, storage);
    await member.replica.start();
    return member;
  }

  private constructor({ quotaBytes, version, onNotice, onFailed }: BrowserMemberOptions, storage: IdbLogStorage) {
    const wallMs = (): number => Date.now();
    const monotonicMs = (): number => performance.now();
    this.replica = new Replica({
      consensus: new Solo({
        storage,
        newIdentity: () => ({ clusterId: randomId(), memberId: randomId(), diskId: randomId() }),
        meta: { name: "browser", peerUrls: [], clientUrls: [] },
      }),
      clock: { wallMs, monotonicMs },
      randomBytes,
      pause,
      tickMs: TICK_MS,
      snapshotEntries: SNAPSHOT_ENTRIES,
      quotaBytes,
      autoCompaction: { mode: "off" },
      strictReconfigCheck: true,
      attributes: () => null,
      onFailed,
      onRemoved: () => {},
      onNotice,
      diskBytes: () => storage.sizeBytes(),
      logReserve: () => storage.reserve(),
    });
    const member = this.replica;
    const onError = (error: unknown): void => onNotice("warn", "a request failed", { error: String(error) });
    const randomToken = (): string => Array.from(randomBytes(16), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const authenticator = new Authenticator({ member, passwords, randomToken, monotonicMs, wallMs });
    const watch = new WatchService({
      member,
      authenticator,
      maxRequestBytes: MAX_REQUEST_BYTES,
      progressIntervalMs: WATCH_PROGRESS_MS,
      every,
      pause,
    });
    const services = v3Services({
      member,
      authenticator,
      limits: { maxTxnOps: MAX_TXN_OPS, maxRequestBytes: MAX_REQUEST_BYTES },
      version: ETCD_VERSION.server,
      minLeaseTtlSeconds: MIN_LEASE_TTL_SECONDS,
      pause,
      every,
      sha256: () => sha256.create(),
    });
    const v1: V1Deps = {
      member,
      authenticator,
      maxTxnOps: MAX_TXN_OPS,
      maxRequestBytes: MAX_REQUEST_BYTES,
      minLeaseTtlSeconds: MIN_LEASE_TTL_SECONDS,
      pause,
      after,
      randomBytes,
      wallMs,
      monotonicMs,
      onInternalError: onError,
      version,
      nextTick,
    };
    const { app } = createApp({
      member,
      routes: [
        ...v3Routes({ services, watch, authenticator, maxRequestBytes: MAX_REQUEST_BYTES, onInternalError: onError }),
        ...v1Routes(v1),
        ...v2Routes({ member, authenticator, now: wallMs }),
      ],
      access: { corsOrigins: [], hosts: ["*"] },
      bodyBytesMax: BODY_BYTES_MAX,
      onError,
    });
    this.#answer = (request) => app.fetch(request);
    const schedules = new ScheduleDuty(v1Services(v1));
    this.#ends = [every(TICK_MS, () => member.tick()), every(DUTY_LOOK_MS, () => schedules.tick())];
  }

  async fetch(request: Request): Promise<Response> {
    return this.#answer(request);
  }

  async close(): Promise<void> {
    for (const end of this.#ends) end();
    await this.replica.stop();
  }
}
