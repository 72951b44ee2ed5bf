/** The package as a stranger gets it: packed, installed in an empty folder, run by its name. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../helpers/free-port.ts";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilReady } from "../helpers/until-ready.ts";

/** Packing compiles, and installing may have to fetch: minutes on a slow line. */
const SETUP_MS = 240_000;

/** As a shell would have it, with the Node of this test first; without what npm tells its scripts. */
const environment: NodeJS.ProcessEnv = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.toLowerCase().startsWith("npm_"))),
  PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`,
};

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

let packed: Packed;
const folder = tempDir("pack");
const groups: number[] = [];

const npm = (cwd: string, ...args: string[]): string =>
  execFileSync("npm", args, { cwd, encoding: "utf8", env: environment, stdio: ["ignore", "pipe", "pipe"] });

beforeAll(() => {
  const told = npm(PROJECT_ROOT, "pack", "--json", "--pack-destination", folder);
  [packed] = JSON.parse(told.slice(told.indexOf("[\n"))) as [Packed];
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  npm(folder, "install", "--no-audit", "--no-fund", "--prefer-offline", `./${packed.filename}`);
}, SETUP_MS);

afterAll(() => {
  for (const group of groups) {
    try {
      process.kill(-group, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
});

describe("the package", () => {
  test("holds the compiled program, the licence and the texts, and nothing else", () => {
    const paths = packed.files.map(({ path }) => path);
    for (const path of [
      "LICENSE",
      "README.md",
      "CHANGELOG.md",
      "package.json",
      "runtime-node/quorate.js",
      "dist/runtime-node/main.js",
      "dist/client/client.js",
      "dist/runtime-node/relay/relay.js",
      "dist/testing/test-store.js",
      "dist/console/index.html",
      "adapters/grpc/proto/etcdserverpb/rpc.proto",
    ]) {
      expect(paths).toContain(path);
    }
    const strange = paths.filter(
      (path) =>
        !/^(LICENSE|README\.md|CHANGELOG\.md|package\.json|runtime-node\/quorate\.js|adapters\/grpc\/proto\/.*\.proto|dist\/(core|adapters|client|testing|runtime-node|runtime-browser)\/.*\.(js|d\.ts)|dist\/console\/(index\.html|assets\/(main|console)-\w+\.(js|css)))$/.test(
          path,
        ),
    );
    expect(strange).toEqual([]);
    expect(paths.filter((path) => path.includes(".test."))).toEqual([]);
  });

  test("does not bring the Node of the repository along", () => {
    expect(existsSync(join(folder, "node_modules", ".bin", "node"))).toBe(false);
    expect(readdirSync(join(folder, "node_modules")).filter((name) => /^node-(linux|win|darwin)|toolchain/.test(name))).toEqual([]);
  });

  test("npx quorate serve answers, keeps a key, and ends with a signal", async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const child = spawn("npx", ["quorate", "serve", "--listen-client-urls", url], {
      cwd: folder,
      env: environment,
      stdio: "pipe",
      detached: true,
    });
    groups.push(child.pid!);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString("utf8")));
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    await untilReady(url, { timeoutMs: 25_000, hopeless: () => (child.exitCode === null ? undefined : output) });
    expect(await (await fetch(`${url}/version`)).json()).toMatchObject({ etcdserver: expect.stringMatching(/^3\.4\./) });
    const [script = ""] = /\/console\/assets\/main-\w+\.js/.exec(await (await fetch(`${url}/console`)).text()) ?? [];
    expect((await fetch(url + script)).headers.get("content-type")).toContain("text/javascript");
    const put = await fetch(`${url}/v3/kv/put`, { method: "POST", body: '{"key":"Zm9v","value":"YmFy"}' });
    expect(put.status).toBe(200);
    expect(existsSync(join(folder, "quorate.data"))).toBe(true);
    process.kill(-child.pid!, "SIGTERM");
    await ended;
    expect(output).toContain('"ended"');
  });

  test("can be imported", () => {
    const script = 'import("quorate").then((q) => console.log(typeof q.startServer))';
    expect(execFileSync(process.execPath, ["-e", script], { cwd: folder, encoding: "utf8" })).toBe("function\n");
  });
});
