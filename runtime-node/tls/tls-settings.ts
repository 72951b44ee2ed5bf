/** From settings to TLS: which files and rules hold for clients and for members, and which settings contradict each other. */
import { join } from "node:path";
import type { SecureContextOptions, SecureVersion } from "node:tls";
import { parseClientUrl } from "../client-url.ts";
import { ConfigError } from "../config.ts";
import type { SettingName, Settings } from "../settings.ts";
import { opensslNames } from "./cipher-suites.ts";
import { ListenerTls } from "./listener-tls.ts";
import { MemberTls } from "./member-tls.ts";
import { selfSigned } from "./self-signed.ts";
import type { TlsFile, TlsFiles } from "./tls-files.ts";
import { type TlsNotice, TlsSource } from "./tls-source.ts";

export interface TlsHost {
  /** Of the data. */
  readonly directory: string;
  readonly notice: TlsNotice;
  readonly nowMs: () => number;
}

const VERSIONS: Readonly<Record<string, SecureVersion>> = { "TLS1.2": "TLSv1.2", "TLS1.3": "TLSv1.3" };

/**
 * TLS for clients, if one of their addresses is https.
 * @throws ConfigError for settings that do not go together, and for files that cannot be used
 */
export async function clientTls(settings: Settings, host: TlsHost): Promise<ListenerTls | undefined> {
  const listened = (["listen-client-urls", "listen-metrics-urls"] as const).flatMap((flag) =>
    (settings[flag] ?? []).map((url) => ({ flag, url })),
  );
  let files = filesOf(settings, { cert: "cert-file", key: "key-file", ca: "trusted-ca-file", crl: "client-crl-file" });
  needAuthority(settings, files, ["client-cert-auth", "client-cert-allowed-hostname"], "trusted-ca-file");
  for (const { flag, url } of listened.filter((one) => one.url.startsWith("http:"))) {
    if (files.cert !== undefined)
      host.notice("warn", `--${flag} has ${url}, which is plain: --cert-file and --key-file do not count there`);
    if (settings["client-cert-auth"]) host.notice("warn", `--${flag} has ${url}, which is plain: --client-cert-auth does not count there`);
  }
  const secure = listened.find(({ url }) => url.startsWith("https:"));
  if (secure === undefined) return undefined;
  if (settings["auto-tls"]) files = { ...files, ...(await ownFiles(settings, host, "auto-tls", files)) };
  if (files.cert === undefined)
    throw new ConfigError(`--${secure.flag} has ${secure.url}, which needs --cert-file and --key-file, or --auto-tls`);
  const source = new TlsSource({ name: "clients", files, base: baseOf(settings), notice: host.notice, nowMs: host.nowMs });
  return new ListenerTls(source, settings);
}

/**
 * TLS between members, if there is a certificate for it or an authority.
 * @throws ConfigError for settings that do not go together, and for files that cannot be used
 */
export async function memberTls(settings: Settings, host: TlsHost): Promise<MemberTls | undefined> {
  const urls = settings["listen-peer-urls"] ?? [];
  const secure = urls.filter((url) => url.startsWith("https:")).length;
  if (secure > 0 && secure < urls.length) throw new ConfigError("--listen-peer-urls mixes http and https; wanted: one of them");
  let files = filesOf(settings, { cert: "peer-cert-file", key: "peer-key-file", ca: "peer-trusted-ca-file", crl: "peer-crl-file" });
  needAuthority(settings, files, ["peer-client-cert-auth", "peer-cert-allowed-cn", "peer-cert-allowed-hostname"], "peer-trusted-ca-file");
  if (settings["peer-cert-allowed-cn"] !== undefined && settings["peer-cert-allowed-hostname"] !== undefined) {
    throw new ConfigError("--peer-cert-allowed-cn and --peer-cert-allowed-hostname exclude each other");
  }
  const isWanted =
    settings["peer-auto-tls"] && [...urls, ...settings["initial-advertise-peer-urls"]].some((url) => url.startsWith("https:"));
  const isSelfMade = isWanted && files.cert === undefined;
  if (isWanted) files = { ...files, ...(await ownFiles(settings, host, "peer-auto-tls", files)) };
  if (secure > 0 && files.cert === undefined) {
    throw new ConfigError("--listen-peer-urls is https, which needs --peer-cert-file and --peer-key-file, or --peer-auto-tls");
  }
  if (files.cert === undefined && files.ca === undefined) return undefined;
  const source = new TlsSource({ name: "members", files, base: baseOf(settings), notice: host.notice, nowMs: host.nowMs });
  return new MemberTls(source, settings, isSelfMade);
}

