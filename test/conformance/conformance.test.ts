/**
 * The recorded cases (README.md beside this file) against this project's server as a real process: one test a case, so that a failure has
 * the case's name. The v2 and the v3 cases run at the same time, each on a server of its own.
 *
 * `CONFORMANCE_TARGET=etcd` runs them against a real etcd instead, which shows that the cases themselves are right.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { runCommand } from "../helpers/run-command.ts";
import { startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";

/** Cases that are not asked of the server yet, by name or by the beginning of one, with the reason. */
const NOT_YET: readonly { readonly name: string; readonly reason: string }[] = [
  { name: "v3-auth-*", reason: "users, roles and tokens are not implemented yet" },
];

/** The whole of one suite takes about a minute: cases about expiry wait for real seconds. */
const SUITE_MS = 240_000;

interface CaseResult {
  readonly name: string;
  readonly ok: boolean;
  readonly problems: readonly string[];
}

const HERE = import.meta.dirname;

async function runSuite(suite: "v2" | "v3"): Promise<ReadonlyMap<string, CaseResult>> {
  const server = await (process.env["CONFORMANCE_TARGET"] === "etcd" ? startEtcd() : startQuorate());
  try {
    const args = [
      join(HERE, "run.mjs"),
      "--base",
      server.url,
      "--suite",
      suite,
      "--json",
      ...NOT_YET.flatMap(({ name }) => ["--skip", name]),
    ];
    const { stdout, stderr } = await runCommand(process.execPath, args, SUITE_MS);
    const ended = server.exit();
    if (ended !== undefined) throw new Error(`the server ended with ${ended.signal ?? ended.code} during the cases\n${server.output()}`);
    if (!stdout.trimStart().startsWith("{")) throw new Error(`no results: ${stdout}\n${stderr}\n--- server:\n${server.output()}`);
    const { results } = JSON.parse(stdout) as { results: readonly CaseResult[] };
    return new Map(results.map((result) => [result.name, result]));
  } finally {
    await server.stop();
  }
}

const reasonFor = (name: string): string | undefined =>
  NOT_YET.find((entry) => (entry.name.endsWith("*") ? name.startsWith(entry.name.slice(0, -1)) : name === entry.name))?.reason;

/** Started once for all, at the same time; a failure shows in each suite's hook. */
const running = new Map((["v2", "v3"] as const).map((suite) => [suite, runSuite(suite)]));
for (const suite of running.values()) suite.catch(() => {});

for (const [suite, outcome] of running) {
  describe(`conformance ${suite}`, () => {
    let results: ReadonlyMap<string, CaseResult> = new Map();
    beforeAll(async () => {
      results = await outcome;
    }, SUITE_MS + 30_000);

    const names = readdirSync(join(HERE, "cases", suite))
      .filter((file) => file.endsWith(".json"))
      .map((file) => file.slice(0, -".json".length));

    test("there are cases", () => expect(names.length).toBeGreaterThan(50));

    for (const name of names) {
      const reason = reasonFor(name);
      if (reason !== undefined) {
        test.skip(`${name} (${reason})`);
        continue;
      }
      test(name, () => {
        const result = results.get(name);
        expect(result, `the runner did not run ${name}`).toBeDefined();
        expect(result?.problems ?? []).toEqual([]);
        expect(result?.ok).toBe(true);
      });
    }
  });
}
