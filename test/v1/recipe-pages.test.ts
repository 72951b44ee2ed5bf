/** What docs/recipes shows: every shell session runs against a real server, every program compiles. */
import { execFile, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT_ROOT, startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const FOLDER = join(PROJECT_ROOT, "docs", "recipes");
const PAGES = readdirSync(FOLDER).filter((name) => name.endsWith(".md"));

/** The blocks of one language in a page, in order. */
function blocks(page: string, language: string): string[] {
  const text = readFileSync(join(FOLDER, page), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, "gm"))].map(([, code]) => code!);
}

describe("docs/recipes", () => {
  let server: ServerProcess;
  beforeAll(async () => void (server = await startQuorate({ flags: ["--service-check-hosts", "127.0.0.1"] })));
  afterAll(() => server.stop());

  test.each(PAGES)("%s: its sessions run", async (page) => {
    for (const session of blocks(page, "sh")) {
      const run = promisify(execFile)("bash", ["-euo", "pipefail", "-c", session], {
        env: { ...process.env, Q: server.url },
        timeout: 25_000,
      });
      await expect(run, session).resolves.toBeDefined();
    }
  });

  test("its programs compile", () => {
    const dir = tempDir("recipe-pages");
    const programs = PAGES.flatMap((page) => blocks(page, "ts").map((code, at) => [`${page.replace(".md", "")}-${at}.ts`, code] as const));
    expect(programs.length).toBeGreaterThan(4);
    for (const [name, code] of programs) writeFileSync(join(dir, name), code);
    writeFileSync(join(dir, "package.json"), '{ "type": "module" }\n');
    mkdirSync(join(dir, "node_modules"));
    symlinkSync(join(PROJECT_ROOT, "node_modules", "@types"), join(dir, "node_modules", "@types"));
    const client = join(PROJECT_ROOT, "client");
    const paths = {
      "quorate/client": [join(client, "client.ts")],
      "quorate/client/all": [join(client, "all.ts")],
      "idb-keyval": [join(PROJECT_ROOT, "node_modules", "idb-keyval")],
    };
    const compilerOptions = {
      noEmit: true,
      composite: false,
      emitDeclarationOnly: false,
      declaration: false,
      lib: ["ES2023", "ESNext.Disposable", "WebWorker"],
      paths,
    };
    const config = { extends: join(PROJECT_ROOT, "tsconfig.base.json"), compilerOptions, include: ["*.ts"] };
    writeFileSync(join(dir, "tsconfig.json"), JSON.stringify(config));
    const { stdout, stderr } = spawnSync(join(PROJECT_ROOT, "node_modules", ".bin", "tsc"), ["-p", dir], { encoding: "utf8" });
    expect((stdout + stderr).split("\n").filter((line) => line.includes("error"))).toEqual([]);
  });
});
