/**
 * `quorate` in place of `etcdctl`: the same scripts with etcdctl on a real etcd and with this command on this server, and what both print
 * and how they end is compared. Ids and terms, which differ by nature, are put aside; nothing else is.
 */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../helpers/free-port.ts";
import { etcdVersion, startEtcd } from "../helpers/start-etcd.ts";
import { QUORATE_SCRIPT, startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { SCRIPTS } from "./scripts.ts";

/** Two processes a command, some dozen commands a script, on a machine that may be busy. */
const SCRIPT_MS = 120_000;

/**
 * `grant`: the id of a new lease. `rev N`: the revision of the store, and N more. `watching N …`: a watch in the background; `seen`: waits until it has printed N lines,
 * ends it and shows them.
 */
const PRELUDE = `
rev() { echo $(($($CTL get a -w json | grep -o '"revision":[0-9]*' | head -1 | cut -d: -f2) + $1)); }
grant() { $CTL lease grant 300 | cut -d' ' -f2; }
watching() { LINES_WANTED=$1; shift; : > "$OUT"; $CTL watch "$@" > "$OUT" & WATCH=$!; }
seen() {
  for _ in $(seq 600); do [ "$(wc -l < "$OUT")" -ge "$LINES_WANTED" ] && break; sleep 0.05; done
  kill $WATCH; wait $WATCH 2>/dev/null; cat "$OUT"
}
`;

interface Side {
  readonly server: ServerProcess;
  readonly env: Readonly<Record<string, string>>;
}

function run({ env }: Side, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("bash", ["-c", PRELUDE + text], { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    const [out, told]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on("data", (piece: Buffer) => out.push(piece));
    child.stderr.on("data", (piece: Buffer) => told.push(piece));
    child.once("error", reject);
    child.once("close", (code) => {
      if (process.env["CLI_TEST_VERBOSE"] !== undefined) console.log(Buffer.concat(told).toString());
      resolve(`${comparable(Buffer.concat(out).toString("latin1"))}ended with ${code}\n`);
    });
  });
}

/** Without what differs from cluster to cluster: ids, terms, addresses, and leases, which are chosen at random. */
function comparable(output: string): string {
  return (
    output
      .replace(/"(cluster_id|member_id|raft_term|raftTerm|raftIndex|raftAppliedIndex|leader|dbSize|dbSizeInUse|hash)":[0-9]+/g, '"$1":#')
      .replace(/"(ClusterID|MemberID|RaftTerm|RaftIndex|RaftAppliedIndex|Leader|DBSize|Hash)" : [0-9]+/g, '"$1" : #')
      .replace(/("ttl":|remaining\()29[0-9]/g, "$1300")
      .replace(/("TTL" : )29[0-9]/g, "$1300")
      .replace(/http:\/\/127\.0\.0\.1:[0-9]{5}/g, "<url>")
      .replace(/3\.4\.[0-9]+|[0-9.]+ kB|(<url>, )[0-9]+$/gm, "$1#")
      .replace(/(#, (?:true|false), (?:true|false), )[0-9]+, [0-9]+, [0-9]+/g, "$1#, #, #")
      .replace(/"compact_revision":[0-9]+/g, "")
      .replace(/\b[0-9]{17,20}\b/g, "<id>")
      // In the order of ids, which come from addresses.
      .replace(/(ETCD_INITIAL_CLUSTER=")([^"]*)/g, (_, name: string, list: string) => name + list.split(",").sort().join(","))
      // Ids are padded to sixteen digits, by blanks before those that have fewer.
      .replace(/ +([0-9a-f]{12,16})\b/g, " $1")
      .replace(/\b[0-9a-f]{12,16}\b/g, "<hex>")
  );
}

/** One command, so that it can be `$CTL` in a script. */
function commandFile(name: string, text: string): string {
  const dir = tempDir("cli");
  mkdirSync(dir, { recursive: true });
  const path = join(dir, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return path;
}

describe.skipIf(etcdVersion() === undefined)("scripts for etcdctl work with the name changed", () => {
  let theirs: Side;
  let ours: Side;

  beforeAll(async () => {
    const peer = `http://127.0.0.1:${await freePort()}`;
    const flags = ["--initial-advertise-peer-urls", peer, "--initial-cluster", `default=${peer}`];
    const [etcd, quorate] = await Promise.all([startEtcd(), startQuorate({ flags })]);
    const side = (server: ServerProcess, ctl: string, variable: string): Side => ({
      server,
      env: { CTL: ctl, [variable]: server.url, ETCDCTL_API: "3", OUT: join(tempDir("cli-out"), "watch") },
    });
    theirs = side(etcd, "etcdctl", "ETCDCTL_ENDPOINTS");
    ours = side(quorate, commandFile("quorate", `exec "${process.execPath}" "${QUORATE_SCRIPT}" "$@"`), "QUORATE_ENDPOINTS");
  }, 60_000);

  afterAll(async () => {
    await Promise.all([theirs?.server.stop(), ours?.server.stop()]);
  });

  test.each(SCRIPTS)("$name", { timeout: SCRIPT_MS }, async ({ text }) => {
    const [expected, found] = await Promise.all([run(theirs, text), run(ours, text)]);
    expect(found).toBe(expected);
  });
});
