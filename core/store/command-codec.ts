/**
 * Commands as they stand in the log: one version byte, then a MessagePack array [kind, time, fields in a fixed order]. Numbers for
 * names, nil for what is absent, so that a put costs a dozen bytes beside its key and value. Every byte: docs/formats/command.md.
 *
 * A member must understand every version that it may find in its log or hear from a neighbouring release: fields are only ever added
 * under a new version, and kinds are never given a new meaning.
 */
import { type Bytes, ascii } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { MsgpackReader, MsgpackWriter, errMalformed } from "../bytes/msgpack.ts";
import { QuorateError } from "../errors.ts";
import { unreachable } from "../invariant.ts";
import {
  type Alarm,
  type AppendRequest,
  type Command,
  type CommandBody,
  type Compare,
  type DeleteRequest,
  type LeaseId,
  NO_LEASE,
  type Operation,
  type PutRequest,
  type RangeRequest,
  type TxnRequest,
} from "./command.ts";
import type { AuthChange } from "./auth/auth-change.ts";
import type { V2Command } from "./v2-tree/v2-command.ts";

export const COMMAND_VERSION = 1;
/** With a session: its client and sequence stand before the fields. */
const SESSION_VERSION = 2;
/** With a user: client and sequence (nil and 0: no session), name and revision stand before the fields. */
const AUTH_VERSION = 3;
/** With content types: as the one before, the name nil and the revision 0 for no user; puts and appends have one more field at their end. */
const TYPED_VERSION = 4;
const EXTRA_FIELDS: Readonly<Record<number, number>> = {
  [COMMAND_VERSION]: 0,
  [SESSION_VERSION]: 2,
  [AUTH_VERSION]: 4,
  [TYPED_VERSION]: 4,
};

/** Transactions within transactions, at most: deeper ones are refused when read. */
const DEPTH_MAX = 128;

/** Positions in these lists are the numbers in the log: append only. */
const KINDS = [
  "put",
  "append",
  "delete",
  "txn",
  "compact",
  "leaseGrant",
  "leaseRevoke",
  "leaseCheckpoint",
  "alarm",
  "v2",
  "hashMark",
  "hashVerify",
  "auth",
] as const;
const OPERATIONS = ["range", "put", "append", "delete", "txn"] as const;
const SORT_TARGETS = ["key", "version", "create", "mod", "value"] as const;
const SORT_ORDERS = ["none", "ascend", "descend"] as const;
const COMPARE_TARGETS = ["version", "create", "mod", "value", "lease"] as const;
const COMPARE_OPERATORS = ["equal", "greater", "less", "notEqual"] as const;
const ALARMS = ["nospace", "corrupt"] as const;
const V2_METHODS = ["put", "post", "delete"] as const;

const PREV_KV = 1;
const IGNORE_VALUE = 2;
const IGNORE_LEASE = 4;
const KEYS_ONLY = 1;
const COUNT_ONLY = 2;
const DIR = 1;
const RECURSIVE = 2;
const REFRESH = 4;

/** A log entry or message of a release that this one does not know. */
export function errUnknownCommand(what: string): QuorateError {
  return new QuorateError("unimplemented", "unknownCommand", `${what}: written by a newer release`);
}

function nameOf<T extends string>(names: readonly T[], number: number, what: string): T {
  const name = names[number];
  if (name === undefined) throw errUnknownCommand(`${what} ${number}`);
  return name;
}

// ---- writing

