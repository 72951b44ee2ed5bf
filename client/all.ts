/**
 * The entry `quorate/client/all`: a client with every recipe as a method. Whoever bundles for the edge takes `quorate/client` and the
 * functions themselves, of which only those that are used cost anything; here all of them are always there.
 */
import type { CallOptions } from "../core/recipes/client-port.ts";
import { type Duration, milliseconds } from "../core/recipes/durations.ts";
import { type BarrierWait, type CloseOptions, barrierState, closeBarrier, openBarrier, waitAtBarrier } from "../core/recipes/barrier.ts";
import { type Leadership, campaign, electionState, observeElection, runAsLeader } from "../core/recipes/election.ts";
import { type AddOptions, Sequence, addToCounter, deleteCounter, readCounter, setCounter } from "../core/recipes/counter.ts";
import { checkFence } from "../core/recipes/fence.ts";
import { type JoinOptions, Membership, type WatchGroupOptions, readGroup, watchGroup } from "../core/recipes/groups.ts";
import { type Hold, type HoldJson, resumeHold } from "../core/recipes/hold.ts";
import { Limiter, type LimiterOptions } from "../core/recipes/limiter.ts";
import { type LockOptions, acquireLock, lockState, tryLock, withLock } from "../core/recipes/lock.ts";
import { acquireLocks } from "../core/recipes/locks.ts";
import { enterRendezvous } from "../core/recipes/rendezvous.ts";
import { type RwOptions, acquireRead, acquireWrite, rwState } from "../core/recipes/rwlock.ts";
import { type SemaphoreOptions, acquirePermits, semaphoreState, tryPermits } from "../core/recipes/semaphore.ts";
import type { PickOptions } from "../core/recipes/picker.ts";
import { type NodeStatus, Pool, PoolMember } from "../core/recipes/pools.ts";
import type { RegistrationOptions } from "../core/recipes/registration.ts";
import { type ServiceFilter, type ServiceInfo, listServices, registerService, watchServices } from "../core/recipes/services.ts";
import {
  type RunScheduleOptions,
  type Schedule,
  deleteSchedule,
  listSchedules,
  putSchedule,
  readSchedule,
  runSchedule,
} from "../core/recipes/schedule.ts";
import { Session, type SessionOptions } from "../core/recipes/session.ts";
import { type Progress, deleteTask, directTask, forgetWorker, reportProgress, taskState } from "../core/recipes/task.ts";
import type { TurnOptions } from "../core/recipes/turns.ts";
import { Client, type ConnectOptions, connect } from "./connect.ts";
import { Config, type ConfigOptions } from "./config.ts";
import { Queue, type QueueOptions } from "./queue.ts";
import { Topic } from "./topic.ts";
import { type Data, dataOf } from "./txn.ts";
import { type Codec, json, text } from "./values.ts";

export * from "./client.ts";

/** Messages that are put into a queue at their times: a cron expression, or every so often. */
export interface ScheduleSpec extends Pick<Schedule, "cron" | "tz" | "queue"> {
  /** Instead of `cron`; at least 1 s. */
  readonly every?: Duration;
  /** Of each message; default: nothing. */
  readonly body?: string;
  /** After a time in which nobody could fire: nothing, one message, or one for each tick that was missed. Default `one`. */
  readonly catchUp?: Schedule["catchUp"];
}

function scheduleOf({ every, body = "", catchUp = "one", ...rest }: ScheduleSpec): Schedule {
  return { ...rest, body, catchUp, everyMs: every === undefined ? undefined : milliseconds(every, "every") };
}

export class FullClient extends Client {
  session(options?: SessionOptions): Promise<Session> {
    return Session.open(this, options);
  }

  /** Goes on with what another process holds; `hold.toJSON()` is what it takes. */
  resume(hold: HoldJson, signal?: AbortSignal): Promise<Hold> {
    return resumeHold(this, hold, signal);
  }

  lock(name: string, options?: LockOptions): Promise<Hold> {
    return acquireLock(this, name, options);
  }

  tryLock(name: string, options?: LockOptions): Promise<Hold | null> {
    return tryLock(this, name, options);
  }

  withLock<T>(name: string, work: (hold: Hold) => Promise<T>, options?: LockOptions): Promise<T> {
    return withLock(this, name, work, options);
  }

  locks(names: readonly string[], options?: LockOptions) {
    return acquireLocks(this, names, options);
  }

  lockState(name: string) {
    return lockState(this, name);
  }

  get services() {
    return {
      register: (name: string, id: string, info: ServiceInfo, options?: RegistrationOptions) =>
        registerService(this, name, id, info, options),
      list: async (name: string, filter?: ServiceFilter) => (await listServices(this, name, filter)).instances,
      watch: (name: string, filter?: ServiceFilter, signal?: AbortSignal) => watchServices(this, name, filter, { signal }),
    };
  }

  group(name: string) {
    return {
      join: (data: unknown, options?: JoinOptions) => Membership.join(this, name, data, options),
      view: () => readGroup(this, name),
      watch: (options?: WatchGroupOptions) => watchGroup(this, name, options),
    };
  }

