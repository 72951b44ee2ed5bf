/**
 * `quorate doctor`: looks at what members suffer from most: a slow disk, too few open files, certificates that end,
 * members that do not answer. Each finding says what to do.
 */
import { X509Certificate } from "node:crypto";
import { mkdtempSync, openSync, closeSync, fdatasyncSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { newCommand, onCluster } from "./client-command.ts";
import { askEach } from "./each-endpoint.ts";
import type { StatusReply } from "./endpoint.ts";
import { CommandError } from "./exit-codes.ts";

interface Finding {
  readonly what: string;
  readonly state: "ok" | "warning" | "bad";
  readonly found: string;
}

const SYNCS = 50;
/** etcd's own advice for the 99th of a hundred: https://etcd.io/docs/v3.4/faq/ */
const SYNC_MS_MAX = 10;
const OPEN_FILES_MIN = 4_096;
const CERTIFICATE_DAYS_MIN = 14;
const DAY_MS = 86_400_000;

export function command(): Command {
  const command = newCommand("doctor", "check disk, open files, certificates and members", [
    "doctor --data-dir /var/lib/quorate",
    "doctor --endpoints a:2379,b:2379,c:2379",
  ]);
  command.option("--data-dir <DIR>", "where a member of this machine keeps its data: its disk is tried");
  command.withNotes("Ends with 1 when something is bad.");
  return onCluster<{ dataDir?: string }>(command, async ({ cluster, print, settings }, _, { dataDir }) => {
    const findings = [
      ...(dataDir === undefined ? [] : [disk(dataDir)]),
      openFiles(),
      ...[settings.cacert, settings.cert].flatMap((path) => (path === undefined ? [] : [certificate(path)])),
      ...members(await askEach<StatusReply>(cluster, settings.endpoints, "maintenance/status", {})),
    ];
    print.show({
      simple: () =>
        Buffer.from(findings.map(({ what, state, found }) => `${state.padEnd(7)} ${what}: ${found}\n`).join("")).toString("latin1"),
      json: () => findings,
      table: () => ({ heads: ["CHECK", "STATE", "FOUND"], rows: findings.map(({ what, state, found }) => [what, state, found]) }),
    });
    if (findings.some(({ state }) => state === "bad")) throw new CommandError("");
  });
}

/** How long it takes until a small write is on the disk, which each write of a member waits for. */
function disk(dataDir: string): Finding {
  const folder = mkdtempSync(join(dataDir, "doctor-"));
  const took: number[] = [];
  try {
    const file = openSync(join(folder, "sync"), "w");
    for (let n = 0; n < SYNCS; n++) {
      const begunMs = performance.now();
      writeSync(file, Buffer.alloc(4_096, n));
      fdatasyncSync(file);
      took.push(performance.now() - begunMs);
    }
    closeSync(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
  took.sort((a, b) => a - b);
  const [half, slowest] = [took[SYNCS / 2]!, took.at(-1)!];
  const found = `a write is on the disk within ${half.toFixed(1)} ms, at worst ${slowest.toFixed(1)} ms`;
  if (half > SYNC_MS_MAX) return { what: "disk", state: "bad", found: `${found}: use a faster disk, such as an SSD of its own` };
  return { what: "disk", state: slowest > SYNC_MS_MAX ? "warning" : "ok", found };
}

/** Of this user; a service manager may give a member another limit. */
function openFiles(): Finding {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } };
  const soft = report.userLimits?.open_files?.soft ?? "unknown";
  const few = typeof soft === "number" && soft < OPEN_FILES_MIN;
  const advice = few ? `: set ulimit -n, or LimitNOFILE of the service, to ${OPEN_FILES_MIN} or more` : "";
  return { what: "open files", state: few ? "warning" : "ok", found: `at most ${soft}${advice}` };
}

function certificate(path: string): Finding {
  const { validTo } = new X509Certificate(readFileSync(path));
  const days = Math.floor((Date.parse(validTo) - Date.now()) / DAY_MS);
  const state = days < 0 ? "bad" : days < CERTIFICATE_DAYS_MIN ? "warning" : "ok";
  return {
    what: `certificate ${path}`,
    state,
    found: days < 0 ? `it ended on ${validTo}: renew it` : `good for ${days} days, until ${validTo}`,
  };
}

function members(asked: Awaited<ReturnType<typeof askEach<StatusReply>>>): Finding[] {
  const terms = new Set(asked.flatMap((one) => ("reply" in one ? [one.reply.leader ?? "0"] : [])));
  const each = asked.map((one): Finding => {
    const what = `member ${one.endpoint}`;
    if (!("reply" in one)) return { what, state: "bad", found: `no answer: ${one.error}` };
    const { leader = "0", errors = [] } = one.reply;
    if (leader === "0") return { what, state: "bad", found: "it knows no leader: are most members up, and do they reach one another?" };
    if (errors.length > 0) return { what, state: "bad", found: errors.join(", ") };
    return { what, state: "ok", found: `answers in ${one.tookMs.toFixed(1)} ms` };
  });
  if (terms.size <= 1) return each;
  return [
    ...each,
    { what: "leader", state: "warning", found: "members name different ones: an election is under way, or these are several clusters" },
  ];
}
