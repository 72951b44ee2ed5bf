/**
 * What every client command can be told of the cluster: where it is, and who asks. In rising order: the defaults, the context, the environment, the
 * flags.
 */
import { Option } from "commander";
import { parseDuration } from "../duration.ts";
import type { ClientVariable } from "./client-variables.ts";
import type { ContextValues } from "./contexts.ts";
import { CommandError, EXIT } from "./exit-codes.ts";

export const FORMATS = ["simple", "json", "table", "fields"] as const;
export type Format = (typeof FORMATS)[number];

interface SettingRow {
  /** As commander wants it. */
  readonly flags: string;
  readonly variable?: ClientVariable;
  readonly description: string;
}

/** By commander's name of the value. */
const ROWS = {
  context: { flags: "--context <NAME>", variable: "QUORATE_CONTEXT", description: "settings kept under this name: quorate context" },
  endpoints: { flags: "--endpoints <URLS>", variable: "QUORATE_ENDPOINTS", description: "members, separated by commas" },
  user: { flags: "--user <NAME[:PASSWORD]>", variable: "QUORATE_USER", description: "who asks, where authentication is on" },
  password: { flags: "--password <TEXT>", variable: "QUORATE_PASSWORD", description: "the user's password, which then is not in --user" },
  token: { flags: "--token <TEXT>", variable: "QUORATE_TOKEN", description: "a token, in place of a user" },
  cacert: { flags: "--cacert <FILE>", variable: "QUORATE_CACERT", description: "authorities, PEM, to trust with https" },
  cert: { flags: "--cert <FILE>", variable: "QUORATE_CERT", description: "certificate, PEM, to show" },
  key: { flags: "--key <FILE>", variable: "QUORATE_KEY", description: "its private key, PEM" },
  insecureSkipTlsVerify: { flags: "--insecure-skip-tls-verify", description: "take any certificate: for tests only" },
  commandTimeout: {
    flags: "--command-timeout <DURATION>",
    variable: "QUORATE_COMMAND_TIMEOUT",
    description: "how long one answer may take (5s)",
  },
  writeOut: {
    flags: "-w, --write-out <FORMAT>",
    variable: "QUORATE_WRITE_OUT",
    description: `form of the answer: ${FORMATS.join(", ")}`,
  },
  hex: { flags: "--hex", description: "print bytes of keys and values as \\x61" },
} as const satisfies Readonly<Record<string, SettingRow>>;

type Name = keyof typeof ROWS;

/** As it was given, texts and marks. */
export type GivenSettings = { readonly [name in Name]?: string | boolean | undefined };

export interface ClientSettings {
  /** As they were given. */
  readonly endpoints: readonly string[];
  readonly login?: { readonly name: string; readonly password: string };
  readonly token?: string;
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly insecureSkipTlsVerify: boolean;
  readonly commandTimeoutMs: number;
  readonly writeOut: Format;
  readonly hex: boolean;
}

export const DEFAULT_ENDPOINT = "127.0.0.1:2379";

/** The options that every client command has. */
export function globalOptions(): Option[] {
  return Object.values(ROWS).map((row: SettingRow) => {
    const variable = row.variable === undefined ? "" : ` (${row.variable})`;
    return new Option(row.flags, `${row.description}${variable}`);
  });
}

/** @throws CommandError for what cannot be taken, by the name of its flag or variable */
export function readClientSettings(
  flags: GivenSettings,
  environment: Readonly<Record<string, string | undefined>>,
  context: ContextValues = {},
): ClientSettings {
  const from = new Map<Name, string>();
  const text = (name: Name): string | undefined => {
    const { variable, flags: flag } = ROWS[name] as SettingRow;
    const given = flags[name];
    const set = variable === undefined ? undefined : environment[variable];
    const value = given ?? (set === "" ? undefined : set) ?? context[name];
    from.set(name, given === undefined && variable !== undefined ? variable : flag.replace(/ .*/, ""));
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const refuse = (name: Name, wants: string): never => {
    throw new CommandError(`${from.get(name)} is ${JSON.stringify(text(name))}; wanted: ${wants}`, EXIT.usage);
  };
  const optional = <N extends Name>(name: N): { readonly [key in N]?: string } => {
    const value = text(name);
    return (value === undefined ? {} : { [name]: value }) as { readonly [key in N]?: string };
  };
  const writeOut = text("writeOut") ?? "simple";
  if (!FORMATS.includes(writeOut as Format)) throw new CommandError("unsupported output format", EXIT.unsupported);
  const timeout = text("commandTimeout") ?? "5s";
  const commandTimeoutMs = parseDuration(timeout);
  if (commandTimeoutMs === undefined || commandTimeoutMs <= 0) return refuse("commandTimeout", "a duration such as 300ms, 5s or 1h30m");
  const secure = text("cacert") !== undefined || text("cert") !== undefined;
  const endpoints = (text("endpoints") ?? DEFAULT_ENDPOINT).split(",").map((one) => one.trim());
  if (endpoints.some((one) => !URL.canParse(urlOf(one, secure)))) refuse("endpoints", "http://HOST:PORT or HOST:PORT, separated by commas");
  const login = loginOf(text("user"), text("password"));
  if ((text("cert") === undefined) !== (text("key") === undefined)) throw new CommandError("--cert and --key belong together", EXIT.usage);
  return {
    endpoints,
    ...(login === undefined ? {} : { login }),
    ...optional("token"),
    ...optional("cacert"),
    ...optional("cert"),
    ...optional("key"),
    insecureSkipTlsVerify: (flags.insecureSkipTlsVerify ?? context["insecureSkipTlsVerify"]) === true,
    commandTimeoutMs,
    writeOut: writeOut as Format,
    hex: flags.hex === true,
  };
}

/** An endpoint may be written without its scheme: https then where a certificate was named. */
export function urlOf(endpoint: string, secure: boolean): string {
  return /^https?:\/\//.test(endpoint) ? endpoint.replace(/\/+$/, "") : `http${secure ? "s" : ""}://${endpoint}`;
}

/** As etcdctl has it, but it never asks at the terminal. */
function loginOf(user: string | undefined, password: string | undefined): ClientSettings["login"] {
  if (user === undefined) {
    if (password !== undefined) throw new CommandError("--password needs a --user", EXIT.usage);
    return undefined;
  }
  if (password !== undefined) return { name: user, password };
  const colon = user.indexOf(":");
  if (colon < 0) throw new CommandError("--user needs a password: --user NAME:PASSWORD, or --password", EXIT.usage);
  return { name: user.slice(0, colon), password: user.slice(colon + 1) };
}
