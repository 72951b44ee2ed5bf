/**
 * The web console's files under `/console`. Where they come from is the host's affair; what a browser may do with them is decided here: it
 * runs no script but the console's own and asks nobody but this cluster's members, and keeps files with a hash in their name for good.
 */
import type { Bytes } from "../bytes/bytes.ts";
import type { Member } from "../replica/member.ts";
import type { ApiReply, ApiRequest, Route } from "./exchange.ts";
import { notFoundPage, textPage, withoutBody } from "./pages.ts";

/** One file of the console. */
export interface ConsoleFile {
  readonly contentType: string;
  readonly body: Bytes;
}

/** The console's files: the page as `index.html`, and what it asks for, whose names change with their content. */
export type ConsoleFiles = ReadonlyMap<string, ConsoleFile>;

const PAGE = "index.html";
const HASHED_PREFIX = "assets/";

/** @param load rejects with a reason that a person can act on; asked at each request */
export function consoleRoutes(member: Member, load: () => Promise<ConsoleFiles>): Route[] {
  const handle = async (request: ApiRequest): Promise<ApiReply> => {
    if (request.method !== "GET" && request.method !== "HEAD") return textPage(405, "Method Not Allowed\n", { allow: "GET, HEAD" });
    const reply = await fileReply(member, request.path.slice("/console/".length), load);
    return request.method === "HEAD" ? withoutBody(reply) : reply;
  };
  return [
    { method: "*", path: "/console", kind: "unary", handle },
    { method: "*", path: "/console/*", kind: "unary", handle },
  ];
}

async function fileReply(member: Member, name: string, load: () => Promise<ConsoleFiles>): Promise<ApiReply> {
  let files: ConsoleFiles;
  try {
    files = await load();
  } catch (error) {
    return textPage(503, `the console is not there: ${error instanceof Error ? error.message.replace(/[^\n\x20-\x7e]/g, "?") : "?"}\n`);
  }
  if (name.startsWith(HASHED_PREFIX)) {
    const file = files.get(name);
    if (file === undefined) return notFoundPage();
    const headers = { "content-type": file.contentType, "cache-control": "public, max-age=31536000, immutable" };
    return { status: 200, headers: { ...headers, "x-content-type-options": "nosniff" }, body: file.body };
  }
  const page = files.get(PAGE);
  if (page === undefined) return notFoundPage();
  // Every other path is a place within the page.
  return {
    status: 200,
    headers: {
      "content-type": page.contentType,
      "cache-control": "no-cache",
      "content-security-policy": policy(member),
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
    },
    body: page.body,
  };
}

/** The other members may be asked too: the page goes on when the one that it came from ends. */
function policy(member: Member): string {
  const origins = member.members().flatMap(({ clientUrls }) => clientUrls.map(originOf));
  const hosts = [...new Set(origins)].filter((origin) => origin !== "").join(" ");
  return `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ${hosts}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`;
}

/** Empty for what is no address: nothing else may come into a header. */
function originOf(url: string): string {
  return /^https?:\/\/[\w.:[\]-]+/.exec(url)?.[0] ?? "";
}
