import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { freePort } from "./free-port.ts";
import { startServer } from "./start-server.ts";
import { tempDir } from "./temp-dir.ts";

/** A process that runs until it is ended. */
const IDLE = "setInterval(() => {}, 1000)";

test("startServer() fails with what the process printed when it dies instead of becoming ready", async () => {
  const args = ["-e", 'console.error("no such flag"); process.exit(3)'];
  const started = startServer({ name: "broken", command: process.execPath, args, port: await freePort(), dataDir: tempDir("none") });
  await expect(started).rejects.toThrow(/broken: .*it ended with 3[^]*no such flag/);
});

test("startServer() fails when there is no such program", async () => {
  const started = startServer({
    name: "absent",
    command: "no-such-program-here",
    args: [],
    port: await freePort(),
    dataDir: tempDir("none"),
  });
  await expect(started).rejects.toThrow("ENOENT");
});

test("untilReady() gives up in time, and kill() tells how the process ended", async () => {
  const port = await freePort();
  const options = { name: "idle", command: process.execPath, args: ["-e", IDLE], port, dataDir: tempDir("none"), waitReady: false };
  const server = await startServer(options);
  await expect(server.untilReady(50)).rejects.toThrow("was not ready within 50 ms");
  expect(server.exit()).toBeUndefined();
  expect(await server.kill("SIGTERM")).toEqual({ code: null, signal: "SIGTERM" });
  expect(server.exit()).toEqual({ code: null, signal: "SIGTERM" });
});

test("servers end with the process that started them, also when that is terminated", async () => {
  const script = join(tempDir("orphan"), "parent.ts");
  const helper = join(import.meta.dirname, "start-server.ts");
  const child = `{ name: "idle", command: process.execPath, args: ["-e", ${JSON.stringify(IDLE)}], port: 1, dataDir: "", waitReady: false }`;
  writeFileSync(
    script,
    `const { startServer } = await import(${JSON.stringify(helper)});\nconsole.log((await startServer(${child})).pid);\n${IDLE};\n`,
  );
  const parent = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
  const pid = await new Promise<number>((resolve) => parent.stdout.once("data", (text: Buffer) => resolve(Number(text))));
  expect(isRunning(pid)).toBe(true);
  parent.kill("SIGTERM");
  await new Promise((resolve) => parent.once("close", resolve));
  await expect.poll(() => isRunning(pid), { timeout: 5_000 }).toBe(false);
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
