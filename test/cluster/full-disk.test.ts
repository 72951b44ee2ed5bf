/**
 * A disk that runs full under load (a small tmpfs): the server refuses writes by etcd's NOSPACE alarm or ends with a clear message, and either
 * way all it acknowledged is there once there is room again.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { atEnd } from "../helpers/at-end.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import { removeTempDir, tempDir } from "../helpers/temp-dir.ts";
import { ask, base64, callV3, fromBase64 } from "./http.ts";

/** Room for the log's preallocated files and a snapshot. */
const DISK_MEGABYTES = 320;
/** What is left to the server after its start. */
const LEFT_MEGABYTES = 12;
/** As long as the server takes at most between two steps of its preparations. */
const SETTLE_MS = 500;
const VALUE_BYTES = 200_000;
const PUTS_MAX = 3_000;
const RESOURCE_EXHAUSTED = 8;

/** @returns undefined when this machine does not let us mount */
function mountTmpfs(): string | undefined {
  const at = tempDir("small-disk");
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MEGABYTES}m`, "quorate-test", at], { stdio: "ignore" });
  } catch {
    removeTempDir(at);
    return undefined;
  }
  atEnd(() => unmount(at));
  return at;
}

function unmount(at: string): void {
  try {
    execFileSync("umount", ["-l", at], { stdio: "ignore" });
  } catch {
    // It was unmounted before: nothing is left to do, and the exit hook must not fail.
  }
}

/** Free space once the server has set aside what it prepares after its start. */
async function settledFreeBytes(at: string): Promise<number> {
  const free = (): number => statfsSync(at).bavail * statfsSync(at).bsize;
  for (let before = -1; before !== free();) {
    before = free();
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  }
  return free();
}

const disk = mountTmpfs();

test.skipIf(disk === undefined)(
  `a full disk loses nothing acknowledged${disk === undefined ? " (skipped: mounting a tmpfs needs root)" : ""}`,
  { timeout: 120_000 },
  async () => {
    const at = disk as string;
    const dataDir = join(at, "data");
    mkdirSync(dataDir);
    const agent = new Agent({ keepAlive: true });
    const server = await startQuorate({ dataDir });
    try {
      const filler = join(at, "filler");
      writeFileSync(filler, Buffer.alloc((await settledFreeBytes(at)) - LEFT_MEGABYTES * 1024 * 1024));

      const acknowledged = new Map<string, string>();
      let refused = "";
      for (let n = 0; n < PUTS_MAX && refused === ""; n++) {
        const value = `${n}-`.padEnd(VALUE_BYTES, "x");
        const reply = await ask(agent, server.url, "POST", "/v3/kv/put", JSON.stringify({ key: base64(`big${n}`), value: base64(value) }));
        if (reply?.status === 200) acknowledged.set(`big${n}`, value);
        else refused = reply === undefined ? "no answer" : `${reply.status} ${reply.text}`;
      }
      expect(refused).not.toBe("");
      expect(acknowledged.size).toBeGreaterThan(0);
      if (refused === "no answer") {
        // It died: not with 0, and it says of which file.
        const exit = await server.exited;
        expect(exit.code).not.toBe(0);
        expect(server.output()).toMatch(/ENOSPC|no space/i);
        expect(server.output()).toContain(dataDir);
      } else {
        expect(JSON.parse(refused.slice(refused.indexOf("{")))).toMatchObject({ code: RESOURCE_EXHAUSTED });
        await server.kill("SIGKILL");
      }

      rmSync(filler);
      const again = await startQuorate({ dataDir, port: server.port });
      try {
        for (const [key, value] of acknowledged) {
          const { kvs } = await callV3<{ kvs?: { value: string }[] }>(agent, again.url, "/v3/kv/range", { key: base64(key) });
          expect(fromBase64(kvs?.[0]?.value ?? "") === value, `${key} was acknowledged`).toBe(true);
        }
      } finally {
        await again.stop();
      }
    } finally {
      agent.destroy();
      await server.stop();
      unmount(at);
    }
  },
);
