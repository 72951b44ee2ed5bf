/**
 * Every command of README.md, run as it stands there, but for the port: a reader who copies one gets what the page says. Where one would
 * replace what this test runs on (`npm ci`), its parts are run elsewhere, and the test names the place.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { atEnd } from "./helpers/at-end.ts";
import { freePort } from "./helpers/free-port.ts";
import { PROJECT_ROOT, startQuorate } from "./helpers/start-quorate.ts";
import { etcdVersion } from "./helpers/start-etcd.ts";
import type { ServerProcess } from "./helpers/start-server.ts";
import { tempDir } from "./helpers/temp-dir.ts";
import { untilReady } from "./helpers/until-ready.ts";

const readme = readFileSync(join(PROJECT_ROOT, "README.md"), "utf8");
const commands = [...readme.matchAll(/```sh\n([^]*?)```/g)].flatMap(([, block]) => block!.trim().split("\n"));

/** Commands that this test does not run, with the place that runs them. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "npm ci && npm start": "npm ci: .ci/run on a clean clone; npm start: the next command, with flags that leave other servers alone",
  "npm run example -- lock": "test/examples",
  "npm run demo:browser": "test/browser, which starts the same program on a port of its own",
  "npm run dev": "test/cluster/dev.test.ts, on ports of its own",
  "npm run dev:worker": "test/worker/dev.test.ts, on a port of its own",
  "npx wrangler deploy": "needs an account; what it deploys is what test/worker runs, with the flags of wrangler.toml",
  "npm ci && npm test": ".ci/run, on a clean clone",
};

const ofCurl = commands.filter((command) => command.startsWith("curl "));
const ofEtcdctl = commands.filter((command) => command.startsWith("ETCDCTL_API=3 etcdctl "));
const ofQuorate = commands.filter((command) => command.startsWith("npx quorate "));
const ofNpmStart = commands.filter((command) => command.startsWith("npm start -- "));

test("README.md has commands, and each kind has its test here or elsewhere", () => {
  expect(commands.length).toBeGreaterThan(8);
  expect(
    commands.filter(
      (command) => ![...ofCurl, ...ofQuorate, ...ofEtcdctl, ...ofNpmStart].includes(command) && ELSEWHERE[command] === undefined,
    ),
  ).toEqual([]);
  expect(Object.keys(ELSEWHERE).filter((command) => !commands.includes(command))).toEqual([]);
});

test("README.md links to files that are there", () => {
  const links = [...readme.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link]) => link!);
  expect(links.length).toBeGreaterThan(2);
  expect(links.filter((link) => !existsSync(join(PROJECT_ROOT, link)))).toEqual([]);
});

describe("against a fresh server, in their order", () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await startQuorate();
  });
  afterAll(() => server.stop());

  test.each(ofCurl)("%s", async (command) => {
    const here = command.replaceAll("http://127.0.0.1:2379", server.url);
    expect(here).not.toBe(command);
    const streams = command.startsWith("curl -N");
    const text = streams ? await firstLine(here) : execFileSync("sh", ["-c", `${here} -sS --fail`], { encoding: "utf8" });
    if (command.includes("/v1/")) return expect(text).toMatch(streams ? /^event: open$/ : /^blue$|"key":"config\/color"/);
    expect(JSON.parse(text)).toMatchObject(command.includes("/v3/") ? {} : { node: {} });
    expect(text).toMatch(command.includes("/v2/") ? /"(action)"/ : streams ? /"created":true/ : /"header"/);
  });

  test.each(ofQuorate)("%s", (command) => {
    const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`, QUORATE_ENDPOINTS: server.url };
    const told = execFileSync("sh", ["-c", command], { cwd: PROJECT_ROOT, env, encoding: "utf8" });
    expect(told).toMatch(/"\/greeting"|^OK$|^only one at a time$|IS LEADER/m);
  });

  test.skipIf(etcdVersion() === undefined).each(ofEtcdctl)("%s", (command) => {
    const here = command.replaceAll("http://127.0.0.1:2379", server.url);
    expect(here).not.toBe(command);
    expect(execFileSync("sh", ["-c", here], { encoding: "utf8" })).toContain("/greeting\nhi\n");
  });
});

/** What a command that does not end prints first. */
function firstLine(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("sh", ["-c", `exec ${command} -sS`], { stdio: ["ignore", "pipe", "inherit"] });
    const end = (): void => void child.kill("SIGKILL");
    const forget = atEnd(end);
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8");
      if (text.includes("\n")) end();
    });
    child.once("close", () => {
      forget();
      const [line] = text.split("\n");
      if (line === undefined || line === "") reject(new Error(`${command} printed nothing`));
      else resolve(line);
    });
  });
}

test.each(ofNpmStart)("%s", async (command) => {
  const dir = tempDir("readme");
  const url = `http://127.0.0.1:${await freePort()}`;
  const here = command.replace(/http:\/\/127\.0\.0\.1:\d+/, url).replace(/--data-dir \S+/, `--data-dir ${dir}`);
  expect(here).toContain(url);
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"]}` };
  const child = spawn("sh", ["-c", `exec ${here}`], { cwd: PROJECT_ROOT, env, stdio: "pipe", detached: true });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString("utf8")));
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const kill = (): void => {
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  };
  const forget = atEnd(kill);
  try {
    await untilReady(url, { timeoutMs: 25_000, hopeless: () => (child.exitCode === null ? undefined : output) });
    expect(output).toContain(`Listening on ${url}`);
    process.kill(-child.pid!, "SIGTERM");
    await closed;
    expect(output).toContain('"ended"');
  } finally {
    forget();
    kill();
  }
});
