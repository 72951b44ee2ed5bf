/**
 * Which namespace a request is for, in this order: the path `/ns/NAME/…`, the header `Quorate-Namespace`, the host name `NAME.SUFFIX`; else
 * `default`. A namespace is one Durable Object: a keyspace with its own revisions, leases, users and quota.
 */
import { pathAndQuery } from "../core/api/exchange-fetch.ts";
import type { Settings } from "./settings.ts";

const HEADER = "quorate-namespace";
/** The list, one of it, and its snapshot. */
export const ADMIN_PATH = /^\/admin\/namespaces(?:\/([^/]+)(\/snapshot)?)?$/;
const DEFAULT = "default";
/** As a label of a host name, so that each way to name one can name them all. */
const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export interface Chosen {
  readonly name: string;
  /** What is asked of the namespace: the path without what named it. */
  readonly path: string;
}

/** Why a request is for none. */
export interface NotChosen {
  readonly status: 400 | 404;
  readonly why: string;
}

/** @param path encoded, as sent @param host of the URL or its header */
export function chooseNamespace(
  path: string,
  { header, host }: { readonly header: string | null; readonly host: string },
  { hostSuffix, names }: Pick<Settings, "hostSuffix" | "names">,
): Chosen | NotChosen {
  const [, inPath, rest] = /^\/ns\/([^/]*)(\/.*)?$/.exec(path) ?? [];
  const bare = host.toLowerCase().replace(/:\d+$/, "");
  const inHost = hostSuffix !== null && bare.endsWith(hostSuffix) ? bare.slice(0, -hostSuffix.length) : undefined;
  const name = inPath ?? header ?? inHost ?? DEFAULT;
  if (!NAME.test(name)) {
    return { status: 400, why: `namespace ${JSON.stringify(name)}: wanted: 1 to 63 of a-z, 0-9 and "-", with neither end a "-"` };
  }
  if (names !== null && !names.has(name)) return { status: 404, why: `namespace ${JSON.stringify(name)} is none of this Worker's` };
  return { name, path: inPath === undefined ? path : (rest ?? "/") };
}

/** `http://host:port` of a URL. */
export const originOf = (url: string): string => url.slice(0, url.indexOf("/", url.indexOf("://") + 3));

/** As `chooseNamespace`, of a request as it came. */
export function namespaceOf(request: Request, settings: Pick<Settings, "hostSuffix" | "names">): Chosen | NotChosen {
  const host = originOf(request.url).replace(/^\w+:\/\//, "");
  return chooseNamespace(pathAndQuery(request.url).path, { header: request.headers.get(HEADER), host }, settings);
}
