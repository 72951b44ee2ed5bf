/** Addresses as settings write them, and as clients are told them. */
import { networkInterfaces } from "node:os";

export interface ClientUrl {
  /** As Node listens on it: a name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** https. */
  readonly secure: boolean;
}

/** @param url checked already: `http://host:port` or `https://host:port` */
export function parseClientUrl(url: string): ClientUrl {
  const { protocol, hostname, port } = new URL(url);
  const secure = protocol === "https:";
  // An URL leaves out the port that its scheme has anyway.
  return { host: hostname.replace(/^\[(.*)\]$/, "$1"), port: port === "" ? (secure ? 443 : 80) : Number(port), secure };
}

export function formatUrl({ host, port, secure }: ClientUrl): string {
  return `${secure ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** What clients elsewhere can connect to: an address that means "all of this machine's" is replaced by one of them. */
export function advertised(url: ClientUrl): string {
  if (url.host !== "0.0.0.0" && url.host !== "::") return formatUrl(url);
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outward = addresses.find(({ family, internal }) => !internal && family === "IPv4");
  return formatUrl({ ...url, host: outward?.address ?? "127.0.0.1" });
}

/** An address that is listened on, and what is spoken there: one port may serve both, as etcd's may. */
export interface SharedAddress {
  readonly host: string;
  /** 0: one that the system chooses, and each address another. */
  readonly port: number;
  readonly plain: boolean;
  readonly secure: boolean;
}

/** @param urls checked already. In their order, those of the same host and port as one */
export function addressesOf(urls: readonly string[]): SharedAddress[] {
  const addresses: SharedAddress[] = [];
  for (const { host, port, secure } of urls.map(parseClientUrl)) {
    const index = addresses.findIndex((known) => known.host === host && known.port === port && port !== 0 && known.secure !== secure);
    if (index < 0) addresses.push({ host, port, plain: !secure, secure });
    else addresses[index] = { host, port, plain: true, secure: true };
  }
  return addresses;
}