/** @returns fresh bytes for the caller to keep, in the oldest version that has room for what the command says */
export function encodeCommand(command: Command): Uint8Array {
  const writer = new MsgpackWriter(sizeGuess(command));
  const { session, auth } = command;
  const typed = hasContentType(command);
  const version = typed ? TYPED_VERSION : auth !== undefined ? AUTH_VERSION : session !== undefined ? SESSION_VERSION : COMMAND_VERSION;
  writer.byte(version);
  writer.array(2 + EXTRA_FIELDS[version]! + fieldCount(command, typed));
  writer.number(KINDS.indexOf(command.kind));
  writer.number(command.time);
  if (session !== undefined) {
    writer.bytes(ascii(session.client));
    writer.number(session.sequence);
  } else if (typed || auth !== undefined) {
    writer.nil();
    writer.number(0);
  }
  if (auth !== undefined) {
    writer.bytes(utf8Encode(auth.user));
    writer.number(auth.revision);
  } else if (typed) {
    writer.nil();
    writer.number(0);
  }
  writeBody(writer, command, typed);
  return writer.finish();
}

const OVERHEAD_GUESS = 48;

function sizeGuess(command: CommandBody): number {
  if (command.kind === "put") return OVERHEAD_GUESS + command.key.length + command.value.length;
  if (command.kind === "v2") return OVERHEAD_GUESS + command.path.length + command.value.length;
  return 256;
}

function hasContentType(command: CommandBody): boolean {
  if (command.kind === "put" || command.kind === "append") return command.contentType !== undefined;
  return command.kind === "txn" && txnHasContentType(command);
}

function txnHasContentType({ success, failure }: TxnRequest): boolean {
  return success.some(operationHasContentType) || failure.some(operationHasContentType);
}

function operationHasContentType(operation: Operation): boolean {
  if (operation.op === "put" || operation.op === "append") return operation.contentType !== undefined;
  return operation.op === "txn" && txnHasContentType(operation);
}

/** Fields after kind and time, as written by `writeBody`. */
function fieldCount(command: CommandBody, typed: boolean): number {
  switch (command.kind) {
    case "put":
    case "append":
      return typed ? 5 : 4;
    case "delete":
    case "txn":
    case "alarm":
    case "hashVerify":
      return 3;
    case "compact":
    case "hashMark":
    case "auth":
      return 1;
    case "leaseGrant":
    case "leaseRevoke":
    case "leaseCheckpoint":
      return 2;
    case "v2":
      return 8;
  }
}

function writeBody(writer: MsgpackWriter, command: CommandBody, typed: boolean): void {
  switch (command.kind) {
    case "put":
      return writePut(writer, command, typed);
    case "append":
      return writeAppend(writer, command, typed);
    case "delete":
      return writeDelete(writer, command);
    case "txn":
      return writeTxn(writer, command, typed);
    case "compact":
      return writer.number(command.revision);
    case "leaseGrant":
      writeLease(writer, command.id);
      return writer.number(command.ttlSeconds);
    case "leaseRevoke":
      writeLease(writer, command.id);
      return writer.number(command.term);
    case "leaseCheckpoint":
      writer.array(command.remainingMs.length * 2);
      for (const [id, ms] of command.remainingMs) {
        writeLease(writer, id);
        writer.number(ms);
      }
      return writer.number(command.term);
    case "alarm":
      writer.boolean(command.action === "activate");
      writer.number(ALARMS.indexOf(command.alarm.alarm));
      return writer.bytes(ascii(command.alarm.memberId));
    case "v2":
      return writeV2(writer, command);
    case "auth":
      return writer.bytes(utf8Encode(JSON.stringify(command.change)));
    case "hashMark":
      return writer.number(command.term);
    case "hashVerify":
      writer.number(command.index);
      writer.number(command.hash);
      return writer.number(command.term);
    default:
      return unreachable(command);
  }
}

function writeLease(writer: MsgpackWriter, lease: LeaseId): void {
  if (lease === NO_LEASE) writer.nil();
  else writer.bytes(ascii(lease));
}

function writeContentType(writer: MsgpackWriter, contentType: Bytes | undefined): void {
  if (contentType === undefined) writer.nil();
  else writer.bytes(contentType);
}

