/**
 * Services: which instances of a service there are, and how they are. An instance that no longer renews its lease is off the list after its
 * TTL; one that says it is draining is not to be given new work.
 *
 *     /quorate/services/<name>/<instance>   {address, port?, scheme?, zone?, weight, tags, version?, status, meta, check?,
 *                                           checked?, owner}; see roster.ts, and service-check.ts for the two checks
 */
import type { Bytes } from "../bytes/bytes.ts";
import { errBadField } from "../errors.ts";
import type { ReadOptions, RecipeContext } from "./client-port.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { type FollowOptions, tagOf } from "./follow.ts";
import { prefixOf } from "./names.ts";
import { Registration, type RegistrationOptions } from "./registration.ts";
import { type Entry, type Roster, type Value, readRoster, watchRoster } from "./roster.ts";
import { type ServiceCheck, type Verdict, keepVerdict, statusWith, termsOf } from "./service-check.ts";

const KIND = "services";
const TTL = "30s";

export const STATUSES = ["passing", "warning", "critical", "draining"] as const;
export type ServiceStatus = (typeof STATUSES)[number];

/** What an instance says of itself. */
export interface ServiceInfo {
  readonly address: string;
  readonly port?: number | undefined;
  readonly scheme?: string | undefined;
  readonly zone?: string | undefined;
  /** Of what it should get, compared to others; default 1. */
  readonly weight?: number | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly version?: string | undefined;
  /** Default `passing`. */
  readonly status?: ServiceStatus | undefined;
  readonly meta?: Readonly<Record<string, unknown>> | undefined;
  /** How the store is to find out whether it works. Left out: what the instance says, and its lease, is all there is. */
  readonly check?: ServiceCheck | undefined;
}

export interface Instance extends ServiceInfo {
  readonly id: string;
  readonly weight: number;
  readonly tags: readonly string[];
  /** `critical` also when a check from outside fails. */
  readonly status: ServiceStatus;
  readonly meta: Readonly<Record<string, unknown>>;
  /** What the check found, once it has. */
  readonly checked?: Verdict | undefined;
  /** Of its last change. */
  readonly revision: number;
  /** When it came; one that went and came back has another. */
  readonly incarnation: number;
}

/** All that is given must be so. */
export interface ServiceFilter {
  readonly status?: ServiceStatus | undefined;
  readonly tag?: string | undefined;
  readonly zone?: string | undefined;
}

export interface ServiceList {
  readonly instances: readonly Instance[];
  readonly revision: number;
  /** Another whenever the list is another. */
  readonly etag: string;
}

/** `down`: `delete`, it left; `expire`, its lease ended; `changed`, the filter does not take it any more. */
export type ServiceChange =
  | { readonly type: "up" | "changed"; readonly instance: Instance }
  | { readonly type: "down"; readonly instance: Instance; readonly cause: "delete" | "expire" | "changed" };

export interface ServiceStep extends ServiceList {
  /** null: the list was read anew. */
  readonly changes: readonly ServiceChange[] | null;
}

/** An instance that keeps itself on the list, whatever happens to the way to the store. */
export class ServiceRegistration {
  readonly #registration: Registration;
  readonly #context: RecipeContext;

  constructor(context: RecipeContext, registration: Registration) {
    this.#context = context;
    this.#registration = registration;
  }

  get id(): string {
    return this.#registration.id;
  }

  get secret(): string {
    return this.#registration.secret;
  }

  /** Fires when another has the id. */
  get signal(): AbortSignal {
    return this.#registration.signal;
  }

  /** Says something else of itself; the rest stays as it is. @throws QuorateError conflict when another has the id */
  async update(change: Partial<ServiceInfo>): Promise<void> {
    await this.#registration.update((value) => checkService({ ...(value as unknown as ServiceInfo), ...change }));
  }

  /** Takes no new work from now on, and leaves after so long. */
  async drain(drainFor: Duration, signal?: AbortSignal): Promise<void> {
    await this.update({ status: "draining" });
    await this.#context.host.sleep(milliseconds(drainFor, "drainFor"), signal);
    await this.leave();
  }

