/**
 * The runtime below: Node, Deno or Bun. What one of them cannot do is refused by name at the start, or told in the log, rather than being
 * found out by a client. docs/compatibility.md has the list, and the versions that were tried.
 */
import { ConfigError } from "./config.ts";
import type { SettingName, Settings } from "./settings.ts";

export interface Host {
  readonly name: "Node" | "Deno" | "Bun";
  readonly version: string;
}

/** @param versions as `process.versions` has them; Deno and Bun name the Node that they stand for as well */
export function hostOf(versions: Readonly<Record<string, string | undefined>>): Host {
  if (versions["deno"] !== undefined) return { name: "Deno", version: versions["deno"] };
  if (versions["bun"] !== undefined) return { name: "Bun", version: versions["bun"] };
  return { name: "Node", version: versions["node"] ?? "?" };
}

/** Flags that Deno's TLS would take and not obey, which is worse than not having them. */
export const NOT_ON_DENO: Readonly<Partial<Record<SettingName, string>>> = {
  "client-crl-file": "its TLS looks at no revocation lists",
  "peer-crl-file": "its TLS looks at no revocation lists",
  "cipher-suites": "its TLS chooses among cipher suites of its own",
  "client-cert-allowed-hostname": "its TLS does not tell the alternative names of a certificate",
  "peer-cert-allowed-hostname": "its TLS does not tell the alternative names of a certificate",
};

/** Where connections would be encrypted. */
const URL_SETTINGS = ["listen-client-urls", "listen-metrics-urls", "listen-peer-urls"] as const satisfies readonly SettingName[];

/** @throws ConfigError for the first setting that this runtime cannot do */
export function refuseOn({ name, version }: Host, settings: Settings): void {
  if (name === "Deno") {
    for (const [flag, reason] of Object.entries(NOT_ON_DENO) as [SettingName, string][]) {
      if (settings[flag] !== undefined) throw new ConfigError(`--${flag} cannot be used on Deno ${version}: ${reason}; Node has it`);
    }
  }
  if (name === "Bun") {
    for (const flag of URL_SETTINGS) {
      const secure = settings[flag]?.find((url) => url.startsWith("https:"));
      if (secure === undefined) continue;
      throw new ConfigError(`--${flag} has ${secure}, and TLS is not served on Bun ${version}: use Node or Deno, or end TLS in a proxy`);
    }
  }
}

/** Bun's HTTP/2 ends connections of Go's gRPC clients while they begin. */
export function servesGrpc({ name }: Host): boolean {
  return name !== "Bun";
}

/** For the log at the start: what clients will not find. undefined: all is there. */
export function lackOf(host: Host): string | undefined {
  if (servesGrpc(host)) return undefined;
  return `gRPC is not served on ${host.name} ${host.version}: its HTTP/2 closes connections of gRPC clients; the v2 and v3 JSON APIs are`;
}
