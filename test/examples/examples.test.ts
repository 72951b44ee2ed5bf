/** The examples, each by the command that its page names: a real server, the edge function in workerd, the session of the page. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runCommand } from "../helpers/run-command.ts";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";
import { workerdBinary } from "../../runtime-worker/local/workerd.ts";

const FOLDER = join(PROJECT_ROOT, "docs", "examples");
const names = readdirSync(FOLDER).filter((name) => existsSync(join(FOLDER, name, "README.md")));
const { scripts } = JSON.parse(readFileSync(join(PROJECT_ROOT, "package.json"), "utf8")) as { scripts: Record<string, string> };
const [, ...args] = scripts["example"]!.split(" ");

test("there are eight, all on the list", () => {
  expect(names).toHaveLength(8);
  const list = readFileSync(join(FOLDER, "README.md"), "utf8");
  expect(names.filter((name) => !list.includes(`[${name}](${name}/)`))).toEqual([]);
});

test("a name that is none is refused, with those that are", async () => {
  const { code, stderr } = await runCommand(process.execPath, [...args, "lokc"], 10_000);
  expect(code).toBe(2);
  expect(stderr).toContain("there is no example lokc");
  for (const name of names) expect(stderr).toContain(name);
});

describe.skipIf(workerdBinary() === undefined)("npm run example", () => {
  test.each(names)(
    "-- %s",
    async (name) => {
      const { code, stdout, stderr } = await runCommand(process.execPath, [...args, name], 55_000);
      expect(code, `${stdout}\n${stderr}`).toBe(0);
      expect(stdout).toContain("all as the page says");
    },
    60_000,
  );
});