function writePut(writer: MsgpackWriter, put: PutRequest, typed: boolean): void {
  writer.bytes(put.key);
  writer.bytes(put.value);
  writeLease(writer, put.lease);
  writer.number((put.prevKv ? PREV_KV : 0) | (put.ignoreValue ? IGNORE_VALUE : 0) | (put.ignoreLease ? IGNORE_LEASE : 0));
  if (typed) writeContentType(writer, put.contentType);
}

function writeAppend(writer: MsgpackWriter, append: AppendRequest, typed: boolean): void {
  writer.bytes(append.prefix);
  writer.bytes(append.suffix);
  writer.bytes(append.value);
  writeLease(writer, append.lease);
  if (typed) writeContentType(writer, append.contentType);
}

function writeDelete(writer: MsgpackWriter, request: DeleteRequest): void {
  writer.bytes(request.key);
  writer.bytes(request.end);
  writer.boolean(request.prevKv);
}

function writeRange(writer: MsgpackWriter, range: RangeRequest): void {
  writer.bytes(range.key);
  writer.bytes(range.end);
  writer.number(range.revision);
  writer.number(range.limit);
  writer.number(SORT_TARGETS.indexOf(range.sortTarget));
  writer.number(SORT_ORDERS.indexOf(range.sortOrder));
  writer.number((range.keysOnly ? KEYS_ONLY : 0) | (range.countOnly ? COUNT_ONLY : 0));
  writer.number(range.minModRevision);
  writer.number(range.maxModRevision);
  writer.number(range.minCreateRevision);
  writer.number(range.maxCreateRevision);
}

function writeTxn(writer: MsgpackWriter, txn: TxnRequest, typed: boolean): void {
  writer.array(txn.compare.length);
  for (const compare of txn.compare) writeCompare(writer, compare);
  writer.array(txn.success.length);
  for (const operation of txn.success) writeOperation(writer, operation, typed);
  writer.array(txn.failure.length);
  for (const operation of txn.failure) writeOperation(writer, operation, typed);
}

function writeCompare(writer: MsgpackWriter, compare: Compare): void {
  writer.array(5);
  writer.bytes(compare.key);
  writer.bytes(compare.end);
  if (compare.target === null) writer.nil();
  else writer.number(COMPARE_TARGETS.indexOf(compare.target));
  if (compare.operator === null) writer.nil();
  else writer.number(COMPARE_OPERATORS.indexOf(compare.operator));
  if (typeof compare.value === "number") writer.number(compare.value);
  else writer.bytes(compare.value);
}

const OPERATION_FIELDS = { range: 11, put: 4, append: 4, delete: 3, txn: 3 } as const;

function operationFields(op: Operation["op"], typed: boolean): number {
  return OPERATION_FIELDS[op] + (typed && (op === "put" || op === "append") ? 1 : 0);
}

function writeOperation(writer: MsgpackWriter, operation: Operation, typed: boolean): void {
  writer.array(1 + operationFields(operation.op, typed));
  writer.number(OPERATIONS.indexOf(operation.op));
  switch (operation.op) {
    case "range":
      return writeRange(writer, operation);
    case "put":
      return writePut(writer, operation, typed);
    case "append":
      return writeAppend(writer, operation, typed);
    case "delete":
      return writeDelete(writer, operation);
    case "txn":
      return writeTxn(writer, operation, typed);
  }
}

function writeV2(writer: MsgpackWriter, command: V2Command): void {
  writer.number(V2_METHODS.indexOf(command.method));
  writer.bytes(command.path);
  writer.bytes(command.value);
  writer.number((command.dir ? DIR : 0) | (command.recursive ? RECURSIVE : 0) | (command.refresh ? REFRESH : 0));
  if (command.ttlSeconds === null) writer.nil();
  else writer.number(command.ttlSeconds);
  if (command.prevValue === null) writer.nil();
  else writer.bytes(command.prevValue);
  if (command.prevIndex === null) writer.nil();
  else writer.number(command.prevIndex);
  if (command.prevExist === null) writer.nil();
  else writer.boolean(command.prevExist);
}

