/**
 * JSON text as a tree whose scalars are still the text that was sent, because what etcd's gateway takes for a number depends on it:
 * `1.0` is refused where `1` is taken, and numbers beyond 2^53 are exact. Slower than JSON.parse, which serves the regular case.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { utf8Decode } from "../../bytes/utf8.ts";
import { isSpace } from "./json-scanner.ts";

/** A string is a scalar, as sent: `"text"` with its quotes, `12`, `true`, `null`. Of equal names in an object the last one counts. */
export type JsonTree = string | JsonTree[] | Map<string, JsonTree>;

/**
 * @param text begins with a complete, well-formed value (JsonScanner has seen its end); white space may precede it
 */
export function jsonTree(text: Bytes): JsonTree {
  const open: (JsonTree[] | Map<string, JsonTree>)[] = [];
  const names: (string | null)[] = []; // the name that each open object waits for a value of
  let at = 0;
  for (;;) {
    const code = text.charCodeAt(at);
    if (isSpace(code) || code === 0x2c || code === 0x3a) {
      at++;
      continue;
    }
    let done: JsonTree;
    if (code === 0x7b || code === 0x5b) {
      open.push(code === 0x7b ? new Map() : []);
      names.push(null);
      at++;
      continue;
    } else if (code === 0x7d || code === 0x5d) {
      done = open.pop()!; // well-formed: what closes was open
      names.pop();
      at++;
    } else {
      const end = scalarEnd(text, at);
      done = text.slice(at, end);
      at = end;
    }
    const parent = open[open.length - 1];
    if (parent === undefined) return done;
    if (Array.isArray(parent)) parent.push(done);
    else {
      const name = names[names.length - 1]!;
      if (name === null) names[names.length - 1] = textOf(done as string);
      else {
        parent.set(name, done);
        names[names.length - 1] = null;
      }
    }
  }
}

/** The text that a quoted scalar stands for. Half surrogate pairs and broken UTF-8 become U+FFFD, as in Go. */
export function textOf(scalar: string): string {
  const text = JSON.parse(utf8Decode(scalar as Bytes)) as string;
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

function scalarEnd(text: Bytes, from: number): number {
  let at = from + 1;
  if (text.charCodeAt(from) === 0x22) {
    while (text.charCodeAt(at) !== 0x22) at += text.charCodeAt(at) === 0x5c ? 2 : 1;
    return at + 1;
  }
  while (at < text.length && !DELIMITERS.includes(text[at]!)) at++;
  return at;
}

const DELIMITERS = " \t\r\n,:]}";
