/** The web console in a real browser, before three real members: one browser and one cluster for all pages. */
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chromiumProgram, startChromium } from "../browser/chromium.ts";
import { Cluster } from "../helpers/start-cluster.ts";

const title = `the console${chromiumProgram === undefined ? " (there is no chromium on this machine)" : ""}`;

describe.skipIf(chromiumProgram === undefined)(title, { timeout: 90_000 }, () => {
  let cluster: Cluster;
  let context: BrowserContext;
  let page: Page;
  /** What the page said went wrong, and whom it asked besides the members. */
  const problems: string[] = [];
  const strangers: string[] = [];

  beforeAll(async () => {
    cluster = await Cluster.start({ size: 3 });
    ({ context } = await startChromium());
    page = await context.newPage();
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => void (/Content Security Policy/.test(message.text()) && problems.push(message.text())));
    page.on("request", (request) => {
      if (!cluster.members.some(({ url }) => request.url().startsWith(url))) strangers.push(request.url());
    });
  }, 90_000);
  afterAll(async () => {
    await context?.close();
    await cluster?.stop();
  });

  const leaderShown = (): Promise<string | null> => page.locator("tr[data-role=leader]").getAttribute("data-member", { timeout: 20_000 });

  test("serves its page for every place, and its files for good", async () => {
    const { url } = cluster.members[0]!;
    const reply = await fetch(`${url}/console/any/place`);
    expect(reply.headers.get("content-security-policy")).toContain("default-src 'none'");
    const [file = ""] = /\/console\/assets\/main-\w+\.js/.exec(await reply.text()) ?? [];
    expect((await fetch(url + file)).headers.get("cache-control")).toContain("immutable");
    expect((await fetch(`${url}/console/assets/other.js`)).status).toBe(404);
    expect((await fetch(`${url}/console`, { method: "POST" })).status).toBe(405);
  });

  test("shows who leads, and who leads after the leader is killed, though the page came from it", async () => {
    const leader = await cluster.untilLeader();
    const { url, process: running } = cluster.members.find(({ name }) => name === leader)!;
    await page.goto(`${url}/console/members`);
    expect(await leaderShown()).toBe(leader);
    await running.kill("SIGKILL");
    const others = cluster.members.map(({ name }) => name).filter((name) => name !== leader);
    const next = await cluster.untilLeader(others);
    await page.locator(`tr[data-role=leader][data-member="${next}"]`).waitFor({ timeout: 20_000 });
    await page.locator(`tr[data-role=down][data-member="${leader}"]`).waitFor({ timeout: 20_000 });
    expect(await page.locator(".state").textContent()).toBe("live");
  });

  test("has a list of its keys, and looks as it is told", async () => {
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByLabel("Appearance").selectOption("dark");
    expect(await page.evaluate(() => document.documentElement.dataset["theme"])).toBe("dark");
  });

  test("asked nobody but the members, and had no error of its own", () => {
    expect(strangers).toEqual([]);
    expect(problems).toEqual([]);
  });
});