  leave(): Promise<void> {
    return this.#registration.leave();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }
}

/** The prefix of a service's instances. @throws QuorateError badField */
export function servicePrefix(name: string): Bytes {
  return prefixOf(KIND, name);
}

/** Registers an instance and keeps it registered. @throws QuorateError conflict when the id is another's; badField */
export async function registerService(
  context: RecipeContext,
  name: string,
  id: string,
  info: ServiceInfo,
  { ttl = TTL, ...options }: RegistrationOptions = {},
): Promise<ServiceRegistration> {
  const place = { prefix: servicePrefix(name), id, merge: keepVerdict };
  return new ServiceRegistration(context, await Registration.open(context, place, checkService(info), { ttl, ...options }));
}

/** With what is left out. @throws QuorateError badField */
export function checkService(info: ServiceInfo): Value {
  const { address, port, weight = 1, tags = [], status = "passing", meta = {}, check } = info;
  if (typeof address !== "string" || address === "") throw errBadField("address", "address must be text, and not empty");
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port < 65_536)) throw errBadField("port", "port must be 0 to 65535");
  if (!(weight >= 0 && weight <= 1e6)) throw errBadField("weight", "weight must be a number from 0 to 1000000");
  if (!STATUSES.includes(status)) throw errBadField("status", `status must be one of ${STATUSES.join(", ")}`);
  if (check !== undefined) termsOf(check);
  return { ...info, weight, tags, status, meta };
}

/** The instances there are. An error is thrown: it is never an empty list. */
export async function listServices(
  context: RecipeContext,
  name: string,
  filter: ServiceFilter = {},
  options: ReadOptions = {},
): Promise<ServiceList> {
  return listOf(await readRoster(context, servicePrefix(name), options), filter);
}

/**
 * The instances now, and then at each change of them. While the store does not answer, nothing comes: the last list is the best there is.
 * Ends with the signal, without throwing.
 */
export async function* watchServices(
  context: RecipeContext,
  name: string,
  filter: ServiceFilter = {},
  options: FollowOptions = {},
): AsyncGenerator<ServiceStep, void, void> {
  const before = new Map<string, Instance>();
  for await (const roster of watchRoster(context, servicePrefix(name), options)) {
    const list = listOf(roster, filter);
    const changes = roster.changes && [...changesBetween(before, list, roster.changes)];
    before.clear();
    for (const instance of list.instances) before.set(instance.id, instance);
    if (changes === null || changes.length > 0) yield { ...list, changes };
  }
}

function* changesBetween(before: ReadonlyMap<string, Instance>, { instances }: ServiceList, changes: NonNullable<Roster["changes"]>) {
  for (const { type, entry } of changes) {
    const was = before.get(entry.id);
    const now = type === "leave" || type === "fail" ? undefined : instances.find(({ id }) => id === entry.id);
    if (now !== undefined) yield { type: was === undefined ? "up" : "changed", instance: now } as ServiceChange;
    else if (was !== undefined) {
      const cause = type === "leave" ? "delete" : type === "fail" ? "expire" : "changed";
      yield { type: "down", instance: was, cause } as ServiceChange;
    }
  }
}

function listOf({ entries, revision }: Roster, filter: ServiceFilter): ServiceList {
  const instances = [...entries.values()].flatMap((entry) => instanceOf(entry) ?? []).filter((one) => takes(filter, one));
  return { instances, revision, etag: tagOf(instances) };
}

function takes({ status, tag, zone }: ServiceFilter, one: Instance): boolean {
  return (
    (status === undefined || one.status === status) &&
    (tag === undefined || one.tags.includes(tag)) &&
    (zone === undefined || one.zone === zone)
  );
}

/** undefined when it says nothing that an instance says: another program's. */
export function instanceOf({ id, value, revision, incarnation }: Entry): Instance | undefined {
  const { owner: _, ...said } = value;
  try {
    const instance = checkService(said as unknown as ServiceInfo) as unknown as Instance;
    return { ...instance, status: statusWith(instance.status, instance.checked), id, revision, incarnation };
  } catch {
    return undefined;
  }
}
