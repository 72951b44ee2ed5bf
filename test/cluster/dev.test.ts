/** `npm run dev` as a person meets it: three members, a line a second, and a failover by typing. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { freePorts } from "../helpers/free-port.ts";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";

test("npm run dev: three members, who leads, and what a kill does", async () => {
  const ports = await freePorts(6);
  const script = join(PROJECT_ROOT, "runtime-node", "dev-cluster.ts");
  const child = spawn(process.execPath, [script, ports.join(",")], {
    cwd: tempDir("dev"),
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (output += part.toString()));
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const line = (): string =>
    output
      .trimEnd()
      .split("\n")
      .findLast((one) => one.startsWith("leader ")) ?? "";
  const until = (pattern: RegExp) => untilTrue(() => pattern.test(line()), { timeoutMs: 20_000, what: () => `${pattern} in ${output}` });
  try {
    await until(/^leader [abc] .* lag: a ok, b ok, c ok$/);
    const first = /^leader (.)/.exec(line())![1]!;
    child.stdin.write(`kill ${first}\n`);
    await until(new RegExp(`^leader (?!${first})[abc] .*${first} down`));
    child.stdin.write(`start ${first}\nstart nobody\n`);
    await until(/^leader [abc] .* lag: a ok, b ok, c ok$/);
    expect(output).toContain("wanted: one of start, kill, pause, go and one of a, b, c");
  } finally {
    process.kill(-child.pid!, "SIGINT"); // as a terminal does: to the whole process group
  }
  expect(await exited).toBe(0);
  expect(["a", "b", "c"].filter((name) => !output.includes(`${name} ended (0)`))).toEqual([]); // none was told twice
});
