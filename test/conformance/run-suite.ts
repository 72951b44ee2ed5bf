/** The recorded cases of one suite, asked of one running server: for the tests, and for the page of what passes on which runtime. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "../helpers/run-command.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

export type Suite = "v2" | "v3";

/** The whole of one suite takes about a minute: cases about expiry wait for real seconds. */
export const SUITE_MS = 240_000;

/** Cases about JSON that is no message: the bridge cannot ask these over gRPC. */
export const OF_JSON: readonly string[] = [
  "v3-gateway-bad-base64",
  "v3-gateway-int64-bad",
  "v3-gateway-malformed-json",
  "v3-gateway-wrong-types",
  "v3-range-sort-bad-enum",
  "v3-watch-malformed",
];

export interface CaseResult {
  readonly name: string;
  readonly ok: boolean;
  readonly problems: readonly string[];
}

export interface SuiteOptions {
  readonly suite: Suite;
  readonly server: ServerProcess;
  /** Where the cases are asked: the server, or a bridge to it. */
  readonly url: string;
  /** Names of cases, or beginnings of names with a star. */
  readonly skip: readonly string[];
}

/** Names of all cases of a suite. */
export function casesOf(suite: Suite): string[] {
  return readdirSync(join(import.meta.dirname, "cases", suite))
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length));
}

/** @returns results by name of the case. @throws Error when the server ended meanwhile, or the runner did */
export async function runCases({ suite, server, url, skip }: SuiteOptions): Promise<ReadonlyMap<string, CaseResult>> {
  const args = [
    join(import.meta.dirname, "run.mjs"),
    "--base",
    url,
    "--suite",
    suite,
    "--json",
    ...skip.flatMap((name) => ["--skip", name]),
  ];
  const { stdout, stderr } = await runCommand(process.execPath, args, SUITE_MS);
  const ended = server.exit();
  if (ended !== undefined) throw new Error(`the server ended with ${ended.signal ?? ended.code} during the cases\n${server.output()}`);
  if (!stdout.trimStart().startsWith("{")) throw new Error(`no results: ${stdout}\n${stderr}\n--- server:\n${server.output()}`);
  const { results } = JSON.parse(stdout) as { results: readonly CaseResult[] };
  return new Map(results.map((result) => [result.name, result]));
}
