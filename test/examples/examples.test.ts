/** The examples, each by the command that its page names: a real server, the edge function in workerd, the session of the page. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runCommand } from "../helpers/run-command.ts";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";
import { blocksOf, isAsShown, playSession } from "../../docs/examples/session.ts";
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

describe("a session", () => {
  const page = (commands: string, prints?: string): string =>
    `# A page\n\n\`\`\`sh\n${commands}\n\`\`\`\n${prints === undefined ? "" : `\n\`\`\`text\n${prints}\n\`\`\`\n`}`;

  async function play(...pages: readonly string[]): Promise<string> {
    let shown = "";
    await playSession(pages.join("\n"), { NAME: "ada" }, (text) => (shown += text));
    return shown;
  }

  test("is one shell, whose commands are shown with what they print", async () => {
    expect(await play(page('greeting="hello $NAME"'), page('echo "$greeting"; printf rest\necho more >&2', "hello …\nrest\nmore"))).toBe(
      '$ greeting="hello $NAME"\n\n$ echo "$greeting"; printf rest\nhello ada\nrest\n$ echo more >&2\nmore\n\n',
    );
  });

  test.each([
    ["prints something else", page("echo a", "b"), "the page says that this is printed:\nb"],
    ["prints more", page("echo a; echo b", "a"), "the page says that this is printed:\na"],
    ["prints what the page does not show", page("echo a"), "the page says that this is printed:\n"],
    ["prints nothing", page("true", "a…"), "the page says that this is printed:\na…"],
    ["fails", page("true\necho why; false", "why"), "this command failed: echo why; false\nwhy"],
    ["fails within a pipe", page("false | true"), "this command failed: false | true"],
    ["names what is not there", page("echo $NOBODY"), "this command failed: echo $NOBODY"],
  ])("that %s is not as the page says", async (_what, text, message) => {
    await expect(play(text)).rejects.toThrow(message);
  });

  test("has blocks of commands, each with the text behind it", () => {
    const two = `${page("a\nb")}\nWords.\n\n${page("c", "d\ne")}`;
    expect(blocksOf(two)).toEqual([
      { commands: ["a", "b"], prints: "" },
      { commands: ["c"], prints: "d\ne" },
    ]);
  });

  test("prints what is shown, where … stands for anything", () => {
    expect(isAsShown('{"id":7,"a":[1]}', '{"id":…,"a":[1]}')).toBe(true);
    expect(isAsShown('{"id":7,"a":[2]}', '{"id":…,"a":[1]}')).toBe(false);
    expect(isAsShown("x1", "1")).toBe(false);
    expect(isAsShown("axb", "a.b")).toBe(false);
  });
});

test("every block that asks the store or the edge function shows what it prints", () => {
  for (const name of names) {
    const blocks = blocksOf(readFileSync(join(FOLDER, name, "README.md"), "utf8"));
    expect(blocks.length, name).toBeGreaterThan(1);
    expect(blocks.filter(({ commands, prints }) => prints === "" && commands.some((command) => command.includes("curl ")))).toEqual([]);
  }
});
