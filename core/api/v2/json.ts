/**
 * Nodes and events as etcd's v2 JSON, byte for byte: the order of fields, what is left out when empty, and the escapes of Go's encoder
 * (`<`, `>`, `&`, U+2028 and U+2029 are escaped, broken UTF-8 becomes U+FFFD). Input and output are byte strings: nothing passes
 * through UTF-16.
 */
import { type Bytes, EMPTY } from "../../bytes/bytes.ts";
import { type V2Action, type V2Node, isRemoval } from "../../store/v2-tree/v2-command.ts";
import type { V2TreeView } from "../../store/v2-tree/v2-tree-view.ts";
import { ROOT } from "../../store/v2-tree/v2-path.ts";
import { formatTime } from "./go-values.ts";

// oxlint-disable-next-line no-control-regex -- control characters are what has to be found
const NEEDS_CARE = /["\\<>&\x00-\x1f\x80-\xff]/;

/** A JSON string literal, quotes included. */
export function jsonString(text: Bytes): string {
  return NEEDS_CARE.test(text) ? `"${escaped(text)}"` : `"${text}"`;
}

function escaped(text: Bytes): string {
  let out = "";
  let from = 0; // what lies in [from, at) is written as it is
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at);
    let width = 1;
    let replacement: string | undefined;
    if (code < 0x80) {
      replacement = asciiEscape(code);
    } else {
      width = utf8Width(text, at, code);
      if (width === 0) {
        width = 1;
        replacement = "\\ufffd";
      } else if (code === 0xe2 && text.charCodeAt(at + 1) === 0x80 && (text.charCodeAt(at + 2) | 1) === 0xa9) {
        replacement = text.charCodeAt(at + 2) === 0xa8 ? "\\u2028" : "\\u2029";
      }
    }
    if (replacement !== undefined) {
      out += text.slice(from, at) + replacement;
      from = at + width;
    }
    at += width;
  }
  return out + text.slice(from);
}

function asciiEscape(code: number): string | undefined {
  if (code === 0x22) return '\\"';
  if (code === 0x5c) return "\\\\";
  if (code === 0x0a) return "\\n";
  if (code === 0x0d) return "\\r";
  if (code === 0x09) return "\\t";
  if (code < 0x20 || code === 0x3c || code === 0x3e || code === 0x26) return "\\u00" + code.toString(16).padStart(2, "0");
  return undefined;
}

/** Bytes of the UTF-8 sequence at `at`, 0 when it is broken (RFC 3629: shortest form, no surrogates, at most U+10FFFF). */
function utf8Width(text: Bytes, at: number, first: number): number {
  const width = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (let next = 1; next < width; next++) if ((text.charCodeAt(at + next) & 0xc0) !== 0x80) return 0;
  const second = text.charCodeAt(at + 1);
  if (first === 0xe0 && second < 0xa0) return 0;
  if (first === 0xed && second > 0x9f) return 0;
  if (first === 0xf0 && second < 0x90) return 0;
  if (first === 0xf4 && second > 0x8f) return 0;
  return width;
}

/** Whole seconds to go, rounded up; below zero toward zero, as Go divides. */
function secondsLeft(expiresAt: number, now: number): number {
  return Math.ceil((expiresAt - now) / 1000);
}

function opening(node: V2Node, directory: boolean, now: number): string {
  // The root has neither a key nor indexes.
  let out = node.path === ROOT ? "{" : `{"key":${jsonString(node.path)},`;
  if (directory) out += '"dir":true,';
  else if (node.value !== null) out += `"value":${jsonString(node.value)},`;
  if (node.expiresAt !== null) {
    out += `"expiration":"${formatTime(node.expiresAt)}",`;
    const left = secondsLeft(node.expiresAt, now);
    if (left !== 0) out += `"ttl":${left},`;
  }
  return out;
}

/** The end of a node whose fields so far each have a comma behind them. */
function closing(node: V2Node, before: string): string {
  const { modifiedIndex, createdIndex } = node;
  if (createdIndex !== 0)
    return before + (modifiedIndex === 0 ? "" : `"modifiedIndex":${modifiedIndex},`) + `"createdIndex":${createdIndex}}`;
  return modifiedIndex === 0 ? before.slice(0, -1) + "}" : before + `"modifiedIndex":${modifiedIndex}}`;
}

/** One node, without what is below. @param directory overrides: the node of a removal has no value to tell by */
export function encodeNode(node: V2Node, now: number, directory = node.value === null): string {
  return closing(node, opening(node, directory, now));
}

/** The last line of an event. @param now milliseconds since 1970, what TTLs count from */
export function encodeEvent(event: { action: V2Action; node: V2Node; prev: V2Node | null }, now: number): Bytes {
  const { action, node, prev } = event;
  if (prev === null) return `{"action":"${action}","node":${encodeNode(node, now)}}\n` as Bytes;
  const directory = isRemoval(action) ? prev.value === null : node.value === null;
  // A TTL whose time is up has no seconds left, whatever the rounding of clocks says.
  const prevNow = action === "expire" && prev.expiresAt !== null ? Math.max(now, prev.expiresAt) : now;
  return `{"action":"${action}","node":${encodeNode(node, now, directory)},"prevNode":${encodeNode(prev, prevNow)}}\n` as Bytes;
}

/** The answer to a read of one node with its listing. */
export function encodeGet(tree: V2TreeView, node: V2Node, recursive: boolean, now: number): Bytes {
  if (node.value !== null) return `{"action":"get","node":${encodeNode(node, now)}}\n` as Bytes;
  return `{"action":"get","node":${encodeListing(tree, node, recursive, now)}}\n` as Bytes;
}

interface Level {
  readonly directory: V2Node;
  readonly children: V2Node[];
  next: number;
}

/** A directory with its children, and theirs when `recursive`. Walks with a stack of its own: paths may be thousands of levels deep. */
function encodeListing(tree: V2TreeView, top: V2Node, recursive: boolean, now: number): string {
  const stack: Level[] = [];
  let out = "";
  const open = (directory: V2Node) => {
    const children = tree.children(directory.path);
    out += opening(directory, true, now);
    if (children.length > 0) out += '"nodes":[';
    stack.push({ directory, children, next: 0 });
  };
  open(top);
  for (let level = stack.at(-1); level !== undefined; level = stack.at(-1)) {
    const child = level.children[level.next++];
    if (child === undefined) {
      stack.pop();
      if (level.children.length > 0) out += "],";
      out = closing(level.directory, out);
      continue;
    }
    if (level.next > 1) out += ",";
    if (child.value === null && recursive) open(child);
    else out += encodeNode(child, now);
  }
  return out;
}

/** `{"errorCode":…}` as a line. */
export function encodeError(code: number, message: string, cause: Bytes, index: number): Bytes {
  const causeText = cause === EMPTY ? "" : `,"cause":${jsonString(cause)}`;
  return `{"errorCode":${code},"message":${jsonString(message as Bytes)}${causeText},"index":${index}}\n` as Bytes;
}
