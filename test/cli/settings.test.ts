/** Where the client commands find the cluster: contexts, variables, flags; and what shells complete. */
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readClientSettings } from "../../runtime-node/commands/client-settings.ts";
import { QUORATE_SCRIPT } from "../helpers/start-quorate.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const home = tempDir("contexts");

function quorate(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return spawnSync(process.execPath, [QUORATE_SCRIPT, ...args], {
    encoding: "utf8",
    timeout: 30_000,
    env: { ...process.env, XDG_CONFIG_HOME: home, ...env },
  });
}

test("a flag wins over a variable, and that over the context", () => {
  const context = { endpoints: "c:1", user: "ann:c", writeOut: "json" };
  expect(readClientSettings({}, {}, context)).toMatchObject({
    endpoints: ["c:1"],
    login: { name: "ann", password: "c" },
    writeOut: "json",
  });
  expect(readClientSettings({}, { QUORATE_ENDPOINTS: "v:1,w:2" }, context).endpoints).toEqual(["v:1", "w:2"]);
  expect(readClientSettings({ endpoints: "f:1" }, { QUORATE_ENDPOINTS: "v:1" }, context).endpoints).toEqual(["f:1"]);
  expect(readClientSettings({}, { QUORATE_ENDPOINTS: "" }).endpoints).toEqual(["127.0.0.1:2379"]);
});

test.each([
  [{ endpoints: "not a url" }, '--endpoints is "not a url"; wanted: http://HOST:PORT'],
  [{ commandTimeout: "soon" }, '--command-timeout is "soon"; wanted: a duration'],
  [{ user: "ann" }, "--user needs a password"],
  [{ password: "x" }, "--password needs a --user"],
  [{ cert: "x" }, "--cert and --key belong together"],
  [{ writeOut: "xml" }, "unsupported output format"],
])("%j is refused", (flags, message) => {
  expect(() => readClientSettings(flags, {})).toThrow(message);
});

test("contexts are kept for their owner alone, chosen, named, listed without secrets, and forgotten", () => {
  const one = "http://127.0.0.1:1";
  const two = "http://127.0.0.1:2";
  expect(quorate(["context", "add", "first", "--endpoints", one, "--user", "ann:secret"])).toMatchObject({ status: 0 });
  expect(quorate(["context", "add", "second", "--endpoints", two])).toMatchObject({ status: 0 });
  expect(statSync(join(home, "quorate", "contexts.json")).mode & 0o077).toBe(0);
  expect(quorate(["context", "list"]).stdout).toBe(`* first ${one}\n  second ${two}\n`);
  expect(quorate(["context", "list", "-w", "json"]).stdout).not.toContain("secret");
  expect(quorate(["get", "a"]).stderr).toContain(`${one} cannot be reached`);
  expect(quorate(["get", "a", "--context", "second"]).stderr).toContain(`${two} cannot be reached`);
  expect(quorate(["get", "a"], { QUORATE_CONTEXT: "second" }).stderr).toContain(`${two} cannot be reached`);
  expect(quorate(["context", "use", "second"])).toMatchObject({ status: 0 });
  expect(quorate(["--endpoints", "127.0.0.1:3", "get", "a"]).stderr).toContain("http://127.0.0.1:3 cannot be reached");
  const none = quorate(["context", "use", "third"]);
  expect(none).toMatchObject({ status: 128, stderr: expect.stringContaining("there are: first, second") });
  expect(quorate(["context", "remove", "second"])).toMatchObject({ status: 0 });
  expect(quorate(["context", "list"]).stdout).toBe(`  first ${one}\n`);
});

test("bash completes commands, their parts and their flags", () => {
  const { stdout: script } = quorate(["completion", "bash"]);
  const complete = (line: string): string[] => {
    const words = line.split(" ");
    const text = `${script}\nCOMP_WORDS=(${words.map((word) => `"${word}"`).join(" ")}); COMP_CWORD=${words.length - 1}; _quorate; echo "\${COMPREPLY[@]}"`;
    return spawnSync("bash", ["-c", text], { encoding: "utf8" }).stdout.trim().split(" ");
  };
  expect(complete("quorate mem")).toEqual(["member"]);
  expect(complete("quorate member up")).toEqual(["update"]);
  expect(complete("quorate get key --pre")).toEqual(["--prefix"]);
  expect(complete("quorate --endpoints x get --endp")).toEqual(["--endpoints"]);
  expect(quorate(["completion", "tcsh"])).toMatchObject({ status: 128 });
});
