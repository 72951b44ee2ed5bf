import { describe, expect, test } from "vitest";
import { type Endpoint, Endpoints } from "./endpoints.ts";

let now = 0;
const make = (...urls: string[]): Endpoints =>
  new Endpoints(
    urls,
    () => now,
    () => 1,
  );
const chosen = (endpoints: Endpoints, count = 1): string[] => Array.from({ length: count }, () => endpoints.choose().url);

describe("Endpoints", () => {
  test("asks each once, and then the fastest of late", () => {
    const endpoints = make("http://a", "http://b/", "http://a");
    expect(endpoints.count).toBe(2);
    const first = endpoints.choose();
    endpoints.answered(first, 10);
    const second = endpoints.choose();
    expect([first.url, second.url]).toEqual(["http://a", "http://b"]);
    endpoints.answered(second, 30);
    expect(chosen(endpoints, 3)).toEqual(["http://a", "http://a", "http://a"]);
    // It becomes slow: after a while the other one is faster.
    for (let n = 0; n < 8; n++) endpoints.answered(first, 100);
    expect(chosen(endpoints)).toEqual(["http://b"]);
  });

  test("looks at the others now and then", () => {
    const endpoints = make("http://a", "http://b");
    for (const one of [endpoints.choose(), endpoints.choose(new Set([endpoints.choose()]))])
      endpoints.answered(one, one.url === "http://a" ? 1 : 9);
    expect(new Set(chosen(endpoints, 40))).toEqual(new Set(["http://a", "http://b"]));
    expect(chosen(endpoints, 320).filter((url) => url === "http://b")).toHaveLength(10);
  });

  test("leaves one that failed alone, longer each time, and then tries it again", () => {
    const endpoints = make("http://a", "http://b");
    const a = endpoints.choose();
    endpoints.answered(a, 1);
    endpoints.answered(endpoints.choose(new Set([a])), 9);
    const banned = (): number => {
      const from = now;
      endpoints.failed(a);
      while (endpoints.choose().url !== "http://a") now += 100;
      return now - from;
    };
    expect([banned(), banned(), banned()]).toEqual([500, 1_000, 2_000]);
    for (let n = 0; n < 20; n++) endpoints.failed(a);
    now += 30_000;
    expect(endpoints.choose()).toBe(a);
    endpoints.failed(a);
    endpoints.answered(a, 1);
    expect(endpoints.choose()).toBe(a);
  });

  test("asks the one that is free first when all have failed, and those of a call last", () => {
    const endpoints = make("http://a", "http://b", "http://c");
    const tried = new Set<Endpoint>();
    for (let n = 0; n < 3; n++) {
      const next = endpoints.choose(tried);
      tried.add(next);
      endpoints.failed(next);
      now += 10;
    }
    expect([...tried].map(({ url }) => url)).toEqual(["http://a", "http://b", "http://c"]);
    expect(chosen(endpoints)).toEqual(["http://a"]);
  });
});
