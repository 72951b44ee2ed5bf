/**
 * Writes of the v2 keys API, applied to the one keyspace.
 *
 * Each function first decides, throwing with nothing written, and then writes one revision; the v2 index is the store's revision.
 * - A `set` over a file begins a new generation of its key, since it renews createdIndex; `update` and `compareAndSwap` write a new
 *   version. Updating a directory rewrites its marker and leaves its indexes alone.
 * - Missing parents get their markers in the same revision. Parents that v3 keys imply are there already.
 * - A TTL is a lease of kind v2 that belongs to one node. It goes with the node, silently, in the same revision; when its time is up
 *   the leader revokes it, and `expireV2` ends the node, a directory with everything below.
 *
 * Which refusal comes first is part of the API. Source: etcd's v2 API documentation, and etcd 3.4.23 asked with the same requests.
 */
import { type Bytes, EMPTY } from "../../bytes/bytes.ts";
import { type KeyValue, type LeaseId, NO_LEASE } from "../command.ts";
import type { Lease } from "../lease/lease-table.ts";
import type { V2Action, V2Command, V2Node, V2Note, V2Result } from "./v2-command.ts";
import type { V2Context } from "./v2-context.ts";
import {
  errV2CompareFailed,
  errV2DirectoryNotEmpty,
  errV2NodeExists,
  errV2NotDirectory,
  errV2NotFile,
  errV2RootReadOnly,
} from "./v2-errors.ts";
import { findNode, hasChildren, keysOfSubtree, whyNotFound } from "./v2-nodes.ts";
import { ROOT, ancestors, directoryKey, parentPath } from "./v2-path.ts";

/** Digits of an in-order key. */
const IN_ORDER_DIGITS = 20;

/**
 * Applies one write and commits it as one revision.
 * @param time the command's stamp, in milliseconds since 1970; TTLs count from it
 * @throws QuorateError of v2-errors.ts, with nothing written; leaseTtlTooLarge
 */
export function applyV2(command: V2Command, time: number, context: V2Context): V2Result {
  const conditional = (command.prevIndex ?? 0) > 0 || (command.prevValue ?? EMPTY) !== EMPTY;
  if (command.method === "delete") return conditional ? compareAndDelete(command, context) : remove(command, context);
  if (command.method === "post") return createInOrder(command, time, context);
  if (command.prevExist === false) return create(command.path, command, time, context);
  if (conditional) return compareAndSwap(command, time, context);
  return command.prevExist === null ? set(command, time, context) : update(command, time, context);
}

/**
 * The end of a v2 TTL: its node goes, a directory with everything below, as one revision with an `expire` event. Nothing is written
 * when the node no longer carries the lease. The lease itself is the caller's to remove.
 */
export function expireV2(lease: Lease, _time: number, context: V2Context): void {
  if (lease.v2 === null) return;
  const { path } = lease.v2;
  const { store } = context;
  const marker = store.get(directoryKey(path));
  if (marker !== undefined && marker.lease === lease.id) {
    const prev = findNode(context, path);
    if (prev !== undefined) removeAll(keysOfSubtree(context, path), "expire", prev, context, lease.id);
    return;
  }
  const own = store.get(path);
  if (own === undefined || own.lease !== lease.id) return;
  const { key, value, createRevision, modRevision } = own;
  const prev: V2Node = { path: key, value, createdIndex: createRevision, modifiedIndex: modRevision, expiresAt: lease.v2.expiresAt };
  removeAll([own], "expire", prev, context, lease.id);
}

// ---- the six writes

function set(command: V2Command, time: number, context: V2Context): V2Result {
  const { path } = command;
  const old = findNode(context, path);
  if (old === undefined && command.refresh) throw whyNotFound(context, path);
  refuseRoot(path, context);
  if (old !== undefined && old.value === null) throw errV2NotFile(path, context.store.revision);
  const missing = old === undefined ? missingParents(path, context) : [];
  const value = command.refresh && old !== undefined ? old.value! : command.value;
  const node = makeNode({ path, value, dir: command.dir, ttlSeconds: command.ttlSeconds, old: old ?? null, missing, time }, context);
  return commit("set", node, old ?? null, command.refresh, context);
}

