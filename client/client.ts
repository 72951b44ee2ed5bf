/**
 * The entry `quorate/client`: all names, none of which costs anything until it is used. A recipe is a function that takes the client, so
 * that a bundler leaves out the others; `quorate/client/all` has them as methods.
 */
export { Client, connect, type ConnectOptions } from "./connect.ts";
export { fromEnv } from "./env.ts";
export type { Platform } from "./host.ts";
export type { ClientStore, Fetch, RetryOptions, Token, TxnOptions } from "./http-store.ts";
export {
  type Change,
  type Entry,
  type GetOptions,
  Keys,
  type ListOptions,
  type Listing,
  type PutOptions,
  type WatchOptions,
  type WatchStep,
  type WriteOptions,
} from "./keys.ts";
export { type CacheStorage, NearCache, type NearCacheOptions, type SavedCache } from "./near-cache.ts";
export { type Outcome, isUnknown, outcomeOf } from "./outcome.ts";
export { type Data, type Guard, Txn, TxnBranch, type TxnDone, type TxnFound, type TxnStep } from "./txn.ts";
export { type Act, type PresignOptions, type Restriction, attenuate, presign, readToken } from "./tokens.ts";
export {
  type ConsumeOptionsOf,
  type NackOptions,
  type PutMessageOptions,
  Queue,
  QueueMessage,
  type QueueOptions,
  type TakeOptionsOf,
} from "./queue.ts";
export { type SubscribeOptions, Topic, type TopicMessage } from "./topic.ts";
export {
  type ChangeOptions,
  Config,
  type ConfigChanges,
  type ConfigOptions,
  type ConfigPublishOptions,
  type ConfigUpdate,
  type ConfigValue,
  type ConfigView,
} from "./config.ts";
export { type Codec, type StandardSchema, type SyncCodec, bytes, json, text } from "./values.ts";
export type { Wire } from "./wire.ts";

export { QuorateError, isQuorateError } from "../core/errors.ts";
export type { Host, RecipeContext, Store } from "../core/recipes/client-port.ts";
export type { Duration } from "../core/recipes/durations.ts";

export { Session, type SessionJson, type SessionOptions } from "../core/recipes/session.ts";
export { Hold, type HoldJson, resumeHold } from "../core/recipes/hold.ts";
export type { TurnOptions, WaitOptions } from "../core/recipes/turns.ts";
export * from "../core/recipes/lock.ts";
export * from "../core/recipes/locks.ts";
export * from "../core/recipes/rwlock.ts";
export * from "../core/recipes/semaphore.ts";
export * from "../core/recipes/barrier.ts";
export * from "../core/recipes/rendezvous.ts";
export * from "../core/recipes/election.ts";
export * from "../core/recipes/counter.ts";
export * from "../core/recipes/fence.ts";
export * from "../core/recipes/task.ts";
export * from "../core/recipes/topic.ts";
export { type Rule } from "../core/recipes/gcra.ts";
export { type TakeOptions, type Taken, limitRule, setLimit, takeFromLimit } from "../core/recipes/limit.ts";
export * from "../core/recipes/limiter.ts";
export { type EnqueueOptions, enqueue } from "../core/recipes/queue.ts";
export { type RejectOptions, acknowledge, acknowledgedBy, extendMessage, rejectMessage } from "../core/recipes/queue-flight.ts";
export { type QueueSettings, setQueue } from "../core/recipes/queue-settings.ts";
export * from "../core/recipes/queue-consume.ts";
export { Delivery } from "../core/recipes/queue-delivery.ts";
export * from "../core/recipes/queue-state.ts";
export { type Message, type TakeMessagesOptions, type TakenMessages, takeMessages, untilWorthIt } from "../core/recipes/queue-take.ts";
export { type Gate, readGate, removeGate, setGate } from "../core/recipes/queue-gate.ts";
export {
  type Instance,
  type ServiceChange,
  type ServiceFilter,
  type ServiceInfo,
  type ServiceList,
  ServiceRegistration,
  type ServiceStatus,
  type ServiceStep,
  listServices,
  registerService,
  watchServices,
} from "../core/recipes/services.ts";
export type { ServiceCheck, Verdict } from "../core/recipes/service-check.ts";
export {
  type GroupChange,
  type JoinOptions,
  type Member,
  Membership,
  type View,
  type ViewStep,
  type WatchGroupOptions,
  assign,
  readGroup,
  watchGroup,
  whenEmpty,
  whenGone,
  whenGroup,
  whenSize,
} from "../core/recipes/groups.ts";
export type { RegistrationOptions } from "../core/recipes/registration.ts";
export {
  type ConfigChange,
  type ConfigEntry,
  type ConfigSnapshot,
  type ConfigStep,
  NearConfig,
  type PublishOptions,
  type SchemaCheck,
  newestConfig,
  publishConfig,
  readConfig,
  rollBackConfig,
  setConfigSchema,
  subscribeConfig,
} from "../core/recipes/config.ts";
export { type Rollout, acknowledgeConfig, configRollout, whenRolledOut } from "../core/recipes/rollout.ts";
export { type Candidate as PickCandidate, type PickOptions, Picker, type Strategy } from "../core/recipes/picker.ts";
export {
  type NodeStatus,
  type Picked,
  Pool,
  PoolMember,
  type PoolNode,
  type PoolState,
  readPool,
  watchPool,
} from "../core/recipes/pools.ts";
export * from "../core/recipes/schedule.ts";
