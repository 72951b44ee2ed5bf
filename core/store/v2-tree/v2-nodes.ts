/**
 * Reading nodes out of the keyspace (architecture: one keyspace, three views).
 *
 * A directory is there when its marker is, or when any key of the tree lies below it: keys written through v3 imply their directories.
 * An implied directory takes its indexes from the first key below it. A directory never changes in place, so that its modified index
 * is its created one, whatever was done to its marker since (etcd's rule: updating a directory keeps its modifiedIndex).
 *
 * A path can be both a value and a directory when v3 wrote `/a` and `/a/b`. Then the tree shows the directory: one value is out of
 * sight rather than everything below it. Deleting the directory deletes that value too.
 *
 * Listing one level steps over each subdirectory by a seek; nothing below is read.
 */
import { type Bytes, prefixEnd, successor } from "../../bytes/bytes.ts";
import { type KeyValue, NO_LEASE } from "../command.ts";
import type { LeaseTable } from "../state-storage-port.ts";
import type { VersionStore } from "../version-store-port.ts";
import type { QuorateError } from "../../errors.ts";
import type { V2Node } from "./v2-command.ts";
import { errV2KeyNotFound, errV2NotDirectory } from "./v2-errors.ts";
import { IN_TREE_BYTES_MAX, ROOT, afterFaulty, ancestors, directoryKey } from "./v2-path.ts";

/** Where nodes are read from. */
export interface NodeSource {
  readonly store: VersionStore;
  readonly leases: LeaseTable;
}

const ROOT_NODE: V2Node = { path: ROOT, value: null, createdIndex: 0, modifiedIndex: 0, expiresAt: null };
const SLASH = 0x2f;
const UNDERSCORE = 0x5f;

/** The end of a v2 TTL that `kv` carries for the node at `path`; null for none, and for a lease that v3 attached. */
export function expiryOf(source: NodeSource, kv: KeyValue, path: Bytes): number | null {
  if (kv.lease === NO_LEASE) return null;
  const expiry = source.leases.get(kv.lease)?.v2;
  return expiry && expiry.path === path ? expiry.expiresAt : null;
}

function fileNode(source: NodeSource, kv: KeyValue): V2Node {
  return {
    path: kv.key,
    value: kv.value,
    createdIndex: kv.createRevision,
    modifiedIndex: kv.modRevision,
    expiresAt: expiryOf(source, kv, kv.key),
  };
}

/** @param evidence the marker, or the first key below an implied directory */
function directoryNode(source: NodeSource, path: Bytes, evidence: KeyValue): V2Node {
  const marked = evidence.key.length === path.length + 1;
  return {
    path,
    value: null,
    createdIndex: evidence.createRevision,
    modifiedIndex: evidence.createRevision,
    expiresAt: marked ? expiryOf(source, evidence, path) : null,
  };
}

function firstOf(store: VersionStore, key: Bytes, end: Bytes): KeyValue | undefined {
  for (const kv of store.scan({ key, end })) return kv;
  return undefined;
}

/** The first key of the tree in [from, end): what is not in the tree is stepped over. */
function firstInTree(store: VersionStore, from: Bytes, end: Bytes): KeyValue | undefined {
  for (let at = from; ;) {
    const kv = firstOf(store, at, end);
    if (kv === undefined) return undefined;
    const next = afterFaulty(kv.key);
    if (next === undefined) return kv;
    at = next;
  }
}

/** What makes the node at `path` a directory: its marker, or else the first key below it. Not for the root. */
export function directoryEvidence(source: NodeSource, path: Bytes): KeyValue | undefined {
  const prefix = directoryKey(path);
  return firstInTree(source.store, prefix, prefixEnd(prefix));
}

/**
 * The node at a clean path. The root is always there.
 *
 * Usually one seek tells: the key of a file comes first, and what follows it is nothing of its own. Only when keys such as `/a-b` lie
 * between `/a` and `/a/` does the directory need a seek of its own.
 */