function create(path: Bytes, command: V2Command, time: number, context: V2Context): V2Result {
  refuseRoot(path, context);
  const missing = missingParents(path, context);
  if (missing.length === 0 && findNode(context, path) !== undefined) throw errV2NodeExists(path, context.store.revision);
  const { dir, ttlSeconds } = command;
  const node = makeNode({ path, value: command.value, dir, ttlSeconds, old: null, missing, time }, context);
  return commit("create", node, null, false, context);
}

function createInOrder(command: V2Command, time: number, context: V2Context): V2Result {
  const name = String(context.store.openRevision).padStart(IN_ORDER_DIGITS, "0");
  return create((directoryKey(command.path) + name) as Bytes, command, time, context);
}

function update(command: V2Command, time: number, context: V2Context): V2Result {
  const { path } = command;
  refuseRoot(path, context);
  const old = findNode(context, path);
  if (old === undefined) throw whyNotFound(context, path);
  if (old.value === null && command.value !== EMPTY) throw errV2NotFile(path, context.store.revision);
  return rewrite("update", old, command, time, context);
}

function compareAndSwap(command: V2Command, time: number, context: V2Context): V2Result {
  const { path } = command;
  refuseRoot(path, context);
  const old = findNode(context, path);
  if (old === undefined) throw whyNotFound(context, path);
  compare(old, command, context);
  return rewrite("compareAndSwap", old, command, time, context);
}

function remove(command: V2Command, context: V2Context): V2Result {
  const { path } = command;
  refuseRoot(path, context);
  const old = findNode(context, path);
  if (old === undefined) throw whyNotFound(context, path);
  if (old.value === null) {
    if (!command.dir && !command.recursive) throw errV2NotFile(path, context.store.revision);
    if (!command.recursive && hasChildren(context, path)) throw errV2DirectoryNotEmpty(path, context.store.revision);
    return removeAll(keysOfSubtree(context, path), "delete", old, context, null);
  }
  return removeAll(ownKey(path, context), "delete", old, context, null);
}

function compareAndDelete(command: V2Command, context: V2Context): V2Result {
  const { path } = command;
  const old = findNode(context, path);
  if (old === undefined) throw whyNotFound(context, path);
  compare(old, command, context);
  return removeAll(ownKey(path, context), "compareAndDelete", old, context, null);
}

// ---- refusals

function refuseRoot(path: Bytes, context: V2Context): void {
  if (path === ROOT) throw errV2RootReadOnly(ROOT, context.store.revision);
}

/** Directories above `path` that are not there, outermost first. @throws QuorateError v2NotDirectory when one of them is a file */
function missingParents(path: Bytes, context: V2Context): Bytes[] {
  const parent = parentPath(path);
  // What has something below it is a directory, so that the nearest one answers for all above.
  if (parent === ROOT || context.store.get(directoryKey(parent)) !== undefined) return [];
  const missing: Bytes[] = [];
  for (const above of ancestors(path)) {
    const node = missing.length > 0 ? undefined : findNode(context, above);
    if (node === undefined) missing.push(above);
    else if (node.value !== null) throw errV2NotDirectory(above, context.store.revision);
  }
  return missing;
}

function compare(node: V2Node, command: V2Command, context: V2Context): void {
  const index = context.store.revision;
  if (node.value === null) throw errV2NotFile(node.path === ROOT ? EMPTY : node.path, index);
  const wantedIndex = command.prevIndex ?? 0;
  const wantedValue = command.prevValue ?? EMPTY;
  const failed: string[] = [];
  if (wantedValue !== EMPTY && wantedValue !== node.value) failed.push(`[${wantedValue} != ${node.value}]`);
  if (wantedIndex > 0 && wantedIndex !== node.modifiedIndex) failed.push(`[${wantedIndex} != ${node.modifiedIndex}]`);
  if (failed.length > 0) throw errV2CompareFailed(failed.join(" ") as Bytes, index);
}

