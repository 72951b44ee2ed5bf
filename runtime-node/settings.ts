/**
 * Every setting of the server, in one zod schema: flags, environment variables, `--help` and docs/reference/configuration.md come from
 * it. Names and meanings are etcd's (https://etcd.io/docs/v3.4/op-guide/configuration/) where etcd has the setting; ours are marked.
 *
 * A setting takes text (a flag, a variable) or the value itself; what it wants is said once, in its `meta`, for errors and for the page.
 */
import * as z from "zod";
import { parseDuration } from "./duration.ts";
import { LOG_LEVELS } from "./logger.ts";
import { isHostPattern } from "./service-prober.ts";
import { isCipherSuite } from "./tls/cipher-suites.ts";

/** What the schema says of a setting beside its type. */
export interface SettingMeta {
  readonly group: "Member" | "Cluster" | "Peer TLS" | "Clients" | "Client TLS" | "Limits" | "Compaction" | "Logging";
  /** Upper case, as it stands in `--help`. */
  readonly placeholder: string;
  /** What a value has to be: completes "wanted: …". */
  readonly wants: string;
  readonly description: string;
  /** Not one of etcd's. */
  readonly ours?: boolean;
}

const whole = (min: number, max: number) => z.preprocess(numberFromText, z.int().min(min).max(max));
const text = () => z.string().min(1);
const flag = () => z.preprocess(booleanFromText, z.boolean());
const duration = () => z.string().refine((value) => parseDuration(value) !== undefined);
const list = <T extends z.ZodType>(item: T) => z.preprocess(listFromText, z.array(item).min(1));

function numberFromText(value: unknown): unknown {
  return typeof value === "string" && /^-?[0-9]+$/.test(value) ? Number(value) : value;
}

/** The spellings of Go's flags. */
function booleanFromText(value: unknown): unknown {
  if (typeof value !== "string") return value;
  if (/^(1|t|true)$/i.test(value)) return true;
  return /^(0|f|false)$/i.test(value) ? false : value;
}

function listFromText(value: unknown): unknown {
  return typeof value === "string" ? value.split(",").map((item) => item.trim()) : value;
}

