/** The web console in a real browser, before three real members: one browser and one cluster for all pages. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Session, acknowledgeConfig, connectAll } from "../../client/all.ts";
import { chromiumProgram, startChromium } from "../browser/chromium.ts";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";
import { Cluster } from "../helpers/start-cluster.ts";

/** Evaluated in the page, which lets no other script in. */
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Those of docs/console.md are made anew. */
const SCREENSHOTS = process.env["QUORATE_SCREENSHOTS"] === "yes";

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

  let killed = "";
  const urlOf = (): string => cluster.members.find(({ name }) => name !== killed)!.url;
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
    killed = leader;
    const others = cluster.members.map(({ name }) => name).filter((name) => name !== leader);
    const next = await cluster.untilLeader(others);
    const elected = performance.now();
    await page.locator(`tr[data-role=leader][data-member="${next}"]`).waitFor({ timeout: 20_000 });
    // What operators are promised, so that a page which is stuck is a failure.
    expect(performance.now() - elected).toBeLessThan(2_000);
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

  describe("keys", () => {
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const v3 = async (path: string, message: object): Promise<Record<string, unknown>> =>
      (await (await fetch(`${urlOf()}/v3/${path}`, { method: "POST", body: JSON.stringify(message) })).json()) as Record<string, unknown>;
    const put = (key: string, value: string, more: object = {}) => v3("kv/put", { key: base64(key), value: base64(value), ...more });
    const open = (place: string) => page.goto(`${urlOf()}/console/keys/${place}`);
    const valueOf = async (key: string) => (await fetch(`${urlOf()}/v1/kv/${encodeURIComponent(key)}`)).text();

    test("are folders and a list, page by page, and changes are seen at once", async () => {
      for (let n = 0; n < 120; n++) await put(`app/many/${String(n).padStart(3, "0")}`, `${n}`);
      await put("app/config", '{"a":1}');
      await put("/slashed/key", "1");
      await open("tree/");
      await page.getByRole("link", { name: "app/", exact: true }).click();
      await page.getByRole("link", { name: "many/", exact: true }).waitFor();
      await page.locator('tr[data-key="app/config"]').waitFor();
      expect(await page.locator("tbody tr").count()).toBe(2);
      await put("app/new", "1");
      await page.locator('tr[data-key="app/new"]').waitFor();
      await page.getByRole("link", { name: "List", exact: true }).click();
      await page.locator('tr[data-key="app/many/000"]').waitFor();
      expect(await page.locator("tbody tr").count()).toBe(100);
      await page.getByRole("button", { name: "Further" }).click();
      await page.locator('tr[data-key="app/new"]').waitFor();
      expect(await page.locator("tbody tr").count()).toBe(22);
      await page.getByRole("button", { name: "Back" }).click();
      await page.locator('tr[data-key="app/config"]').waitFor();
      await open("tree/");
      await page.getByRole("link", { name: "/slashed/", exact: true }).waitFor();
    });

    test("are searched for, in values too, from the keyboard", async () => {
      await put("needle/a", "x");
      await put("hay", "a needle in it");
      await open("search/");
      await page.getByRole("searchbox").waitFor();
      await page.keyboard.press("/");
      await page.keyboard.type("needle");
      await page.keyboard.press("Enter");
      await page.locator('tr[data-key="needle/a"]').waitFor();
      expect(await page.locator('tr[data-key="hay"]').count()).toBe(0);
      await page.getByLabel("in values too").check();
      await page.locator('tr[data-key="hay"]').waitFor();
      expect(page.url()).toContain("/console/keys/search/needle");
    });

    test("one is changed with what changes shown, and not over what somebody else wrote", async () => {
      await put("edit/me", '{"a":1}');
      await open("key/edit%2Fme");
      const value = page.getByLabel("Value");
      await value.fill('{"a":2,"b":[]}');
      await page.getByRole("button", { name: "Format" }).click();
      expect(await page.locator(".diff del").textContent()).toContain('- {"a":1}');
      expect(await page.locator(".diff ins").textContent()).toContain('+   "a": 2');
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.getByText("edit/me is saved").waitFor();
      expect(await valueOf("edit/me")).toBe('{\n  "a": 2,\n  "b": []\n}');

      await value.fill("mine");
      await put("edit/me", "theirs");
      await page.getByText("Somebody else has changed this key").waitFor();
      expect(await page.getByRole("button", { name: "Save", exact: true }).isDisabled()).toBe(true);
      expect(await page.locator(".diff del").textContent()).toContain("- theirs");
      await page.getByRole("button", { name: "Keep mine" }).click();
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.waitForFunction(() => document.querySelector("textarea")?.value === "mine" && document.querySelector(".diff") === null);
      expect(await valueOf("edit/me")).toBe("mine");

      await page.getByRole("button", { name: "Show what it was before" }).click();
      await page.getByText("It was made at revision").waitFor();
      await page.locator('tr[data-version="1"]').getByRole("button", { name: "Restore" }).click();
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.waitForFunction(() => document.querySelector(".diff") === null);
      expect(await valueOf("edit/me")).toBe('{"a":1}');
    });

    test("bytes that are no text stay as they are, leases count down, and a key is made and deleted", async () => {
      await v3("kv/put", { key: Buffer.from([1, 255]).toString("base64"), value: Buffer.from([0, 254, 255]).toString("base64") });
      await v3("lease/grant", { ID: "4242", TTL: "600" });
      await put("leased", "1", { lease: "4242" });
      await open("key/~01ff");
      expect(await page.getByLabel("Value (no text: base64)").inputValue()).toBe("AP7/");
      await open("key/leased");
      await page
        .locator("[data-lease='1092']")
        .getByText(/^1092: \d+ s of 600 s left$/)
        .or(page.getByText(/1092: \d+ s of 600 s left/))
        .first()
        .waitFor();
      await open("tree/");
      await page.getByRole("button", { name: "New key" }).click();
      await page.getByLabel("Name").fill("made/here");
      await page.getByRole("button", { name: "Open" }).click();
      await page.getByText("This key is not there").waitFor();
      await page.getByLabel("Value").fill("new");
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.locator("[data-revision]").waitFor();
      expect(await valueOf("made/here")).toBe("new");
      await page.getByRole("button", { name: "Delete …" }).click();
      await page.getByRole("button", { name: "Delete it" }).click();
      await page.getByText("made/here is deleted").waitFor();
      expect((await fetch(`${urlOf()}/v1/kv/made%2Fhere`)).status).toBe(404);
    });

    test("nothing can be changed in read-only mode", async () => {
      await open("key/edit%2Fme");
      await page.getByLabel("Read-only").check();
      expect(await page.getByRole("button", { name: "Delete …" }).isDisabled()).toBe(true);
      expect(await page.getByLabel("Value").isEditable()).toBe(false);
      await page.getByLabel("Read-only").uncheck();
    });
  });

  test("charts show how busy the member is and how fast it answers", async () => {
    await page.goto(`${urlOf()}/console/overview`);
    const shown = (title: string) => page.locator(`[data-chart="${title}"] figcaption strong`);
    await shown("Requests answered").waitFor();
    const busy = new AbortController();
    const load = (async () => {
      while (!busy.signal.aborted) await fetch(`${urlOf()}/v1/kv/busy`, { method: "PUT", body: "1" });
    })();
    await shown("Requests answered")
      .getByText(/^[1-9]\d{1,}\/s$/)
      .waitFor();
    await shown("Entries applied")
      .getByText(/^[1-9]\d{1,}\/s$/)
      .waitFor();
    await shown("99 of 100 requests within")
      .getByText(/^[\d.]+ ms$/)
      .waitFor();
    busy.abort();
    await load;
  });

  test("services are there with their health, live, and one that is gone can be removed", async () => {
    const q = connectAll(urlOf());
    const info = { address: "10.0.0.7", port: 8080, zone: "eu-1", version: "1.2" };
    const mail = await q.services.register("mail", "a/1", info, { ttl: "30s" });
    await page.goto(`${urlOf()}/console/services`);
    const row = page.locator('tr[data-instance="mail/a/1"]');
    await row.getByText("10.0.0.7:8080").waitFor();
    await row.getByText(/ s of 30 s left/).waitFor();
    await mail.update({ status: "critical" });
    await page.locator('tr[data-instance="mail/a/1"][data-status=critical]').waitFor();
    await row.getByRole("link", { name: "mail", exact: true }).click();
    expect(page.url()).toMatch(/\/console\/services\/mail$/);
    await mail.leave();
    await page.getByText("No instance is registered here").waitFor();
    const { id } = await Session.open(q, { ttl: "60s" });
    await q.services.register("mail", "b", info, { ttl: "60s", signal: AbortSignal.timeout(60_000) });
    await page.locator('tr[data-instance="mail/b"]').getByRole("button", { name: "Remove …" }).click();
    await page.getByRole("button", { name: "Remove it" }).click();
    await page.getByText("The instance is off the list").waitFor();
    await q.store.revoke(id);
  });

  test("queues show how much is where, what comes next, and what is dead, which is handed out again", async () => {
    const q = connectAll(urlOf());
    const jobs = q.queue("mail/out");
    await jobs.putAll(["one", "two"]);
    const [first] = await jobs.take();
    await first!.nack({ dead: true });
    await page.goto(`${urlOf()}/console/queues`);
    const counts = page.locator('tr[data-queue="mail/out"] td.number');
    await counts.first().waitFor();
    expect((await counts.allTextContents()).slice(0, 4)).toEqual(["1", "0", "0", "1"]);
    await page.getByRole("link", { name: "mail/out" }).click();
    await page.locator("tr[data-message=Next]").getByText("two").waitFor();
    await page.locator("tr[data-message=Dead]").getByText("one").waitFor();
    await page.getByRole("button", { name: "Hand them out again" }).click();
    await page.locator("tr[data-message=Next]").getByText("one").waitFor();
    await page.getByText("No message is dead.").waitFor();
    await jobs.condition.set({ kind: "manual", open: false, mode: "latch" });
    await page.getByText("Nothing is handed out: its condition (manual) does not hold.").waitFor();
  });

  test("configuration shows values and who runs them, publishes over nobody, and goes back", async () => {
    const q = connectAll(urlOf());
    const app = q.config("app");
    const first = await app.set("limits", { max: 1 });
    await acknowledgeConfig(q, "app", "worker-1", first, { ttl: "60s" });
    await page.goto(`${urlOf()}/console/config`);
    await page.getByRole("link", { name: "app", exact: true }).click();
    await page.locator("tr[data-consumer=worker-1]").getByText("up to date").waitFor();
    const limits = page.locator("[data-value=limits]");
    await limits.getByRole("button", { name: "Change …" }).click();
    await limits.getByLabel("New value, JSON").fill('{"max": 2}');
    expect(await limits.locator(".diff ins").textContent()).toContain('"max": 2');
    await limits.getByRole("button", { name: "Publish" }).click();
    await page.getByText("limits is published").waitFor();
    expect((await app.get("limits"))?.value).toEqual({ max: 2 });
    await page.locator("tr[data-consumer=worker-1]").getByText("behind").waitFor();

    await limits.getByRole("button", { name: "Change …" }).click();
    await limits.getByLabel("New value, JSON").fill('{"max": 3}');
    await app.set("limits", { max: 4 });
    await limits.getByText("Somebody else has published this value").waitFor();
    await limits.getByRole("button", { name: "Publish" }).click();
    await page.getByText(/^Publish: limits is not as/).waitFor();
    expect((await app.get("limits"))?.value).toEqual({ max: 4 });
    await limits.getByRole("button", { name: "Leave it" }).click();
    await page.getByLabel("Go back to revision").fill(String(first));
    await page.getByRole("button", { name: "Publish what was in force then" }).click();
    await page.locator("[data-value=limits] pre").getByText('"max": 1').waitFor();
  });

  test("locks and elections show who has them, who waits, and a circle of those who wait for each other", async () => {
    const q = connectAll(urlOf());
    const [one, two] = [await Session.open(q, { ttl: "60s" }), await Session.open(q, { ttl: "60s" })];
    const hex = ({ id }: Session) => BigInt(id).toString(16);
    await q.lock("first", { session: one, owner: "ann" });
    await q.lock("second/é", { session: two, owner: "bob" });
    const office = await q.election("office").campaign("10.0.0.9", { session: one });
    await page.goto(`${urlOf()}/console/locks`);
    await page
      .locator(`[data-line="locks/first"] tr[data-place=holder][data-session="${hex(one)}"]`)
      .getByText("ann")
      .waitFor();
    await page.locator('[data-line="elections/office"] tr[data-place=holder]').getByText("10.0.0.9").waitFor();
    const waiting = [q.lock("first", { session: two, wait: "30s" }), q.lock("second/é", { session: one, wait: "30s" })].map((taking) =>
      taking.catch((error: unknown) => error),
    );
    await page.locator(`[data-line="locks/second/é"] tr[data-place=waiting][data-session="${hex(one)}"]`).waitFor();
    await page.getByText("Nobody goes on here:").waitFor();
    await office.resign();
    await page.locator('[data-line="elections/office"]').waitFor({ state: "detached" });
    await page
      .locator(`[data-line="locks/first"] tr[data-session="${hex(one)}"]`)
      .getByRole("button", { name: "Take it away …" })
      .click();
    await page.getByRole("button", { name: "End its session" }).click();
    await page.locator(`[data-line="locks/first"] tr[data-place=holder][data-session="${hex(two)}"]`).waitFor();
    await two.end();
    await Promise.all(waiting);
    await q.lock("shown", { owner: "ann" });
  });

  test.each(["light", "dark"])("keeps WCAG 2.1 AA on every page, %s", async (look) => {
    const url = urlOf();
    for (const place of [
      "overview",
      "members",
      "keys/tree/",
      "keys/list/app%2F",
      "keys/search/needle",
      "keys/key/edit%2Fme",
      "locks",
      "services",
      "queues",
      "queues/mail%2Fout",
      "config/app",
      "access",
    ]) {
      await page.goto(`${url}/console/${place}`);
      await page.getByLabel("Appearance").selectOption(look);
      await page.locator("main table, main textarea, main .nothing, main .chart").first().waitFor();
      if (SCREENSHOTS)
        await page.screenshot({
          path: join(PROJECT_ROOT, "docs", "console", `${place.split("/")[place.startsWith("keys") ? 1 : 0]}-${look}.png`),
        });
      const found = await page.evaluate(`${AXE}; axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] })`);
      const { violations } = found as { violations: { id: string; nodes: { html: string }[] }[] };
      expect(
        violations.map(({ id, nodes }) => [id, nodes[0]!.html]),
        `${place}, ${look}`,
      ).toEqual([]);
    }
  });

  test("asks who one is where authentication is on, and shows users and roles to whoever may", async () => {
    const v3 = (path: string, message: object) => fetch(`${urlOf()}/v3/auth/${path}`, { method: "POST", body: JSON.stringify(message) });
    await v3("user/add", { name: "root", password: "secret" });
    await v3("user/grant", { user: "root", role: "root" });
    await v3("role/add", { name: "reader" });
    await v3("role/grant", { name: "reader", perm: { permType: "READ", key: btoa("app/"), range_end: btoa("app0") } });
    expect((await v3("enable", {})).status).toBe(200);
    await page.goto(`${urlOf()}/console/access`);
    await page
      .getByRole("alert")
      .getByText(/user name is empty/)
      .waitFor();
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByLabel("User", { exact: true }).fill("root");
    await page.getByLabel("Password").fill("wrong");
    await page.getByRole("dialog").getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("dialog").getByRole("alert").waitFor();
    await page.getByLabel("Password").fill("secret");
    await page.getByRole("dialog").getByRole("button", { name: "Sign in" }).click();
    await page.locator("tr[data-user=root]").waitFor();
    await page.locator("tr[data-role-name=reader]").getByText("read from app/ to app0").waitFor();
    await page.goto(`${urlOf()}/console/queues/mail%2Fout`);
    await page.locator("tr[data-message=Next]").first().waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("alert").first().waitFor();
  });

  test("asked nobody but the members, and had no error of its own", () => {
    expect(strangers).toEqual([]);
    expect(problems).toEqual([]);
  });
});
