import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { atEnd } from "../helpers/at-end.ts";
import { freePort } from "../helpers/free-port.ts";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";
import { workerd } from "../helpers/start-quorate-worker.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilReady } from "../helpers/until-ready.ts";

const dev = (args: readonly string[]) => {
  const child = spawn(process.execPath, ["runtime-worker/local/dev.ts", ...args], { cwd: PROJECT_ROOT, stdio: ["ignore", "pipe", "pipe"] });
  atEnd(() => void child.kill("SIGKILL"));
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (output += part.toString()));
  return { child, output: () => output, exited: once(child, "exit") };
};

test.skipIf(workerd === undefined)(
  "npm run dev:worker serves until Ctrl-C, with the variables it is given (skipped where workerd is not there)",
  async () => {
    const port = await freePort();
    const { child, output, exited } = dev(["--port", String(port), "--data", tempDir("dev"), "ADMIN_TOKEN=secret"]);
    await untilReady(`http://127.0.0.1:${port}`, { timeoutMs: 20_000, hopeless: () => (child.exitCode === null ? undefined : output()) });
    expect(output()).toContain(`http://127.0.0.1:${port}/ns/NAME`);
    expect((await fetch(`http://127.0.0.1:${port}/ns/a/v1/kv/k`, { method: "PUT", body: "v" })).status).toBe(201);
    const listed = await fetch(`http://127.0.0.1:${port}/admin/namespaces`, { headers: { authorization: "Bearer secret" } });
    expect(listed.status).toBe(200);
    child.kill("SIGINT");
    expect(await exited).toEqual([0, null]);
    await expect(fetch(`http://127.0.0.1:${port}/version`)).rejects.toThrow();
  },
);

test("npm run dev:worker refuses what it does not know by name", async () => {
  const { output, exited } = dev(["nonsense"]);
  expect(await exited).toEqual([2, null]);
  expect(output()).toContain('"nonsense" is no variable; wanted: NAME=VALUE');
});
