import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TestStore } from "../../testing/test-store.ts";
import { isQuorateError } from "../errors.ts";
import { type ServiceCheck, termsOf } from "./service-check.ts";
import { listServices, registerService } from "./services.ts";

/** What is asked, and what it answers: null is well. */
let fault: string | null = null;
let asked: string[] = [];
let store: TestStore;
beforeEach(async () => {
  [fault, asked] = [null, []];
  store = await TestStore.start({ probe: (url) => (asked.push(url), fault) });
});
afterEach(() => store[Symbol.asyncDispose]());

const CHECK: ServiceCheck = { url: "http://10.0.0.1/health", interval: "2s", failAfter: 3 };
const INFO = { address: "10.0.0.1", check: CHECK };
const register = (id: string, info: object = {}) => store.run(registerService(store.client().q, "api", id, { ...INFO, ...info }));
const listed = async () => (await store.run(listServices(store.client().q, "api"))).instances;
const statuses = async () => (await listed()).map(({ id, status, checked }) => `${id} ${status} ${checked?.status}: ${checked?.output}`);

describe("an instance with a check", () => {
  test("is asked at its interval, and its verdict is written when it changes, not before and not again", async () => {
    await register("a");
    const registered = store.revision;
    await store.advance(20_000);
    expect(asked.length).toBeGreaterThanOrEqual(8);
    expect(asked.length).toBeLessThanOrEqual(11);
    expect(await statuses()).toEqual(["a passing passing: "]);
    expect(store.revision).toBe(registered + 1);
    fault = "HTTP 503";
    await store.advance(3_900);
    expect(await statuses()).toEqual(["a passing passing: "]);
    await store.advance(2_500);
    expect(await statuses()).toEqual(["a critical critical: HTTP 503"]);
    await store.advance(60_000);
    expect(store.revision).toBe(registered + 2);
    fault = null;
    await store.advance(2_500);
    expect(await statuses()).toEqual(["a passing passing: "]);
  });

  test("is never deleted by it, and not kept: its lease alone decides", async () => {
    fault = "ECONNREFUSED";
    const registration = await register("a");
    await store.advance(60_000);
    expect(await statuses()).toEqual(["a critical critical: ECONNREFUSED"]);
    fault = null;
    await store.run(registration.leave());
    const gone = asked.length;
    await store.advance(60_000);
    expect([await statuses(), asked.length - gone <= 1]).toEqual([[], true]);
  });

  test("keeps its verdict when it says something else of itself, and loses it with another check", async () => {
    fault = "HTTP 500";
    const registration = await register("a");
    await store.advance(20_000);
    await store.run(registration.update({ zone: "eu-1" }));
    expect(await listed()).toMatchObject([{ zone: "eu-1", status: "critical" }]);
    await store.run(registration.update({ status: "draining" }));
    expect(await listed()).toMatchObject([{ status: "draining", checked: { status: "critical" } }]);
    await store.run(registration.update({ status: "passing", check: { ...CHECK, url: "http://10.0.0.1/other" } }));
    expect(await statuses()).toEqual(["a passing undefined: undefined"]);
    await store.advance(20_000);
    expect(await statuses()).toEqual(["a critical critical: HTTP 500"]);
  });

  test("is left alone when it has none, or what stands there is another program's", async () => {
    await register("a", { check: undefined });
    await store.run(store.client().q.kv.put("/quorate/services/api/b", '{"address":"x","check":{"url":7}}'));
    await store.run(store.client().q.kv.put("/quorate/services/api/c", "no JSON"));
    await store.advance(60_000);
    expect(asked).toEqual([]);
  });

  test("that nobody makes says so", async () => {
    await using other = await TestStore.start();
    await other.run(registerService(other.client().q, "api", "a", INFO));
    await other.advance(12_000);
    const { instances } = await other.run(listServices(other.client().q, "api"));
    expect(instances).toMatchObject([{ status: "passing", checked: { status: "refused", output: expect.stringContaining("10.0.0.1") } }]);
  });
});

describe("what a check may be", () => {
  const refused = (check: object): string => {
    try {
      termsOf({ ...CHECK, ...check });
      return "";
    } catch (error) {
      return isQuorateError(error) ? String(error.details["field"]) : String(error);
    }
  };

  test("has a default for all but the address", () => {
    expect(termsOf({ url: "tcp://a:80" })).toMatchObject({ intervalMs: 10_000, timeoutMs: 2_000, failAfter: 3 });
    expect(termsOf({ url: "http://a", interval: "1s" })).toMatchObject({ timeoutMs: 1_000 });
  });

  test.each([
    [{ url: "a" }, "check.url"],
    [{ url: "file:///etc/passwd" }, "check.url"],
    [{ url: "tcp://a" }, "check.url"],
    [{ url: "http://name:password@a" }, "check.url"],
    [{ interval: "0s" }, "check.interval"],
    [{ interval: "2h" }, "check.interval"],
    [{ interval: "1s", timeout: "2s" }, "check.timeout"],
    [{ failAfter: 0 }, "check.failAfter"],
    [{ failAfter: 1.5 }, "check.failAfter"],
  ])("%j is refused by %s", (check, field) => {
    expect(refused(check)).toBe(field);
  });
});
