/** The store in a real browser: its storage, the demo page with its service worker, several tabs, and a browser that is killed. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { build } from "esbuild";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Program } from "../clients/program.ts";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";
import type { Report } from "../worker/vitest-shim.ts";
import { chromiumProgram, startChromium } from "./chromium.ts";

const title = `a browser${chromiumProgram === undefined ? " (there is no chromium on this machine)" : ""}`;

describe.skipIf(chromiumProgram === undefined)(title, { timeout: 90_000 }, () => {
  let demo: Program;
  let url = "";
  let context: BrowserContext;
  let profile = "";
  /** What pages say went wrong. */
  const problems: string[] = [];

  beforeAll(async () => {
    demo = new Program(process.execPath, [join(PROJECT_ROOT, "runtime-browser", "demo", "serve.ts"), "--port", "0"]);
    [url] = (await demo.until(/http:\/\/127\.0\.0\.1:\d+/)) as unknown as [string];
    ({ context, profile } = await startChromium());
  }, 60_000);
  afterAll(async () => {
    await context.close();
    await demo.kill("SIGKILL");
  });

  async function openPage(): Promise<Page> {
    const page = await context.newPage();
    page.on("pageerror", (error) => problems.push(String(error)));
    await page.goto(url);
    await page.waitForFunction(() => document.getElementById("state")?.textContent === "ready", null, { timeout: 30_000 });
    return page;
  }

  /** What the page's own `fetch` is told. */
  const ask = (page: Page, path: string, init: { readonly method?: string; readonly body?: string } = {}) =>
    page.evaluate(
      async ([at, options]) => {
        const reply = await fetch(at, options);
        return { status: reply.status, text: await reply.text() };
      },
      [path, init] as const,
    );
  const seen = (page: Page, key: string, value: string) =>
    page.waitForFunction(
      ([wanted, as]) =>
        [...document.querySelectorAll("#keys tr")].some(
          (row) => row.children[0]?.textContent === wanted && row.children[1]?.textContent === as,
        ),
      [key, value] as const,
      { timeout: 20_000 },
    );
  test("its IndexedDB keeps the contract of a log storage", async () => {
    const { outputFiles } = await build({
      entryPoints: [join(import.meta.dirname, "contract-page.ts")],
      alias: { vitest: join(import.meta.dirname, "..", "worker", "vitest-shim.ts") },
      bundle: true,
      format: "esm",
      target: "es2022",
      platform: "browser",
      write: false,
    });
    const page = await context.newPage();
    await page.goto(`${url}/nothing-here`); // an origin, without the page's own store
    await page.addScriptTag({ content: outputFiles[0]!.text, type: "module" });
    await page.waitForFunction(() => "report" in globalThis);
    const { passed, failed } = await page.evaluate(() => (globalThis as unknown as { report: Promise<Report> }).report);
    expect(failed).toEqual([]);
    expect(passed).toBeGreaterThan(20);
    await page.close();
  });

  test("answers v1, v2 and v3 to a page's fetch, offline, and after a reload", async () => {
    const page = await openPage();
    await context.setOffline(true);
    expect((await ask(page, "/v1/kv/color", { method: "PUT", body: "blue" })).status).toBe(201);
    expect((await ask(page, "/v1/kv/color")).text).toBe("blue");
    expect((await ask(page, "/v2/keys/node", { method: "PUT", body: "value=1" })).text).toContain('"action":"set"');
    const range = await ask(page, "/v3/kv/range", { method: "POST", body: JSON.stringify({ key: btoa("color") }) });
    expect(JSON.parse(range.text)).toMatchObject({ count: "1", kvs: [{ value: btoa("blue") }] });
    expect((await ask(page, "/v1/kv/nothing")).status).toBe(404);
    await context.setOffline(false);
    await page.reload();
    await page.waitForFunction(() => document.getElementById("state")?.textContent === "ready");
    expect((await ask(page, "/v1/kv/color")).text).toBe("blue");
    await page.getByLabel("key").fill("typed");
    await page.getByLabel("value").fill("by hand");
    await page.getByRole("button", { name: "Put" }).click();
    await seen(page, "typed", "by hand");
    await page.close();
  });

  test("has one store in two tabs, and goes on when the tab that had it is closed", async () => {
    const first = await openPage();
    const second = await openPage();
    await ask(first, "/v1/kv/one", { method: "PUT", body: "1" });
    await ask(second, "/v1/kv/two", { method: "PUT", body: "2" });
    for (const page of [first, second])
      for (const [key, value] of [
        ["one", "1"],
        ["two", "2"],
      ] as const)
        await seen(page, key, value);
    await first.close();
    expect((await ask(second, "/v1/kv/three", { method: "PUT", body: "3" })).status).toBe(201);
    await seen(second, "three", "3");
    expect((await ask(second, "/v1/kv/one")).text).toBe("1");
    await second.close();
  });

  test("loses nothing that it acknowledged when it is killed under writes", async () => {
    const page = await openPage();
    const acknowledged: string[] = [];
    await page.exposeFunction("acknowledged", (key: string) => void acknowledged.push(key));
    page
      .evaluate(async () => {
        const tell = (globalThis as unknown as { acknowledged(key: string): Promise<void> }).acknowledged;
        for (let n = 0; ; n++) {
          const reply = await fetch(`/v1/kv/killed/${n}`, { method: "PUT", body: String(n) });
          if (reply.ok) await tell(String(n));
        }
      })
      .catch(() => {}); // it is killed
    await expect.poll(() => acknowledged.length).toBeGreaterThan(50);
    execFileSync("pkill", ["-9", "-f", profile]);
    await context.close().catch(() => {});
    ({ context } = await startChromium(profile));
    const again = await openPage();
    const { text } = await ask(again, "/v1/kv/killed/?prefix&limit=10000");
    const kept = new Set((JSON.parse(text) as { kvs: { key: string }[] }).kvs.map(({ key }) => key.slice("killed/".length)));
    expect(acknowledged.filter((key) => !kept.has(key))).toEqual([]);
    await again.close();
  });

  test("no page had an error of its own", () => {
    expect(problems).toEqual([]);
  });
});
