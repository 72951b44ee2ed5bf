/**
 * The variables of the Worker (`[vars]` in wrangler.toml, secrets by `wrangler secret put`). What cannot be taken is refused by name with the
 * first request, rather than guessed.
 */
import { ROW_BYTES_MAX } from "../adapters/durable-object-storage/sql-database.ts";

/** As the platform hands them over: all text. */
export interface Env {
  readonly NAMESPACES: DurableObjectNamespace;
  readonly DIRECTORY: DurableObjectNamespace;
  readonly NAMESPACE_NAMES?: string;
  readonly HOST_SUFFIX?: string;
  readonly ADMIN_TOKEN?: string;
  readonly JURISDICTION?: string;
  readonly LOCATION_HINT?: string;
  readonly QUOTA_BYTES?: string;
  readonly MAX_REQUEST_BYTES?: string;
  readonly MAX_TXN_OPS?: string;
  readonly AUTO_COMPACTION_REVISIONS?: string;
  readonly AUTH_TOKEN_TTL?: string;
  readonly ENABLE_V2?: string;
  readonly CORS?: string;
}

export interface Settings {
  /** null: a namespace is made by whoever asks for it first. */
  readonly names: ReadonlySet<string> | null;
  /** With its dot; null: host names say nothing. */
  readonly hostSuffix: string | null;
  /** null: nothing is administered over HTTP. */
  readonly adminToken: string | null;
  readonly jurisdiction: string | null;
  readonly locationHint: LocationHint | null;
  /** Of a namespace that was given none of its own. */
  readonly quotaBytes: number;
  readonly maxRequestBytes: number;
  readonly maxTxnOps: number;
  /** 0: nothing is compacted by itself. */
  readonly autoCompactionRevisions: number;
  readonly authTokenTtlMs: number;
  readonly enableV2: boolean;
  readonly corsOrigins: readonly string[];
}

/** The storage of an object has 10 GB; a tenth is left for indexes, for what is not yet freed, and for the way out of a full one. */
export const QUOTA_BYTES_MAX = 9_000_000_000;
const LOCATIONS: readonly string[] = ["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"];
const JURISDICTIONS: readonly string[] = ["eu", "fedramp"];

/** A variable has a value that it cannot have. */
export class SettingError extends Error {}

/** @throws SettingError that names the variable */
export function settingsOf(env: Env): Settings {
  return {
    names: env.NAMESPACE_NAMES === undefined || env.NAMESPACE_NAMES === "*" ? null : new Set(listOf(env.NAMESPACE_NAMES)),
    hostSuffix: suffixOf(env.HOST_SUFFIX),
    adminToken: orNull(env.ADMIN_TOKEN),
    jurisdiction: oneOf("JURISDICTION", env.JURISDICTION, JURISDICTIONS),
    locationHint: oneOf("LOCATION_HINT", env.LOCATION_HINT, LOCATIONS) as LocationHint | null,
    quotaBytes: whole("QUOTA_BYTES", env.QUOTA_BYTES, { from: 1, to: QUOTA_BYTES_MAX, otherwise: 2 * 1024 ** 3 }),
    // Key and value of one write become one row.
    maxRequestBytes: whole("MAX_REQUEST_BYTES", env.MAX_REQUEST_BYTES, { from: 1, to: ROW_BYTES_MAX - 100_000, otherwise: 1_572_864 }),
    maxTxnOps: whole("MAX_TXN_OPS", env.MAX_TXN_OPS, { from: 1, to: 10_000, otherwise: 128 }),
    autoCompactionRevisions: whole("AUTO_COMPACTION_REVISIONS", env.AUTO_COMPACTION_REVISIONS, { from: 0, to: 1e9, otherwise: 10_000 }),
    authTokenTtlMs: 1000 * whole("AUTH_TOKEN_TTL", env.AUTH_TOKEN_TTL, { from: 1, to: 31_536_000, otherwise: 300 }),
    enableV2: oneOf("ENABLE_V2", env.ENABLE_V2, ["true", "false"]) !== "false",
    corsOrigins: listOf(env.CORS ?? "*"),
  };
}

const orNull = (text: string | undefined): string | null => (text === undefined || text === "" ? null : text);

const listOf = (text: string): string[] =>
  text
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "");

function suffixOf(text: string | undefined): string | null {
  const suffix = orNull(text)?.toLowerCase() ?? null;
  return suffix === null || suffix.startsWith(".") ? suffix : `.${suffix}`;
}

function oneOf(name: string, text: string | undefined, known: readonly string[]): string | null {
  const value = orNull(text);
  if (value !== null && !known.includes(value))
    throw new SettingError(`${name} is ${JSON.stringify(value)}; wanted: one of ${known.join(", ")}`);
  return value;
}

function whole(name: string, text: string | undefined, { from, to, otherwise }: { from: number; to: number; otherwise: number }): number {
  const value = orNull(text);
  if (value === null) return otherwise;
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= from && number <= to) return number;
  throw new SettingError(`${name} is ${JSON.stringify(value)}; wanted: a whole number from ${from} to ${to}`);
}
