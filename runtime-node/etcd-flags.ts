/**
 * Flags of etcd that the server knows and does not take: those whose feature is still to come, and those that have no meaning here.
 * Both are refused with the reason, so that nobody believes in a setting that does nothing.
 * Source of the names: https://etcd.io/docs/v3.4/op-guide/configuration/
 */
const OWN_CERTIFICATE = "one certificate serves both directions: see --peer-cert-file";
const OLD_NAME = "etcd has it no more: see --trusted-ca-file and --peer-trusted-ca-file";
const CLUSTER = "the consensus is another one than etcd's and has no such setting: pre-votes are always on";
const PROXY = "a member that is no part of the consensus is not there yet";
const AUTH = "passwords are hashed with scrypt, whose cost is fixed";
const DISCOVERY = "a cluster is found by --initial-cluster: discovery services are not there yet";
const STORAGE = "the storage is another one than etcd's and has no such setting";
const LOGGING = "logs are JSON on the standard error stream: see --log-level and --log-format";
const PROFILING = "start the server with Node's own --cpu-prof or --inspect instead";

const GROUPS: readonly (readonly [reason: string, names: string])[] = [
  [OLD_NAME, "ca-file peer-ca-file"],
  ["the address that a member comes from is never compared with its certificate", "experimental-peer-skip-client-san-verification"],
  [OWN_CERTIFICATE, "peer-client-cert-file peer-client-key-file"],
  ["the JSON gateway makes no connection of its own, and needs no certificate", "client-cert-file client-key-file"],
  [CLUSTER, "pre-vote"],
  [PROXY, "proxy proxy-failure-wait"],
  [CLUSTER, "initial-election-tick-advance max-snapshots max-wals experimental-initial-corrupt-check experimental-corrupt-check-time"],
  [DISCOVERY, "discovery discovery-srv discovery-srv-name discovery-fallback discovery-proxy"],
  [AUTH, "bcrypt-cost"],
  [
    STORAGE,
    "wal-dir backend-batch-limit backend-batch-interval backend-bbolt-freelist-type unsafe-no-fsync experimental-backend-bbolt-freelist-type",
  ],
  [STORAGE, "experimental-compaction-batch-limit experimental-enable-v2v3"],
  [LOGGING, "logger log-output log-outputs debug log-package-levels"],
  [PROFILING, "enable-pprof"],
  ["the JSON gateway is always on", "enable-grpc-gateway"],
  ["the metrics are always complete", "metrics"],
];

const REASONS: ReadonlyMap<string, string> = new Map(
  GROUPS.flatMap(([reason, names]) => names.split(" ").map((name) => [name, reason] as const)),
);

/** Why a flag of etcd is not taken; undefined when it is none of them. @param name without dashes */
export function whyNotTaken(name: string): string | undefined {
  return REASONS.get(name);
}
