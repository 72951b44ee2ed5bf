/**
 * Addresses of members as the member APIs of v2 and v3 take them, `scheme://host:port`, judged as etcd judges them and in its words.
 * Source: etcd's pkg/types/urls.go, and what Go's net/url and net.SplitHostPort refuse.
 */

/** `urls`: without space around them, the scheme in small letters, sorted. `fault`: what is wrong with the first one that is wrong. */
export type PeerUrls = { readonly urls: readonly string[] } | { readonly fault: string };

export function readPeerUrls(texts: readonly string[]): PeerUrls {
  if (texts.length === 0) return { fault: "no valid URLs given" };
  const urls: string[] = [];
  for (const text of texts) {
    const trimmed = text.trim();
    const unreadable = faultOfUrl(trimmed);
    if (unreadable !== null) return { fault: `parse ${JSON.stringify(trimmed)}: ${unreadable}` };
    const fault = faultOfPeerUrl(trimmed);
    if (fault !== null) return { fault: `${fault}: ${trimmed}` };
    urls.push(trimmed.replace(/^[^:]*/, (scheme) => scheme.toLowerCase()));
  }
  return { urls: urls.toSorted() };
}

interface Parts {
  readonly scheme: string;
  /** Behind `//`; empty where there is none. */
  readonly authority: string;
  readonly path: string;
}

function partsOf(url: string): Parts {
  const [, scheme = "", rest = ""] = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?([^?#]*)/.exec(url)!;
  const [, authority = "", path = ""] = /^\/\/([^/]*)(.*)$/s.exec(rest) ?? ["", "", rest];
  return { scheme: scheme.toLowerCase(), authority, path };
}

/** Of a URL that can be read. */
function faultOfPeerUrl(url: string): string | null {
  const { scheme, authority, path } = partsOf(url);
  if (!["http", "https", "unix", "unixs"].includes(scheme)) return "URL scheme must be http, https, unix, or unixs";
  const host = authority.slice(authority.lastIndexOf("@") + 1);
  if (!/^(?:\[[^\]]*\]|[^:[\]]*):[^:]*$/.test(host)) return 'URL address does not have the form "host:port"';
  return path === "" ? null : "URL must not contain a path";
}

/** What keeps Go from reading it as a URL. */
function faultOfUrl(url: string): string | null {
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(url)) return "net/url: invalid control character in URL";
  if (url.startsWith(":")) return "missing protocol scheme";
  const { scheme, authority, path } = partsOf(url);
  if (scheme === "" && /^[^/]*:/.test(path)) return "first path segment in URL cannot contain colon";
  const host = authority.slice(authority.lastIndexOf("@") + 1);
  if (host.startsWith("[") && !host.includes("]")) return "missing ']' in host";
  const port = /(?<=^\[.*\]).*$/.exec(host)?.[0] ?? /:[^:]*$/.exec(host)?.[0] ?? "";
  if (!/^(?::[0-9]*)?$/.test(port)) return `invalid port ${JSON.stringify(port)} after host`;
  // In the name of a host only bytes above ASCII may be written as escapes, elsewhere any byte.
  const escape = /%(?![89A-Fa-f][0-9A-Fa-f]|25).{0,2}/s.exec(host) ?? /%(?![0-9A-Fa-f]{2}).{0,2}/s.exec(path);
  if (escape !== null) return `invalid URL escape ${JSON.stringify(escape[0])}`;
  const strange = /[^A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"%\u0080-\uffff]/.exec(host);
  return strange === null ? null : `invalid character ${JSON.stringify(strange[0])} in host name`;
}