  /** Without a codec, values are JSON of any form. */
  config(namespace: string, options?: ConfigOptions): Config<unknown>;
  config<T, In>(namespace: string, codec: Codec<T, In>, options?: ConfigOptions): Config<T, In>;
  config(namespace: string, codec: Codec<unknown> | ConfigOptions = {}, options: ConfigOptions = {}): Config<unknown> {
    if ("decode" in codec) return new Config(this, namespace, codec, options);
    return new Config(this, namespace, json(), codec);
  }

  pool(name: string) {
    return {
      open: (options?: PickOptions) => Pool.open(this, name, options),
      join: (id: string, status: NodeStatus, options?: RegistrationOptions) => PoolMember.join(this, name, id, status, options),
    };
  }

  limiter(name: string, options?: LimiterOptions): Limiter {
    return new Limiter(this, name, options);
  }

  rwlock(name: string) {
    return {
      read: (options?: RwOptions) => acquireRead(this, name, options),
      write: (options?: RwOptions) => acquireWrite(this, name, options),
      state: () => rwState(this, name),
    };
  }

  counter(name: string) {
    return {
      add: async (n: bigint | number = 1n, options?: AddOptions) => (await addToCounter(this, name, BigInt(n), options)).value,
      get: async () => (await readCounter(this, name)).value,
      set: (value: bigint, ifRevision?: number) => setCounter(this, name, value, ifRevision),
      delete: () => deleteCounter(this, name),
    };
  }

  sequence(name: string, options?: { readonly block?: number }): Sequence {
    return new Sequence(this, name, options);
  }

  semaphore(name: string, limit?: number) {
    type Options = Omit<SemaphoreOptions, "permits" | "limit">;
    return {
      acquire: (permits = 1, options?: Options) => acquirePermits(this, name, { ...options, permits, limit }),
      tryAcquire: (permits = 1, options?: Options) => tryPermits(this, name, { ...options, permits, limit }),
      available: async () => (await semaphoreState(this, name)).available,
    };
  }

  barrier(name: string) {
    return {
      close: (options?: CloseOptions) => closeBarrier(this, name, options),
      open: () => openBarrier(this, name),
      wait: (options?: BarrierWait) => waitAtBarrier(this, name, options),
      state: () => barrierState(this, name),
    };
  }

  rendezvous(name: string, parties: number) {
    return { enter: (options?: TurnOptions) => enterRendezvous(this, name, parties, options) };
  }

  /** Without a codec, events are text. */
  topic(name: string): Topic<string>;
  topic<T, In>(name: string, codec: Codec<T, In>): Topic<T, In>;
  topic(name: string, codec: Codec<unknown> = text as Codec<unknown>): Topic<unknown> {
    return new Topic(this, name, codec);
  }

  /** Without a codec, messages are text. */
  queue(name: string, options?: QueueOptions): Queue<string>;
  queue<T, In>(name: string, codec: Codec<T, In>, options?: QueueOptions): Queue<T, In>;
  queue(name: string, codec: Codec<unknown> | QueueOptions = {}, options: QueueOptions = {}): Queue<unknown> {
    if ("decode" in codec) return new Queue(this, name, codec, options);
    return new Queue(this, name, text as Codec<unknown>, codec);
  }

  get schedules() {
    return {
      put: (name: string, schedule: ScheduleSpec, options?: CallOptions) => putSchedule(this, name, scheduleOf(schedule), options),
      get: (name: string) => readSchedule(this, name),
      list: () => listSchedules(this),
      delete: (name: string) => deleteSchedule(this, name),
      /** Puts the message now, beside its times. */
      run: (name: string, options?: RunScheduleOptions) => runSchedule(this, name, options),
    };
  }

  task(name: string) {
    return {
      direct: (spec: Data, ifRevision?: number) => directTask(this, name, dataOf(spec), ifRevision),
      report: (worker: string, progress: Progress, session: Session) => reportProgress(this, name, worker, progress, session.id),
      state: () => taskState(this, name),
      forget: (worker: string) => forgetWorker(this, name, worker),
      delete: () => deleteTask(this, name),
    };
  }

  /** Just before an act outside the store: whether the fence is as high as the highest that was ever shown. */
  fence(name: string, fence: bigint) {
    return checkFence(this, name, fence);
  }

  election(name: string) {
    return {
      campaign: (data: Data, options?: TurnOptions) => campaign(this, name, dataOf(data), options),
      leader: async () => (await electionState(this, name)).leader,
      observe: (signal?: AbortSignal) => observeElection(this, name, signal),
    };
  }

  runAsLeader(
    name: string,
    work: (leadership: Leadership) => Promise<void>,
    options?: TurnOptions & { readonly data?: Data },
  ): Promise<void> {
    return runAsLeader(this, name, dataOf(options?.data ?? ""), work, options);
  }
}

/** As `connect`, with the recipes as methods. */
export function connectAll(options: ConnectOptions | string): FullClient {
  const { store, host } = connect(options);
  return new FullClient(store, host);
}
