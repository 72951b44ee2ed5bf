/** Every operation of v1, in the order of the reference. */
import type { Operation } from "./operation.ts";
import { barrierOperations, fenceOperations, rendezvousOperations } from "./barriers.ts";
import { configOperations } from "./config.ts";
import { electionOperations } from "./elections.ts";
import { counterOperations } from "./counters.ts";
import { groupOperations } from "./groups.ts";
import { kvOperations } from "./kv.ts";
import { leaseOperations } from "./leases.ts";
import { limitOperations } from "./limits.ts";
import { lockOperations } from "./locks.ts";
import { poolOperations } from "./pools.ts";
import { rwlockOperations } from "./rwlocks.ts";
import { semaphoreOperations } from "./semaphores.ts";
import { queueOperations } from "./queues.ts";
import { serviceOperations } from "./service-instances.ts";
import { scheduleOperations } from "./schedules.ts";
import { tokenOperations } from "./tokens.ts";
import { taskOperations, topicOperations } from "./topics.ts";
import { txnOperations } from "./txn.ts";
import { watchOperations } from "./watch.ts";

export const OPERATIONS: readonly Operation[] = [
  ...kvOperations,
  ...txnOperations,
  ...watchOperations,
  ...leaseOperations,
  ...lockOperations,
  ...electionOperations,
  ...rwlockOperations,
  ...semaphoreOperations,
  ...barrierOperations,
  ...rendezvousOperations,
  ...fenceOperations,
  ...serviceOperations,
  ...groupOperations,
  ...configOperations,
  ...poolOperations,
  ...counterOperations,
  ...queueOperations,
  ...scheduleOperations,
  ...topicOperations,
  ...taskOperations,
  ...limitOperations,
  ...tokenOperations,
];