// ---- reading

/** @throws QuorateError `unknownCommand` for a version or kind of a newer release, `malformed` for what is no command at all */
export function decodeCommand(data: Uint8Array): Command {
  const reader = new MsgpackReader(data);
  const version = reader.byte();
  const extra = EXTRA_FIELDS[version];
  if (extra === undefined) throw errUnknownCommand(`command version ${version}`);
  const fields = reader.array();
  const kind = nameOf(KINDS, reader.number(), "command kind");
  const time = reader.number();
  const client = extra === 0 || reader.isNil() ? null : (reader.bytes() as string);
  const sequence = extra === 0 ? 0 : reader.number();
  const session = client === null ? {} : { session: { client, sequence } };
  const auth = version >= AUTH_VERSION ? readAuth(reader) : {};
  const typed = version === TYPED_VERSION;
  const body = readBody(reader, kind, typed);
  if (fields !== 2 + extra + fieldCount(body, typed)) throw errMalformed(`a command ${kind} of ${fields} fields`);
  if (!reader.atEnd) throw errMalformed(`more after the command, from byte ${reader.position}`);
  return extra === 0 ? { ...body, time } : { ...body, time, ...session, ...auth };
}

function readAuth(reader: MsgpackReader): Pick<Command, "auth"> {
  const user = reader.isNil() ? null : utf8Decode(reader.bytes());
  const revision = reader.number();
  return user === null ? {} : { auth: { user, revision } };
}

function readBody(reader: MsgpackReader, kind: CommandBody["kind"], typed: boolean): CommandBody {
  switch (kind) {
    case "put":
      return { kind, ...readPut(reader, typed) };
    case "append":
      return { kind, ...readAppend(reader, typed) };
    case "delete":
      return { kind, ...readDelete(reader) };
    case "txn":
      return { kind, ...readTxn(reader, 0, typed) };
    case "compact":
      return { kind, revision: reader.number() };
    case "leaseGrant":
      return { kind, id: readLease(reader), ttlSeconds: reader.number() };
    case "leaseRevoke":
      return { kind, id: readLease(reader), term: reader.number() };
    case "leaseCheckpoint": {
      const remainingMs: [LeaseId, number][] = [];
      for (let left = reader.array(); left > 0; left -= 2) remainingMs.push([readLease(reader), reader.number()]);
      return { kind, remainingMs, term: reader.number() };
    }
    case "alarm":
      return { kind, action: reader.boolean() ? "activate" : "deactivate", alarm: readAlarm(reader) };
    case "v2":
      return { kind, ...readV2(reader) };
    case "auth":
      return { kind, change: readChange(utf8Decode(reader.bytes())) };
    case "hashMark":
      return { kind, term: reader.number() };
    case "hashVerify":
      return { kind, index: reader.number(), hash: reader.number(), term: reader.number() };
  }
}

function readChange(text: string): AuthChange {
  try {
    return JSON.parse(text) as AuthChange;
  } catch {
    throw errMalformed("a change of users and roles that is no JSON");
  }
}

function readAlarm(reader: MsgpackReader): Alarm {
  const alarm = nameOf(ALARMS, reader.number(), "alarm");
  return { alarm, memberId: reader.bytes() };
}

function readLease(reader: MsgpackReader): LeaseId {
  return reader.isNil() ? NO_LEASE : reader.bytes();
}

function readContentType(reader: MsgpackReader): { readonly contentType?: Bytes } {
  return reader.isNil() ? {} : { contentType: reader.bytes() };
}

function readPut(reader: MsgpackReader, typed: boolean): PutRequest {
  const key = reader.bytes();
  const value = reader.bytes();
  const lease = readLease(reader);
  const flags = reader.number();
  const put = {
    key,
    value,
    lease,
    prevKv: (flags & PREV_KV) !== 0,
    ignoreValue: (flags & IGNORE_VALUE) !== 0,
    ignoreLease: (flags & IGNORE_LEASE) !== 0,
  };
  return typed ? { ...put, ...readContentType(reader) } : put;
}

