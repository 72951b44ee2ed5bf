/**
 * The `content-type` of a request, with the faults that Go's `mime.ParseMediaType` finds (https://pkg.go.dev/mime#ParseMediaType),
 * since etcd reports them word by word.
 */

export interface MediaType {
  /** In lower case; empty when it cannot be told. */
  readonly type: string;
  readonly fault: string | null;
}

/** RFC 7230 §3.2.6. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+/;

export function parseMediaType(header: string): MediaType {
  const semicolon = header.indexOf(";");
  const type = (semicolon < 0 ? header : header.slice(0, semicolon)).trim().toLowerCase();
  const fault = faultOfType(type);
  if (fault !== null) return { type: "", fault };
  return semicolon < 0 ? { type, fault: null } : withParameters(type, header.slice(semicolon));
}

function faultOfType(type: string): string | null {
  const first = TOKEN.exec(type)?.[0];
  if (first === undefined) return "mime: no media type";
  const rest = type.slice(first.length);
  if (rest === "") return null;
  if (!rest.startsWith("/")) return "mime: expected slash in first token";
  const second = TOKEN.exec(rest.slice(1))?.[0];
  if (second === undefined) return "mime: expected token after slash";
  return rest.length > second.length + 1 ? "mime: unexpected content after media subtype" : null;
}

/** @param text from the first semicolon on */
function withParameters(type: string, text: string): MediaType {
  const names = new Set<string>();
  let rest = text.trimStart();
  while (rest !== "") {
    const found = /^;\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*=\s*("(?:[^"\\\r\n]|\\.)*"|[!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*/.exec(rest);
    if (found === null) return rest.trim() === ";" ? { type, fault: null } : { type, fault: "mime: invalid media parameter" };
    const name = found[1]!.toLowerCase();
    if (names.has(name)) return { type: "", fault: "mime: duplicate parameter name" };
    names.add(name);
    rest = rest.slice(found[0].length);
  }
  return { type, fault: null };
}
