/** The fields of a request to `/v2/keys`, checked in etcd's order: which fault is reported first is part of the API. */
import { type Bytes, EMPTY, ascii } from "../../bytes/bytes.ts";
import type { V2Command } from "../../store/v2-tree/v2-command.ts";
import { type Fields, parseForm } from "./form.ts";
import { parseBool, parseUint } from "./go-values.ts";
import { FIELD_ROWS, type FieldFault } from "./replies.ts";

/** The end of a signed 64-bit count of nanoseconds since 1970: later ends of TTLs wrap around in etcd. */
const LAST_SECOND = 9_223_372_036;

/** An end before 2000 (milliseconds since 1970) counts as none, as in etcd. */
const FIRST_EXPIRY_MS = 946_684_800_000;

export interface KeyRequest {
  readonly path: Bytes;
  readonly value: Bytes;
  readonly dir: boolean;
  readonly recursive: boolean;
  readonly quorum: boolean;
  readonly wait: boolean;
  readonly waitIndex: number;
  readonly stream: boolean;
  readonly prevValue: Bytes;
  readonly prevIndex: number;
  readonly prevExist: boolean | null;
  readonly refresh: boolean;
  readonly ttlSeconds: number | null;
  readonly noValueOnSuccess: boolean;
}

export type Checked = { readonly ok: true; readonly request: KeyRequest } | { readonly ok: false; readonly fault: FieldFault };

/** What a request without any field asks for. */
const NO_FIELDS: Omit<KeyRequest, "path"> = {
  value: EMPTY,
  dir: false,
  recursive: false,
  quorum: false,
  wait: false,
  waitIndex: 0,
  stream: false,
  prevValue: EMPTY,
  prevIndex: 0,
  prevExist: null,
  refresh: false,
  ttlSeconds: null,
  noValueOnSuccess: false,
};

/** Ends the check at the first fault; never leaves this file. */
class Fault extends Error {
  readonly fault: FieldFault;
  constructor(row: FieldFault["row"], cause: string) {
    super(cause);
    this.fault = { row, cause: ascii(cause) };
  }
}

function uint(text: Bytes | undefined, name: string): number {
  if (text === undefined) return 0;
  const number = parseUint(text);
  if (number === undefined) throw new Fault(FIELD_ROWS.indexNotNumber, `invalid value for "${name}"`);
  return number;
}

function bool(text: Bytes | undefined, cause: string): boolean {
  if (text === undefined) return false;
  const flag = parseBool(text);
  if (flag === undefined) throw new Fault(FIELD_ROWS.invalidField, cause);
  return flag;
}

const flag = (fields: Fields, name: keyof Fields) => bool(fields[name], `invalid value for "${name}"`);

/**
 * @param path the node asked for, clean
 * @param now milliseconds since 1970; only TTLs of centuries depend on it
 */
export function checkKeyRequest(
  path: Bytes,
  sent: { readonly method: string; readonly query: string; readonly contentType: string | undefined; readonly body: Bytes },
  now: number,
): Checked {
  if (sent.method === "GET" && sent.query === "") return { ok: true, request: { path, ...NO_FIELDS } };
  const { fields, fault } = parseForm(sent.method, sent.query, sent.contentType, sent.body);
  if (fault !== null) return { ok: false, fault: { row: FIELD_ROWS.invalidForm, cause: fault } };
  try {
    return { ok: true, request: check(path, sent.method, fields, now) };
  } catch (error) {
    if (error instanceof Fault) return { ok: false, fault: error.fault };
    throw error;
  }
}

function check(path: Bytes, method: string, fields: Fields, now: number): KeyRequest {
  const prevIndex = uint(fields.prevIndex, "prevIndex");
  const waitIndex = uint(fields.waitIndex, "waitIndex");
  const recursive = flag(fields, "recursive");
  flag(fields, "sorted"); // listings are always sorted
  const wait = flag(fields, "wait");
  const dir = flag(fields, "dir");
  const quorum = flag(fields, "quorum");
  const stream = flag(fields, "stream");
  if (wait && method !== "GET") throw new Fault(FIELD_ROWS.invalidField, '"wait" can only be used with GET requests');
  if (fields.prevValue === EMPTY) throw new Fault(FIELD_ROWS.prevValueRequired, '"prevValue" cannot be empty');
  const noValueOnSuccess = flag(fields, "noValueOnSuccess");
  const ttl = fields.ttl === undefined || fields.ttl === EMPTY ? null : fields.ttl;
  if (ttl !== null && parseUint(ttl) === undefined) throw new Fault(FIELD_ROWS.ttlNotNumber, 'invalid value for "ttl"');
  const prevExist = fields.prevExist === undefined ? null : bool(fields.prevExist, "invalid value for prevExist");
  const refresh = bool(fields.refresh, "invalid value for refresh");
  const value = fields.value ?? EMPTY;
  if (refresh && value !== EMPTY) throw new Fault(FIELD_ROWS.refreshValue, "A value was provided on a refresh");
  if (refresh && ttl === null) throw new Fault(FIELD_ROWS.refreshTtlRequired, "No TTL value set");
  const ttlSeconds = ttl === null ? null : secondsOfTtl(ttl, now);
  const prevValue = fields.prevValue ?? EMPTY;
  return {
    path,
    value,
    dir,
    recursive,
    quorum,
    wait,
    waitIndex,
    stream,
    prevValue,
    prevIndex,
    prevExist,
    refresh,
    ttlSeconds,
    noValueOnSuccess,
  };
}

/**
 * @returns null where the arithmetic of etcd, nanoseconds in 64 bits, ends up before 2000: then there is no TTL. (For a node that is
 * there already etcd skips that check, and ends it at once; here such a TTL is none in both cases.)
 */
function secondsOfTtl(text: Bytes, now: number): number | null {
  const seconds = Number(text);
  if (seconds + now / 1000 < LAST_SECOND) return seconds;
  const nanos = BigInt(now) * 1_000_000n + BigInt.asIntN(64, BigInt.asIntN(64, BigInt(text)) * 1_000_000_000n);
  const end = Number(BigInt.asIntN(64, nanos) / 1_000_000n);
  return end < FIRST_EXPIRY_MS ? null : Math.round((end - now) / 1000);
}

/** The write that a request asks for. */
export function commandOf(method: "put" | "post" | "delete", request: KeyRequest): { readonly kind: "v2" } & V2Command {
  const { path, dir, recursive, value, ttlSeconds, refresh, prevExist } = request;
  const prevValue = request.prevValue === EMPTY ? null : request.prevValue;
  const prevIndex = request.prevIndex === 0 ? null : request.prevIndex;
  return { kind: "v2", method, path, dir, recursive, value, ttlSeconds, refresh, prevValue, prevIndex, prevExist };
}