function readAppend(reader: MsgpackReader, typed: boolean): AppendRequest {
  const append = { prefix: reader.bytes(), suffix: reader.bytes(), value: reader.bytes(), lease: readLease(reader) };
  return typed ? { ...append, ...readContentType(reader) } : append;
}

function readDelete(reader: MsgpackReader): DeleteRequest {
  return { key: reader.bytes(), end: reader.bytes(), prevKv: reader.boolean() };
}

function readRange(reader: MsgpackReader): RangeRequest {
  const key = reader.bytes();
  const end = reader.bytes();
  const revision = reader.number();
  const limit = reader.number();
  const sortTarget = nameOf(SORT_TARGETS, reader.number(), "sort target");
  const sortOrder = nameOf(SORT_ORDERS, reader.number(), "sort order");
  const flags = reader.number();
  return {
    key,
    end,
    revision,
    limit,
    sortTarget,
    sortOrder,
    keysOnly: (flags & KEYS_ONLY) !== 0,
    countOnly: (flags & COUNT_ONLY) !== 0,
    minModRevision: reader.number(),
    maxModRevision: reader.number(),
    minCreateRevision: reader.number(),
    maxCreateRevision: reader.number(),
  };
}

function readTxn(reader: MsgpackReader, depth: number, typed: boolean): TxnRequest {
  if (depth > DEPTH_MAX) throw errMalformed(`transactions nested deeper than ${DEPTH_MAX}`);
  const compare: Compare[] = [];
  for (let left = reader.array(); left > 0; left--) compare.push(readCompare(reader));
  const success: Operation[] = [];
  for (let left = reader.array(); left > 0; left--) success.push(readOperation(reader, depth, typed));
  const failure: Operation[] = [];
  for (let left = reader.array(); left > 0; left--) failure.push(readOperation(reader, depth, typed));
  return { compare, success, failure };
}

function readCompare(reader: MsgpackReader): Compare {
  if (reader.array() !== 5) throw errMalformed("a compare has five fields");
  const key = reader.bytes();
  const end = reader.bytes();
  const target = reader.isNil() ? null : nameOf(COMPARE_TARGETS, reader.number(), "compare target");
  const operator = reader.isNil() ? null : nameOf(COMPARE_OPERATORS, reader.number(), "compare operator");
  const value: Bytes | number = reader.nextIsBytes() ? reader.bytes() : reader.number();
  return { key, end, target, operator, value };
}

function readOperation(reader: MsgpackReader, depth: number, typed: boolean): Operation {
  const fields = reader.array();
  const op = nameOf(OPERATIONS, reader.number(), "operation");
  if (fields !== 1 + operationFields(op, typed)) throw errMalformed(`an operation ${op} of ${fields} fields`);
  switch (op) {
    case "range":
      return { op, ...readRange(reader) };
    case "put":
      return { op, ...readPut(reader, typed) };
    case "append":
      return { op, ...readAppend(reader, typed) };
    case "delete":
      return { op, ...readDelete(reader) };
    case "txn":
      return { op, ...readTxn(reader, depth + 1, typed) };
  }
}

function readV2(reader: MsgpackReader): V2Command {
  const method = nameOf(V2_METHODS, reader.number(), "v2 method");
  const path = reader.bytes();
  const value = reader.bytes();
  const flags = reader.number();
  return {
    method,
    path,
    value,
    dir: (flags & DIR) !== 0,
    recursive: (flags & RECURSIVE) !== 0,
    refresh: (flags & REFRESH) !== 0,
    ttlSeconds: reader.isNil() ? null : reader.number(),
    prevValue: reader.isNil() ? null : reader.bytes(),
    prevIndex: reader.isNil() ? null : reader.number(),
    prevExist: reader.isNil() ? null : reader.boolean(),
  };
}