export function findNode(source: NodeSource, path: Bytes): V2Node | undefined {
  if (path === ROOT) return ROOT_NODE;
  let own: KeyValue | undefined;
  let evidence: KeyValue | undefined;
  for (const kv of source.store.scan({ key: path, end: (path + "0") as Bytes })) {
    if (kv.key === path) {
      own = kv;
      continue;
    }
    const below = kv.key.charCodeAt(path.length) === SLASH && afterFaulty(kv.key) === undefined;
    evidence = below ? kv : directoryEvidence(source, path);
    break;
  }
  if (evidence !== undefined) return directoryNode(source, path, evidence);
  return own === undefined ? undefined : fileNode(source, own);
}

/** Why there is no node at `path`: the first directory above it that is a file or missing, or else the node itself. */
export function whyNotFound(source: NodeSource, path: Bytes): QuorateError {
  const index = source.store.revision;
  for (const above of ancestors(path)) {
    const node = findNode(source, above);
    if (node === undefined) return errV2KeyNotFound(above, index);
    if (node.value !== null) return errV2NotDirectory(above, index);
  }
  return errV2KeyNotFound(path, index);
}

/** True when something lies below the directory, hidden nodes included. */
export function hasChildren(source: NodeSource, path: Bytes): boolean {
  const prefix = directoryKey(path);
  return firstInTree(source.store, successor(prefix), prefixEnd(prefix)) !== undefined;
}

/** Keys of the tree at and below a node: its value, its marker, and all below, in byte order. A fresh array. */
export function keysOfSubtree(source: NodeSource, path: Bytes): KeyValue[] {
  const found: KeyValue[] = [];
  const own = source.store.get(path);
  if (own !== undefined) found.push(own);
  const prefix = directoryKey(path);
  const end = prefixEnd(prefix);
  for (let at: Bytes | undefined = prefix; at !== undefined;) {
    let next: Bytes | undefined;
    for (const kv of source.store.scan({ key: at, end })) {
      next = afterFaulty(kv.key);
      if (next !== undefined) break;
      found.push(kv);
    }
    at = next;
  }
  return found;
}

/**
 * Direct children of a directory in byte order of their names.
 * @param hidden whether those whose name begins with an underscore are wanted
 */
export function listChildren(source: NodeSource, path: Bytes, hidden: boolean): V2Node[] {
  const prefix = directoryKey(path);
  const end = prefixEnd(prefix);
  const files: V2Node[] = [];
  const directories: V2Node[] = [];
  const shown = (name: string) => name !== "" && name !== "." && name !== ".." && (hidden || name.charCodeAt(0) !== UNDERSCORE);
  for (let at: Bytes | undefined = successor(prefix); at !== undefined;) {
    let next: Bytes | undefined;
    for (const kv of source.store.scan({ key: at, end })) {
      const slash = kv.key.indexOf("/", prefix.length);
      const name = slash < 0 ? kv.key.slice(prefix.length) : kv.key.slice(prefix.length, slash);
      if (slash < 0) {
        if (shown(name) && kv.key.length <= IN_TREE_BYTES_MAX) files.push(fileNode(source, kv));
        continue;
      }
      next = prefixEnd(kv.key.slice(0, slash + 1) as Bytes);
      if (shown(name)) {
        const child = kv.key.slice(0, slash) as Bytes;
        const evidence = kv.key.length === slash + 1 ? kv : directoryEvidence(source, child);
        if (evidence !== undefined) directories.push(directoryNode(source, child, evidence));
      }
      break;
    }
    at = next;
  }
  if (directories.length === 0) return files;
  // "/a-b/" sorts before "/a/", so that directories need not come in the order of their names.
  directories.sort((a, b) => (a.path < b.path ? -1 : 1));
  return merged(files, directories);
}

/** Two ascending lists as one; where both have a path, the directory is shown. */
function merged(files: readonly V2Node[], directories: readonly V2Node[]): V2Node[] {
  const all: V2Node[] = [];
  let at = 0;
  for (const directory of directories) {
    for (let file = files[at]; file !== undefined && file.path < directory.path; file = files[++at]) all.push(file);
    if (files[at]?.path === directory.path) at++;
    all.push(directory);
  }
  for (; at < files.length; at++) all.push(files[at]!);
  return all;
}
