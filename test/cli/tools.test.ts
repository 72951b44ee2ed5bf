/** The commands that etcdctl does not have, each as a script uses it. */
import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { QUORATE_SCRIPT, startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

let server: ServerProcess;
beforeAll(async () => {
  server = await startQuorate();
}, 60_000);
afterAll(() => server.stop());

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function quorate(args: readonly string[], input = ""): Promise<Ended> {
  const child = spawn(process.execPath, [QUORATE_SCRIPT, ...args], { env: { ...process.env, QUORATE_ENDPOINTS: server.url } });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (piece: Buffer) => (stdout += piece.toString()));
  child.stderr.on("data", (piece: Buffer) => (stderr += piece.toString()));
  child.stdin.end(input);
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr })));
}

test("queue: a message is the command's input, done when it ends with 0, and handed out again otherwise", { timeout: 60_000 }, async () => {
  expect(await quorate(["queue", "put", "mails", "second"])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d{20}\n$/) });
  expect(await quorate(["queue", "put", "mails", "--priority", "1"], "first")).toMatchObject({ code: 0 });
  expect(await quorate(["queue", "take", "mails", "--", "sh", "-c", "cat; echo , $QUORATE_DELIVERIES"])).toMatchObject({
    stdout: "first, 1\n",
  });
  expect(await quorate(["queue", "take", "mails", "--", "sh", "-c", "exit 4"])).toMatchObject({ code: 4 });
  const { stdout } = await quorate(["queue", "state", "mails", "-w", "json"]);
  expect(JSON.parse(stdout)).toMatchObject({ visible: 0, delayed: 1, inFlight: 0, dead: 0 });
  expect(await quorate(["queue", "take", "mails"])).toMatchObject({ code: 1, stderr: expect.stringContaining("there is no message") });
});

test("service: an instance is listed for as long as its process runs", { timeout: 60_000 }, async () => {
  const child = spawn(process.execPath, [QUORATE_SCRIPT, "service", "register", "web", "web-1", "10.0.0.1", "--port", "80"], {
    env: { ...process.env, QUORATE_ENDPOINTS: server.url },
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  try {
    await new Promise((resolve) => child.stdout.once("data", resolve));
    expect((await quorate(["service", "list", "web"])).stdout).toBe("web-1 10.0.0.1:80 passing\n");
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect((await quorate(["service", "list", "web"])).stdout).toBe("");
  } finally {
    child.kill("SIGKILL");
  }
});

test("config: values are published together, read as they were, and brought back", { timeout: 60_000 }, async () => {
  const first = await quorate(["config", "publish", "shop", "color=blue", "limit=10"]);
  const revision = /revision (\d+)/.exec(first.stdout)![1]!;
  await quorate(["config", "publish", "shop", "color=red", "limit="]);
  expect((await quorate(["config", "get", "shop"])).stdout).toBe('color="red"\n');
  expect((await quorate(["config", "get", "shop", "--rev", revision])).stdout).toBe('color="blue"\nlimit=10\n');
  await quorate(["config", "rollback", "shop", revision]);
  expect((await quorate(["config", "get", "shop"])).stdout).toBe('color="blue"\nlimit=10\n');
});

test("export and import: every byte of keys and values, page by page, and twice is as once", { timeout: 120_000 }, async () => {
  const lines = Array.from({ length: 1_205 }, (_, n) => ({ key: Buffer.from(`big/${n}\xff`, "latin1"), value: Buffer.of(n & 255, 0, 10) }));
  const written = lines.map(({ key, value }) => `${JSON.stringify({ key: key.toString("base64"), value: value.toString("base64") })}\n`);
  for (const _ of [1, 2])
    expect(await quorate(["import"], written.join(""))).toMatchObject({ code: 0, stdout: "1205 keys put\n", stderr: "" });
  const { stdout, stderr } = await quorate(["export", "--prefix", "big/"]);
  expect(stdout.split("\n").filter(Boolean).toSorted()).toEqual(written.map((line) => line.trim()).toSorted());
  expect(stderr).toContain("1205 keys as of revision");
});

test("import takes what Consul and etcdctl print, and names what it cannot", { timeout: 60_000 }, async () => {
  const consul = '[{"key":"a/1","flags":0,"value":"aGk="},{"key":"a/2","flags":0,"value":null}]';
  expect(await quorate(["import", "--prefix", "consul/"], consul)).toMatchObject({ stdout: "2 keys put\n" });
  expect((await quorate(["get", "--prefix", "consul/"])).stdout).toBe("consul/a/1\nhi\nconsul/a/2\n\n");
  const etcd = (await quorate(["get", "--prefix", "consul/", "-w", "json"])).stdout;
  expect(await quorate(["import", "--prefix", "again/", "--dry-run"], etcd)).toMatchObject({ stdout: "2 keys would be put\n" });
  const bad = '{"key":"YQ==","value":"aGk="}\n{"key":"YQ==","value":"not base64"}\n';
  expect(await quorate(["import"], bad)).toMatchObject({ code: 3, stderr: expect.stringContaining("line 2: its value is no base64") });
});

test("doctor, top and bench tell of the members and leave nothing behind", { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "doctor-"));
  writeFileSync(join(folder, "kept"), "");
  const healthy = await quorate(["doctor", "--data-dir", folder]);
  expect(healthy.stdout).toContain("disk: a write is on the disk within");
  expect(healthy.stdout).toContain(`ok      member ${server.url}`);
  expect(await quorate(["doctor", "--endpoints", "127.0.0.1:1"])).toMatchObject({
    code: 1,
    stdout: expect.stringContaining("bad     member"),
  });
  expect((await quorate(["top", "--count", "1"])).stdout).toContain("| leader |");
  expect((await quorate(["bench", "--for", "200ms", "--clients", "2"])).stdout).toMatch(/^\d+ calls, \d+ a second; /);
  expect((await quorate(["get", "--prefix", "quorate-bench/"])).stdout).toBe("");
});