// ---- writing

interface NewNode {
  readonly path: Bytes;
  readonly value: Bytes;
  readonly dir: boolean;
  readonly ttlSeconds: number | null;
  /** The file that is replaced. */
  readonly old: V2Node | null;
  readonly missing: readonly Bytes[];
  readonly time: number;
}

/** A node that begins with this revision. */
function makeNode(wanted: NewNode, context: V2Context): V2Node {
  const { path, dir, time } = wanted;
  const index = context.store.openRevision;
  const expiresAt = wanted.ttlSeconds === null ? null : time + wanted.ttlSeconds * 1000;
  const lease = grant(path, wanted.ttlSeconds, expiresAt, context);
  for (const parent of wanted.missing) context.put(directoryKey(parent), EMPTY, NO_LEASE);
  if (wanted.old !== null) deleteKey(path, context);
  context.put(dir ? directoryKey(path) : path, dir ? EMPTY : wanted.value, lease);
  return { path, value: dir ? null : wanted.value, createdIndex: index, modifiedIndex: index, expiresAt };
}

/** A new version of a node that stays the same node. */
function rewrite(action: V2Action, old: V2Node, command: V2Command, time: number, context: V2Context): V2Result {
  const { path } = old;
  const { ttlSeconds } = command;
  const expiresAt = ttlSeconds === null ? null : time + ttlSeconds * 1000;
  const value = old.value === null ? null : command.refresh ? old.value : command.value;
  const key = value === null ? directoryKey(path) : path;
  const before = context.store.get(key);
  const index = context.store.openRevision;
  context.put(key, value ?? EMPTY, grant(path, ttlSeconds, expiresAt, context));
  if (before !== undefined) dropLease(before, context);
  const node: V2Node = { path, value, createdIndex: old.createdIndex, modifiedIndex: index, expiresAt };
  return commit(action, node, old, command.refresh, context);
}

/** @param except a lease that the caller removes itself */
function removeAll(keys: readonly KeyValue[], action: V2Action, prev: V2Node, context: V2Context, except: LeaseId | null): V2Result {
  const index = context.store.openRevision;
  for (const kv of keys) {
    context.delete(kv.key);
    if (kv.lease !== except) dropLease(kv, context);
  }
  const node: V2Node = { path: prev.path, value: null, createdIndex: prev.createdIndex, modifiedIndex: index, expiresAt: null };
  return commit(action, node, prev, false, context);
}

function ownKey(path: Bytes, context: V2Context): KeyValue[] {
  const kv = context.store.get(path);
  return kv === undefined ? [] : [kv];
}

function deleteKey(key: Bytes, context: V2Context): void {
  const old = context.delete(key);
  if (old !== undefined) dropLease(old, context);
}

function grant(path: Bytes, ttlSeconds: number | null, expiresAt: number | null, context: V2Context): LeaseId {
  if (ttlSeconds === null || expiresAt === null) return NO_LEASE;
  const { store, leases } = context;
  return leases.grant(leases.unusedId(store.openRevision), ttlSeconds, { path, expiresAt }).id;
}

/** The TTL of a version that is no more. A lease of v3's stays, and so does one to which v3 has attached another key. */
function dropLease(kv: KeyValue, context: V2Context): void {
  if (kv.lease === NO_LEASE) return;
  const { leases } = context;
  if (leases.get(kv.lease)?.v2 && leases.keyCount(kv.lease) === 0) leases.remove(kv.lease);
}

function commit(action: V2Action, node: V2Node, prev: V2Node | null, silent: boolean, context: V2Context): V2Result {
  const note: V2Note = { action, path: node.path, silent, node, prev };
  context.commit(note);
  return { op: "v2", action, node, prev };
}
