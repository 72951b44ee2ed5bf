/**
 * From flags, environment and a file to settings: flags win over variables, these over the file, and that over defaults. Whatever cannot be taken is named with its
 * value and with what is wanted; nothing is ignored.
 */
import type { KeepAliveTimes } from "../adapters/grpc/grpc-server.ts";
import type { AutoCompactionPolicy } from "../core/replica/auto-compaction.ts";
import { CLIENT_VARIABLES } from "./commands/client-variables.ts";
import { type NamedMember, parseInitialCluster, sameUrls } from "./cluster/initial-cluster.ts";
import { parseDuration } from "./duration.ts";
import { type SettingName, SETTING_NAMES, type Settings, metaOf, settingsSchema, variableOf } from "./settings.ts";

/** A setting that cannot be taken; the message is for the person who set it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Variables with our prefix that are no settings: of the benchmark and the tests, and the file of settings. */
const OTHER_VARIABLES = /^QUORATE_((BENCH|TEST)_|CONFIG_FILE$)/;

/** What a file of settings says, as it would stand on a command line; see config-file.ts. */
export interface FileSettings {
  readonly values: Readonly<Partial<Record<SettingName, string>>>;
  /** Where each stands, for messages. */
  readonly places: ReadonlyMap<SettingName, string>;
}

const NO_FILE: FileSettings = { values: {}, places: new Map() };

/**
 * @param flags values as they were given, by name without dashes
 * @throws ConfigError for the first value that cannot be taken
 */
export function readSettings(
  flags: Readonly<Record<string, unknown>>,
  environment: Readonly<Record<string, string | undefined>>,
  file = NO_FILE,
): Settings {
  const given: Record<string, unknown> = {};
  const source = new Map<string, string>();
  for (const name of SETTING_NAMES) {
    const variable = variableOf(name);
    if (flags[name] !== undefined) {
      given[name] = flags[name];
      source.set(name, `--${name}`);
    } else if (environment[variable] !== undefined && environment[variable] !== "") {
      given[name] = environment[variable];
      source.set(name, variable);
    } else if (file.values[name] !== undefined) {
      given[name] = file.values[name];
      source.set(name, file.places.get(name) ?? name);
    }
  }
  const parsed = settingsSchema.safeParse(given);
  if (!parsed.success) {
    const name = parsed.error.issues[0]?.path[0] as SettingName;
    throw new ConfigError(refusal(source.get(name) ?? `--${name}`, given[name], metaOf(name).wants));
  }
  // Checked together with its mode, which the schema of one value cannot do.
  compactionPolicy(parsed.data, source.get("auto-compaction-retention"));
  initialCluster(parsed.data, source.get("initial-cluster"));
  checkTiming(parsed.data, source.get("election-timeout"));
  return parsed.data;
}

function refusal(source: string, value: unknown, wants: string): string {
  return `${source} is ${JSON.stringify(value)}; wanted: ${wants}`;
}

/** The members that found the cluster, or those of the cluster to join. @throws ConfigError when this one is not among them */
export function initialCluster(settings: Settings, source = "--initial-cluster"): NamedMember[] {
  const own = { name: settings.name, peerUrls: settings["initial-advertise-peer-urls"].map(withoutSlash) };
  const given = settings["initial-cluster"];
  if (given === undefined) return [own];
  const named = parseInitialCluster(given);
  const self = named?.find(({ name }) => name === own.name);
  if (named === undefined || self === undefined || !sameUrls(self.peerUrls, own.peerUrls)) {
    const wanted = own.peerUrls.map((url) => `${own.name}=${url}`).join(",");
    throw new ConfigError(refusal(source, given, `${metaOf("initial-cluster").wants}: ${wanted}`));
  }
  return named;
}

const withoutSlash = (url: string): string => url.replace(/\/$/, "");

/** As etcd: with a shorter one the loss of a single heartbeat would cost the leader its office. */
function checkTiming(settings: Settings, source = "--election-timeout"): void {
  const { "heartbeat-interval": heartbeat, "election-timeout": election } = settings;
  if (election >= 5 * heartbeat) return;
  throw new ConfigError(refusal(source, election, `at least five times --heartbeat-interval, which is ${heartbeat}`));
}

/** The shortest lease, in whole seconds: one and a half election timeouts, rounded up, as etcd has it. */
export function minLeaseTtlSeconds(settings: Settings): number {
  return Math.ceil((1.5 * settings["election-timeout"]) / 1000);
}

/** Names of variables that look like settings and are none: likely slips. */
export function strangeVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known = new Set([...SETTING_NAMES.map(variableOf), ...CLIENT_VARIABLES]);
  return Object.keys(environment).filter((name) => name.startsWith("QUORATE_") && !known.has(name) && !OTHER_VARIABLES.test(name));
}

/** Space that keys and values may take. */
export function quotaBytes(settings: Settings): number {
  const given = settings["quota-backend-bytes"];
  if (given === 0) return 2 * 1024 * 1024 * 1024;
  return given < 0 ? Number.MAX_SAFE_INTEGER : given;
}

/** How often clients may ping, and are pinged. Zero: gRPC's own defaults, as in etcd. */
export function keepAliveTimes(settings: Settings): KeepAliveTimes {
  const millis = (name: "grpc-keepalive-min-time" | "grpc-keepalive-interval" | "grpc-keepalive-timeout"): number =>
    parseDuration(settings[name])!;
  const [intervalMs, timeoutMs] = [millis("grpc-keepalive-interval"), millis("grpc-keepalive-timeout")];
  const asked = intervalMs > 0 && timeoutMs > 0;
  return {
    minTimeMs: millis("grpc-keepalive-min-time") || 5 * 60_000,
    intervalMs: asked ? Math.max(intervalMs, PING_INTERVAL_MS_MIN) : 2 * 60 * 60_000,
    timeoutMs: asked ? timeoutMs : 20_000,
  };
}

/** gRPC in Go takes shorter intervals for this one. */
const PING_INTERVAL_MS_MIN = 1_000;

/** @throws ConfigError when mode and amount do not go together */
export function compactionPolicy(settings: Settings, source = "--auto-compaction-retention"): AutoCompactionPolicy {
  const amount = settings["auto-compaction-retention"];
  const fail = (): never => {
    throw new ConfigError(refusal(source, amount, metaOf("auto-compaction-retention").wants));
  };
  if (settings["auto-compaction-mode"] === "revision") {
    if (!/^[0-9]{1,15}$/.test(amount)) return fail();
    return Number(amount) === 0 ? { mode: "off" } : { mode: "revision", retentionRevisions: Number(amount) };
  }
  const retentionMs = /^[0-9]{1,9}$/.test(amount) ? Number(amount) * 3_600_000 : parseDuration(amount);
  if (retentionMs === undefined) return fail();
  return retentionMs === 0 ? { mode: "off" } : { mode: "periodic", retentionMs };
}
