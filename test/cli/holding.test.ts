/** `quorate lock` and `elect` with real processes: who holds, what happens to the command when the hold is lost. */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { QUORATE_SCRIPT, startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";

interface Running {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
}

let server: ServerProcess;
const children: ChildProcess[] = [];

beforeEach(async () => {
  server = await startQuorate();
}, 60_000);

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await server.stop();
});

function quorate(...args: string[]): Running {
  const child = spawn(process.execPath, [QUORATE_SCRIPT, ...args], {
    env: { ...process.env, QUORATE_ENDPOINTS: server.url },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (piece: Buffer) => (stdout += piece.toString()));
  child.stderr.on("data", (piece: Buffer) => (stderr += piece.toString()));
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { child, stdout: () => stdout, ended };
}

const holders = async (name: string): Promise<number> => {
  const state = (await (await fetch(`${server.url}/v1/locks/${name}`)).json()) as { holder: object | null; line: object[] };
  return (state.holder === null ? 0 : 1) + state.line.length;
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

describe("quorate lock", () => {
  test("runs the command with its fence and ends as the command does; the lock is free then", async () => {
    const { code, stdout } = await quorate("lock", "deploy", "--", "sh", "-c", "echo $QUORATE_FENCE $ETCD_LOCK_REV; exit 7").ended;
    expect(code).toBe(7);
    expect(stdout).toMatch(/^(\d+) \1\n$/);
    expect(await holders("deploy")).toBe(0);
  });

  test("the lock is that of the v1 API; with --etcd that of etcd's clients", async () => {
    const held = quorate("lock", "deploy", "--owner", "ann");
    await expect.poll(held.stdout).toMatch(/^\/quorate\/locks\/deploy\/[0-9a-f]+\n\n$/);
    expect(await (await fetch(`${server.url}/v1/locks/deploy`)).json()).toMatchObject({ holder: { owner: "ann" } });
    const refused = await quorate("lock", "deploy", "--wait", "0s", "--", "echo", "no").ended;
    expect(refused).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("held") });
    const other = await quorate("lock", "--etcd", "deploy", "--", "sh", "-c", "echo $ETCD_LOCK_KEY").ended;
    expect(other).toMatchObject({ code: 0, stdout: expect.stringMatching(/^deploy\/[0-9a-f]+\n$/) });
    held.child.kill("SIGTERM");
    expect((await held.ended).code).toBe(0);
    expect(await holders("deploy")).toBe(0);
  });

  test("a signal while it waits leaves the line", async () => {
    const held = quorate("lock", "deploy");
    await expect.poll(held.stdout).not.toBe("");
    const waiting = quorate("lock", "deploy", "--", "echo", "never");
    await expect.poll(() => holders("deploy")).toBe(2);
    waiting.child.kill("SIGINT");
    expect(await waiting.ended).toMatchObject({ code: 130, stdout: "" });
    await expect.poll(() => holders("deploy")).toBe(1);
  });

  test("when the lock is lost the command is ended with all its children, also one that ignores SIGTERM", async () => {
    const dir = tempDir("lock");
    const pids = join(dir, "pids");
    const script = `trap '' TERM; sleep 1000 & echo $$ $! > ${pids}.part; mv ${pids}.part ${pids}; wait; sleep 1000`;
    const held = quorate("lock", "deploy", "--ttl", "2", "--", "sh", "-c", script);
    await expect.poll(() => existsSync(pids)).toBe(true);
    const all = readFileSync(pids, "utf8").trim().split(" ").map(Number);
    expect(all.map(isAlive)).toEqual([true, true]);
    server.signal("SIGSTOP"); // nobody answers: the lock is lost by the holder's own clock
    const { code, stderr } = await held.ended;
    server.signal("SIGCONT");
    expect(code).toBe(1);
    expect(stderr).toContain("it was lost while sh was running, which was ended");
    await expect.poll(() => all.map(isAlive)).toEqual([false, false]);
  });

  test("a signal is passed on to the command, whose end is told", async () => {
    const held = quorate("lock", "deploy", "--", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done");
    await expect.poll(held.stdout).toBe("ready\n");
    held.child.kill("SIGTERM");
    expect((await held.ended).code).toBe(9);
    expect(await holders("deploy")).toBe(0);
  });
});

describe("quorate elect", () => {
  test("leads until it is told to end; whoever listens sees each leader", async () => {
    const seen = quorate("elect", "-l", "office");
    const first = quorate("elect", "office", "ann");
    await expect.poll(first.stdout).toMatch(/^\/quorate\/elections\/office\/[0-9a-f]+\nann\n$/);
    const second = quorate("elect", "office", "bob", "--", "sh", "-c", "echo leading; sleep 1000");
    await expect.poll(seen.stdout).toContain("ann\n");
    expect(second.stdout()).toBe("");
    first.child.kill("SIGTERM");
    await expect.poll(second.stdout).toBe("leading\n");
    await expect.poll(seen.stdout).toContain("bob\n");
    second.child.kill("SIGTERM");
    expect((await second.ended).code).toBe(143);
    seen.child.kill("SIGINT");
    expect((await seen.ended).code).toBe(0);
  });
});
