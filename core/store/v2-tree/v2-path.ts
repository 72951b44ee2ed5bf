/**
 * Paths of the v2 tree and the keys that carry them. Node `/a/b` is key `/a/b`; a directory is the marker key `/a/b/`.
 *
 * A key is in the tree when it is an absolute path in its shortest form, with at most one slash at its end (a marker): `/a//b`,
 * `/a/../b`, `a` and `/` are not, nor are very long keys. Keys that are not in the tree come in groups that share a faulty beginning, so that a reader can
 * step over a whole group by one seek.
 */
import { type Bytes, prefixEnd, successor } from "../../bytes/bytes.ts";

/**
 * Longer keys are not in the tree. A path of v2 comes in a request line and is shorter; the bound keeps what v3 may write (keys of a
 * megabyte, all slashes) from becoming hundreds of thousands of levels.
 */
export const IN_TREE_BYTES_MAX = 16 * 1024;

export const ROOT = "/" as Bytes;
const SLASH = 0x2f;
const DOT = 0x2e;

/** The marker key of a directory, which is also the prefix of all keys below it; `/` for the root. */
export function directoryKey(path: Bytes): Bytes {
  return path === ROOT ? ROOT : ((path + "/") as Bytes);
}

/** The node that a key of the tree belongs to. */
export function pathOfKey(key: Bytes): Bytes {
  return isMarker(key) && key.length > 1 ? (key.slice(0, -1) as Bytes) : key;
}

/** True for the marker of a directory. */
export function isMarker(key: Bytes): boolean {
  return key.charCodeAt(key.length - 1) === SLASH;
}

/** The directory that holds a node; the root for the root. */
export function parentPath(path: Bytes): Bytes {
  const slash = path.lastIndexOf("/");
  return slash <= 0 ? ROOT : (path.slice(0, slash) as Bytes);
}

/** Every directory above a node but the root, outermost first: `/a`, `/a/b` for `/a/b/c`. */
export function ancestors(path: Bytes): Bytes[] {
  const found: Bytes[] = [];
  for (let slash = path.indexOf("/", 1); slash > 0; slash = path.indexOf("/", slash + 1)) found.push(path.slice(0, slash) as Bytes);
  return found;
}

/** True when `path` lies below `directory`. */
export function isBelow(path: Bytes, directory: Bytes): boolean {
  if (directory === ROOT) return path !== ROOT;
  return path.length > directory.length && path.charCodeAt(directory.length) === SLASH && path.startsWith(directory);
}

/** True when a component of `path` after `from` (a node above it, or the same) begins with an underscore. */
export function isHiddenBelow(path: Bytes, from: Bytes): boolean {
  return from.length <= path.length && path.indexOf("/_", from === ROOT ? 0 : from.length) >= 0;
}

function isDots(key: Bytes, start: number, end: number): boolean {
  const length = end - start;
  return (length === 1 || (length === 2 && key.charCodeAt(start + 1) === DOT)) && key.charCodeAt(start) === DOT;
}

/**
 * Where to go on after a key that is not in the tree.
 * @returns undefined when the key is in the tree; otherwise the first key after the group of faulty keys that this one belongs to
 */
export function afterFaulty(key: Bytes): Bytes | undefined {
  if (key.length < 2 || key.length > IN_TREE_BYTES_MAX || key.charCodeAt(0) !== SLASH) return successor(key);
  for (let start = 1; start < key.length;) {
    const slash = key.indexOf("/", start);
    const end = slash < 0 ? key.length : slash;
    if (end === start) return prefixEnd(key.slice(0, end + 1) as Bytes);
    if (isDots(key, start, end)) return slash < 0 ? successor(key) : prefixEnd(key.slice(0, end + 1) as Bytes);
    start = end + 1;
  }
  return undefined;
}
