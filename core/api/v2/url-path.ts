/** Paths of requests: cleaning and redirection as Go's `ServeMux` does them (https://pkg.go.dev/net/http#ServeMux). */
import { type Bytes, ascii } from "../../bytes/bytes.ts";
import type { ApiReply } from "../exchange.ts";
import { CORS } from "./replies.ts";
import { unescape } from "./form.ts";

/**
 * @param path as sent
 * @returns the decoded path; undefined when an escape in it is broken
 */
export function decodePath(path: string): Bytes | undefined {
  return path.includes("%") ? unescape(path, false) : (path as Bytes);
}

/** True when nothing has to be cleaned: no empty part, no part of dots. A quick test that may say no too often. */
export function looksClean(path: Bytes): boolean {
  return !path.includes("//") && !path.includes("/.");
}

/** The shortest path that means the same; a slash at the end stays. */
export function cleanPath(path: Bytes): Bytes {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  const slash = path.endsWith("/") && parts.length > 0 ? "/" : "";
  return ("/" + parts.join("/") + slash) as Bytes;
}

const UNESCAPED = /[A-Za-z0-9\-_.~$&+,/:;=@]/;

/** Percent-encodes the bytes of a path. */
function encodePath(path: Bytes): string {
  let out = "";
  for (const char of path) {
    out += UNESCAPED.test(char) ? char : "%" + char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");
  }
  return out;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => (char === '"' ? "&#34;" : char === "'" ? "&#39;" : HTML[char]!));
}

const HTML: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

/** The answer to a path that is not clean: where it should have gone. */
export function redirectTo(path: Bytes, method: string, query: string): ApiReply {
  const location = encodePath(path) + (query === "" ? "" : "?" + query.replace(/[^\x21-\x7e]/g, hexEscape));
  const page = `<a href="${escapeHtml(location)}">Moved Permanently</a>.\n\n`;
  if (method !== "GET" && method !== "HEAD") return { status: 301, headers: { ...CORS, location }, body: ascii("") };
  const headers = { ...CORS, "content-type": "text/html; charset=utf-8", location };
  return { status: 301, headers, body: ascii(method === "GET" ? page : "") };
}

function hexEscape(char: string): string {
  return "%" + char.charCodeAt(0).toString(16).padStart(2, "0");
}