const wholeMeta = (min: number, max: number): Pick<SettingMeta, "placeholder" | "wants"> => ({
  placeholder: "N",
  wants: max === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${min}` : `a whole number from ${min} to ${max}`,
});

/** `http://host:port` or `https://host:port`, without a path. */
const httpUrl = z.string().refine(isHttpUrl);
const urlsMeta = {
  placeholder: "URLS",
  wants: "one or more of http://HOST:PORT or https://HOST:PORT, separated by commas, without a path",
} as const;
const durationMeta = { placeholder: "DURATION", wants: "a duration such as 300ms, 5s or 1h30m" } as const;
const peerFileMeta = { placeholder: "FILE", wants: "a path", group: "Peer TLS" } as const;
const clientFileMeta = { placeholder: "FILE", wants: "a path", group: "Client TLS" } as const;

function isHttpUrl(value: string): boolean {
  const found = /^https?:\/\/(\[[0-9a-fA-F:.]+\]|[^/?#@:[\]\s]+):([0-9]{1,5})\/?$/.exec(value);
  return found !== null && Number(found[2]) <= 65535;
}

const BYTES_MAX = Number.MAX_SAFE_INTEGER;
const meta = (value: SettingMeta): SettingMeta & Record<string, unknown> => ({ ...value });

export const settingsSchema = z.strictObject({
  name: text()
    .default("default")
    .meta(meta({ group: "Member", placeholder: "NAME", wants: "a name", description: "The member's name, for people." })),
  "data-dir": text()
    .default("quorate.data")
    .meta(
      meta({
        group: "Member",
        placeholder: "DIR",
        wants: "a path",
        description: "Where the log and the snapshots are kept. Made when it is missing.",
      }),
    ),
  "snapshot-count": whole(1, BYTES_MAX)
    .default(100_000)
    .meta(
      meta({
        group: "Member",
        ...wholeMeta(1, BYTES_MAX),
        description: "A snapshot is taken, and the log before it dropped, after so many writes.",
      }),
    ),
  "quota-backend-bytes": whole(-BYTES_MAX, BYTES_MAX)
    .default(0)
    .meta(
      meta({
        group: "Member",
        placeholder: "BYTES",
        wants: "a whole number",
        description:
          "Space that keys and values may take; above it writes are refused and an alarm is raised. 0: 2 GiB. Negative: no quota.",
      }),
    ),
  "listen-peer-urls": list(httpUrl)
    .optional()
    .meta(
      meta({
        group: "Cluster",
        ...urlsMeta,
        description:
          "Where other members are listened for. Default: http://localhost:2380, as soon as the cluster has more than one member.",
      }),
    ),
  "initial-advertise-peer-urls": list(httpUrl)
    .default(["http://localhost:2380"])
    .meta(meta({ group: "Cluster", ...urlsMeta, description: "Where other members reach this one." })),
  "initial-cluster": text()
    .optional()
    .meta(
      meta({
        group: "Cluster",
        placeholder: "MEMBERS",
        wants: "NAME=URL,NAME=URL… with this member's --name and --initial-advertise-peer-urls among them",
        description:
          "The members that found the cluster, the same text at each of them; with --initial-cluster-state existing, the members of the cluster to join. Used by a member without data only. Default: this member alone.",
      }),
    ),
  "initial-cluster-state": z
    .enum(["new", "existing"])
    .default("new")
    .meta(
      meta({
        group: "Cluster",
        placeholder: "STATE",
        wants: "new or existing",
        description: "Whether a member without data founds a cluster, or joins one that was told of it (member add).",
      }),
    ),
  "initial-cluster-token": text()
    .default("etcd-cluster")
    .meta(
      meta({
        group: "Cluster",
        placeholder: "TEXT",
        wants: "a text",
        description: "Tells clusters with the same addresses apart: the ids of cluster and members come from both.",
      }),
    ),
  "strict-reconfig-check": flag()
    .default(true)
    .meta(
      meta({
        group: "Cluster",
        placeholder: "BOOL",
        wants: "true or false",
        description: "Refuse to add or remove a member when those that are up would not be enough afterwards.",
      }),
    ),
  "force-new-cluster": flag()
    .default(false)
    .meta(
      meta({
        group: "Cluster",
        placeholder: "BOOL",
        wants: "true or false",
        description:
          "When most members are lost for good: go on with this one's data as a new cluster of it alone. The old directory is kept beside it. Without effect on a member that is alone.",
      }),
    ),
  "heartbeat-interval": whole(1, 60_000)
    .default(100)
    .meta(
      meta({ group: "Cluster", ...wholeMeta(1, 60_000), placeholder: "MS", description: "Milliseconds between heartbeats of a leader." }),
    ),
  "election-timeout": whole(10, 50_000)
    .default(1_000)
    .meta(
      meta({
        group: "Cluster",
        ...wholeMeta(10, 50_000),
        placeholder: "MS",
        description: "Milliseconds without a leader before an election. The shortest lease lasts one and a half times as long.",
      }),
    ),
  "peer-cert-file": text()
    .optional()
    .meta(meta({ ...peerFileMeta, description: "Certificate, PEM, with which this member meets others: as server and as client." })),
  "peer-key-file": text()
    .optional()
    .meta(meta({ ...peerFileMeta, description: "Its private key, PEM." })),
  "peer-client-cert-auth": flag()
    .default(false)
    .meta(
      meta({
        group: "Peer TLS",
        placeholder: "BOOL",
        wants: "true or false",
        description:
          "Talk only to members with a certificate of an authority in --peer-trusted-ca-file, which is meant too where that is set.",
      }),
    ),
  "peer-trusted-ca-file": text()
    .optional()
    .meta(meta({ ...peerFileMeta, description: "Authorities, PEM, whose certificates other members may show. Default: the system's." })),
  "peer-crl-file": text()
    .optional()
    .meta(meta({ ...peerFileMeta, description: "Certificates of members that their authorities have taken back, PEM or DER." })),
  "peer-cert-allowed-cn": text()
    .optional()
    .meta(
      meta({
        group: "Peer TLS",
        placeholder: "NAME",
        wants: "a common name",
        description: "Talk only to members whose certificate has this common name.",
      }),
    ),
  "peer-cert-allowed-hostname": text()
    .optional()
    .meta(
      meta({
        group: "Peer TLS",
        placeholder: "HOST",
        wants: "a host name or an address",
        description: "Talk only to members whose certificate has this among its alternative names.",
      }),
    ),
  "peer-auto-tls": flag()
    .default(false)
    .meta(
      meta({
        group: "Peer TLS",
        placeholder: "BOOL",
        wants: "true or false",
        description:
          "For a try-out: without --peer-cert-file, encrypt with certificates of the members' own making, kept in DIR/fixtures/peer. They prove nothing: whoever reaches the port is let in.",
      }),
    ),
  "listen-client-urls": list(httpUrl)
    .default(["http://127.0.0.1:2379"])
    .meta(meta({ group: "Clients", ...urlsMeta, description: "Where clients are listened for." })),
  "advertise-client-urls": list(httpUrl)
    .optional()
    .meta(
      meta({
        group: "Clients",
        ...urlsMeta,
        description: "Where clients are told to go: they connect to these after their first call. Default: where it listens.",
      }),
    ),
  "listen-metrics-urls": list(httpUrl)
    .optional()
    .meta(
      meta({
        group: "Clients",
        ...urlsMeta,
        description: "Further addresses that answer /metrics, /health, /livez, /readyz and /version only.",
      }),
    ),
  cors: list(text())
    .default(["*"])
    .meta(
      meta({
        group: "Clients",
        placeholder: "ORIGINS",
        wants: "origins separated by commas, or *",
        description: "Origins of web pages that may read replies.",
      }),
    ),
  "host-whitelist": list(text())
    .default(["*"])
    .meta(
      meta({
        group: "Clients",
        placeholder: "HOSTS",
        wants: "host names separated by commas, or *",
        description: "Names in the Host header that are answered: against DNS rebinding by web pages.",
      }),
    ),
  "service-check-hosts": list(z.string().refine(isHostPattern))
    .optional()
    .meta(
      meta({
        group: "Clients",
        placeholder: "HOSTS",
        wants: "names, *.names, addresses or blocks such as 10.0.0.0/8, separated by commas, or *",
        description:
          "Whom the leader may ask for the checks of services. Clients choose the address, and this process may reach what they cannot: name what is theirs. Left out: nobody. The same at each member.",
        ours: true,
      }),
    ),
  "enable-v2": flag()
    .default(true)
    .meta(
      meta({
        group: "Clients",
        placeholder: "BOOL",
        wants: "true or false",
        description: "Serve the v2 API under /v2. etcd 3.4 has it off by default.",
      }),
    ),
  "grpc-keepalive-min-time": duration()
    .default("5s")
    .meta(
      meta({
        group: "Clients",
        ...durationMeta,
        description: "A client may ping its connection once in this time; one that does so more often is cut off. 0: five minutes.",
      }),
    ),
  "grpc-keepalive-interval": duration()
    .default("2h")
    .meta(
      meta({
        group: "Clients",
        ...durationMeta,
        description: "A connection over HTTP/2 is pinged this often, to find out whether the client is still there. 0: two hours.",
      }),
    ),
  "grpc-keepalive-timeout": duration()
    .default("20s")
    .meta(meta({ group: "Clients", ...durationMeta, description: "It is closed when that is not answered in this time. 0: 20 seconds." })),
  "cert-file": text()
    .optional()
    .meta(meta({ ...clientFileMeta, description: "Certificate, PEM, that is shown to clients of https addresses." })),
  "key-file": text()
    .optional()
    .meta(meta({ ...clientFileMeta, description: "Its private key, PEM, without a passphrase." })),
  "client-cert-auth": flag()
    .default(false)
    .meta(
      meta({
        group: "Client TLS",
        placeholder: "BOOL",
        wants: "true or false",
        description:
          "Clients must have a certificate of an authority in --trusted-ca-file. Its common name is the user, over gRPC and v2, where authentication is on and no token or password is sent.",
      }),
    ),
  "trusted-ca-file": text()
    .optional()
    .meta(meta({ ...clientFileMeta, description: "Authorities, PEM, of whose clients a certificate is asked." })),
  "client-crl-file": text()
    .optional()
    .meta(meta({ ...clientFileMeta, description: "Certificates of clients that their authorities have taken back, PEM or DER." })),
  "client-cert-allowed-hostname": text()
    .optional()
    .meta(
      meta({
        group: "Client TLS",
        placeholder: "HOST",
        wants: "a host name or an address",
        description: "Only clients whose certificate has this among its alternative names are served.",
      }),
    ),
  "auto-tls": flag()
    .default(false)
    .meta(
      meta({
        group: "Client TLS",
        placeholder: "BOOL",
        wants: "true or false",
        description: "For a try-out: without --cert-file, show a certificate of the server's own making, kept in DIR/fixtures/client.",
      }),
    ),
  "self-signed-cert-validity": whole(1, 100)
    .default(1)
    .meta(
      meta({
        group: "Client TLS",
        ...wholeMeta(1, 100),
        placeholder: "YEARS",
        description: "Years that a certificate of --auto-tls or --peer-auto-tls is valid.",
      }),
    ),
  "cipher-suites": list(z.string().refine(isCipherSuite))
    .optional()
    .meta(
      meta({
        group: "Client TLS",
        placeholder: "NAMES",
        wants: "names such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, separated by commas",
        description: "Cipher suites of TLS 1.2 that are taken, for clients and members, the best first. Default: Node's.",
      }),
    ),
  "tls-min-version": z
    .enum(["TLS1.2", "TLS1.3"])
    .default("TLS1.2")
    .meta(
      meta({
        group: "Client TLS",
        placeholder: "VERSION",
        wants: "TLS1.2 or TLS1.3",
        description: "The oldest version of TLS that is spoken, with clients and members. A flag of etcd 3.5.",
      }),
    ),
  "tls-max-version": z
    .enum(["TLS1.2", "TLS1.3"])
    .optional()
    .meta(
      meta({
        group: "Client TLS",
        placeholder: "VERSION",
        wants: "TLS1.2 or TLS1.3",
        description: "The newest version of TLS that is spoken. Default: the newest there is. A flag of etcd 3.5.",
      }),
    ),
  "auth-token": text()
    .default("simple")
    .meta(
      meta({
        group: "Clients",
        placeholder: "KIND",
        wants: "simple, or jwt,sign-method=METHOD,priv-key=FILE,pub-key=FILE,ttl=DURATION",
        description:
          "Tokens that users are given for their password. simple: each member remembers them. jwt: signed with a key that all members have, such as jwt,sign-method=ES256,priv-key=FILE; with a pub-key alone, tokens are given out elsewhere. Methods: RS256, RS384, RS512, PS…, ES…, HS…; ttl: 5m.",
      }),
    ),
  "auth-token-ttl": whole(1, 31_536_000)
    .default(300)
    .meta(
      meta({
        group: "Clients",
        ...wholeMeta(1, 31_536_000),
        placeholder: "SECONDS",
        description: "A simple token that was not used for so long is forgotten.",
      }),
    ),
  "max-request-bytes": whole(1, 512 * 1024 * 1024)
    .default(1_572_864)
    .meta(meta({ group: "Limits", ...wholeMeta(1, 512 * 1024 * 1024), placeholder: "BYTES", description: "The largest write, in bytes." })),
  "max-txn-ops": whole(1, 1_000_000)
    .default(128)
    .meta(meta({ group: "Limits", ...wholeMeta(1, 1_000_000), description: "Operations that each list of a transaction may have." })),
  "max-concurrent-streams": whole(1, 4_294_967_295)
    .default(100_000)
    .meta(
      meta({
        group: "Limits",
        ...wholeMeta(1, 4_294_967_295),
        description: "Calls that one HTTP/2 connection may have open at a time; its client keeps more of them back.",
      }),
    ),
  "max-connections": whole(1, 1_000_000)
    .default(10_000)
    .meta(
      meta({
        group: "Limits",
        ...wholeMeta(1, 1_000_000),
        ours: true,
        description: "Connections of clients at a time, for each address; more are closed at once.",
      }),
    ),
  "auto-compaction-mode": z
    .enum(["periodic", "revision"])
    .default("periodic")
    .meta(
      meta({
        group: "Compaction",
        placeholder: "MODE",
        wants: "periodic or revision",
        description: "What --auto-compaction-retention counts: time, or revisions.",
      }),
    ),
  "auto-compaction-retention": text()
    .default("0")
    .meta(
      meta({
        group: "Compaction",
        placeholder: "AMOUNT",
        wants: "hours (1), a duration (30m, 1h30m), or in revision mode a number of revisions; 0 for never",
        description: "How much history is kept; older history is removed by itself. 0: all.",
      }),
    ),
  "audit-log": text()
    .optional()
    .meta(
      meta({
        group: "Logging",
        placeholder: "FILE",
        wants: "a path",
        description: "Where each change is noted that a client of this member asks for: who, from where, which keys. Left out: nowhere.",
        ours: true,
      }),
    ),
  "log-level": z
    .enum(Object.keys(LOG_LEVELS) as [keyof typeof LOG_LEVELS, ...(keyof typeof LOG_LEVELS)[]])
    .default("info")
    .meta(
      meta({
        group: "Logging",
        placeholder: "LEVEL",
        wants: Object.keys(LOG_LEVELS).join(", "),
        description: "The least important level that is logged.",
      }),
    ),
  "log-format": z
    .enum(["auto", "json", "plain"])
    .default("auto")
    .meta(
      meta({
        group: "Logging",
        placeholder: "FORMAT",
        wants: "auto, json or plain",
        ours: true,
        description: "One JSON object a line, or plain lines. auto: plain on a terminal.",
      }),
    ),
});

export type Settings = z.output<typeof settingsSchema>;
export type SettingName = keyof Settings;

/** In the order of the schema. */
export const SETTING_NAMES = Object.keys(settingsSchema.shape) as SettingName[];

export function metaOf(name: SettingName): SettingMeta {
  return settingsSchema.shape[name].meta() as unknown as SettingMeta;
}

/** As it is written on a command line; undefined when there is none. */
export function defaultOf(name: SettingName): string | undefined {
  const value: unknown = settingsSchema.shape[name].safeParse(undefined).data;
  return value === undefined ? undefined : Array.isArray(value) ? value.join(",") : String(value);
}

/** `--data-dir` is `QUORATE_DATA_DIR`. */
export function variableOf(name: SettingName): string {
  return "QUORATE_" + name.toUpperCase().replaceAll("-", "_");
}

export function isBoolean(name: SettingName): boolean {
  return metaOf(name).placeholder === "BOOL";
}
