/** The site that is built from docs/: it builds, no link leads nowhere, every page can be found; and the tutorial does what it says. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { runCommand } from "../helpers/run-command.ts";
import { PROJECT_ROOT, startQuorate } from "../helpers/start-quorate.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const DOCS = join(PROJECT_ROOT, "docs");

test("the site builds, without a dead link, and its menu has every page", { timeout: 120_000 }, async () => {
  const out = tempDir("site");
  vi.stubEnv("DOCS_OUT", out);
  vi.stubEnv("DOCS_CACHE", tempDir("site-cache"));
  const program = join(PROJECT_ROOT, "node_modules", "vitepress", "bin", "vitepress.js");
  // Fails for a link to a page that is not there.
  const { code, stdout, stderr } = await runCommand(process.execPath, [program, "build", DOCS], 110_000);
  vi.unstubAllEnvs();
  expect(code, `${stdout}${stderr}`).toBe(0);
  const menu = readFileSync(join(out, "tutorial.html"), "utf8");
  const pages = readdirSync(DOCS, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".md") && !name.startsWith("."));
  const missing = pages.filter((name) => {
    const place = name.replace(/README\.md$/, "").replace(/\.md$/, "");
    // Those of examples are found on their list.
    return !name.startsWith("examples/") && place !== "index" && !menu.includes(`href="/${place}"`);
  });
  expect(missing).toEqual([]);
  expect(existsSync(join(out, "examples", "lock", "index.html"))).toBe(true);
});

test("the tutorial's requests are answered as it says", { timeout: 60_000 }, async () => {
  const page = readFileSync(join(DOCS, "tutorial.md"), "utf8");
  const lines = [...page.matchAll(/```sh\n([^]*?)```/g)]
    .flatMap(([, block]) => block!.trim().split("\n"))
    .filter((line) => !line.startsWith("npm "));
  const server = await startQuorate();
  // Each request tells its status; the one that follows a stream does so for two seconds.
  const script = [
    'curl() { command curl -sS -w "%{stderr}[%{http_code}]" "$@"; }',
    ...lines.map((line) => line.replace("curl -N", "curl --max-time 2 -N")),
  ]
    .join("\n")
    .replaceAll("http://127.0.0.1:2379", server.url);
  const { stderr } = await runCommand("bash", ["-c", script], 50_000);
  expect([...stderr.matchAll(/\[(\d{3})\]/g)].map(([, status]) => Number(status))).toEqual([
    201, 200, 200, 200, 412, 200, 200, 201, 423, 201, 201, 204, 409,
  ]);
  await server.stop();
});