/** Of those that are set. @throws ConfigError when one of certificate and key is missing */
function filesOf(settings: Settings, flags: Readonly<Record<keyof TlsFiles, SettingName>>): TlsFiles {
  const file = (flag: SettingName): TlsFile | undefined => {
    const path = settings[flag] as string | undefined;
    return path === undefined ? undefined : { flag, path };
  };
  const files = { cert: file(flags.cert), key: file(flags.key), ca: file(flags.ca), crl: file(flags.crl) };
  if ((files.cert === undefined) !== (files.key === undefined)) throw new ConfigError(`--${flags.cert} and --${flags.key} belong together`);
  if (files.crl !== undefined && files.ca === undefined) throw new ConfigError(`--${flags.crl} needs --${flags.ca}`);
  return files;
}

/** Rules for certificates say nothing where nobody is asked for one. @throws ConfigError that names the rule */
function needAuthority(settings: Settings, { ca }: TlsFiles, rules: readonly SettingName[], authority: SettingName): void {
  const rule = rules.find((flag) => settings[flag] !== undefined && settings[flag] !== false);
  if (rule !== undefined && ca === undefined) throw new ConfigError(`--${rule} needs --${authority}`);
}

/** Where etcd keeps such certificates in the data directory, and for which addresses they are. */
const OWN = {
  "auto-tls": { folder: "client", addresses: ["listen-client-urls", "advertise-client-urls", "listen-metrics-urls"] },
  "peer-auto-tls": { folder: "peer", addresses: ["listen-peer-urls", "initial-advertise-peer-urls"] },
} as const;

/** Certificate and key of the server's own making, unless some are given. */
async function ownFiles(settings: Settings, host: TlsHost, flag: keyof typeof OWN, given: TlsFiles): Promise<TlsFiles> {
  const { folder, addresses } = OWN[flag];
  if (given.cert !== undefined) {
    host.notice("warn", `--${flag} does not count: there is a certificate already, ${given.cert.path}`);
    return {};
  }
  const urls = addresses.flatMap((one) => settings[one] ?? []);
  const { cert, key, isNew } = await selfSigned({
    directory: join(host.directory, "fixtures", folder),
    hosts: urls.map((url) => parseClientUrl(url).host),
    validYears: settings["self-signed-cert-validity"],
    nowMs: host.nowMs(),
  });
  if (isNew) host.notice("info", `--${flag} made a certificate`, { certificate: cert });
  return { cert: { flag, path: cert }, key: { flag, path: key } };
}

/** @throws ConfigError when there is no version, or no suite, left */
function baseOf(settings: Settings): SecureContextOptions {
  const { "tls-min-version": min, "tls-max-version": max, "cipher-suites": suites } = settings;
  if (max !== undefined && max < min) throw new ConfigError(`--tls-max-version is ${max}, which is less than --tls-min-version, ${min}`);
  if (suites !== undefined && min === "TLS1.3") throw new ConfigError("--cipher-suites is for TLS 1.2, which --tls-min-version excludes");
  const ciphers = suites === undefined ? undefined : opensslNames(suites);
  if (suites !== undefined && ciphers === undefined && max === "TLS1.2") throw new ConfigError("--cipher-suites has no suite for TLS 1.2");
  return {
    minVersion: VERSIONS[min]!,
    ...(max === undefined ? {} : { maxVersion: VERSIONS[max]! }),
    ...(ciphers === undefined ? {} : { ciphers }),
    honorCipherOrder: true,
  };
}
