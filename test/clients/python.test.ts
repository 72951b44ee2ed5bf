/** Clients of Python, as Debian has them: scripts beside this file, against a real etcd and against this project's server. */
import { existsSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCommand } from "../helpers/run-command.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { SIDES, startSide } from "./sides.ts";

/** Debian's own, which knows Debian's packages whatever else is on the path. */
const PYTHON = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";

/** Module, and the script that uses it, perhaps with a word before host and port. */
const SCRIPTS: Readonly<Record<string, string>> = {
  etcd3: "python_etcd3.py",
  etcd3gw: "python_etcd3gw.py",
  etcd: "python_etcd.py",
  "patroni.dcs.etcd3": "patroni_dcs.py etcd3",
  "patroni.dcs.etcd": "patroni_dcs.py etcd",
};

function canImport(module: string): boolean {
  try {
    execFileSync(PYTHON, ["-c", `import ${module}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe.each(Object.entries(SCRIPTS))("Python's %s", { concurrent: true }, (module, script) => {
  const servers = new Map<string, ServerProcess>();
  const has = canImport(module);

  beforeAll(async () => {
    if (has) await Promise.all(SIDES.map(async (side) => servers.set(side, await startSide(side))));
  });
  afterAll(() => Promise.all([...servers.values()].map((server) => server.stop())));

  /** Each checks by itself, and prints the names of what it did. */
  test.skipIf(!has).concurrent.each(SIDES)(`${script} on %s`, async (side) => {
    const [file, ...words] = script.split(" ");
    const { code, stdout, stderr } = await runCommand(
      PYTHON,
      [join(import.meta.dirname, file!), ...words, "127.0.0.1", String(servers.get(side)!.port)],
      28_000,
    );
    expect({ code, stderr: code === 0 ? "" : stderr, end: stdout.trim().split("\n").at(-1) }).toEqual({
      code: 0,
      stderr: "",
      end: "all done",
    });
  });
});
