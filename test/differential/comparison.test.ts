/** The comparison itself: it must see what it is there to see, and nothing else. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { compareServers, stepsOf } from "./compare-servers.ts";
import { differences } from "./difference.ts";
import { Random } from "./random.ts";
import { shrink } from "./shrink.ts";

describe("differences()", () => {
  test("sees a changed value, a field too many and one too few, and an order", () => {
    expect(differences({ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] })).toEqual(["a[1].b: 2 | 3"]);
    expect(differences({ a: 1 }, {})).toEqual(["a: 1 | undefined"]);
    expect(differences({}, { a: null })).toEqual(["a: undefined | null"]);
    expect(differences([1, 2], [2, 1])).toHaveLength(2);
    expect(differences({ a: [1] }, { a: { 0: 1 } })).toHaveLength(1);
    expect(differences("1", 1)).toHaveLength(1);
  });

  test("allows a second in what is left of a TTL, and no more", () => {
    expect(differences({ TTL: "99" }, { TTL: "100" })).toEqual([]);
    expect(differences({ ttl: 98 }, { ttl: 100 })).toHaveLength(1);
    expect(differences({ grantedTTL: "99" }, { grantedTTL: "100" })).toHaveLength(1);
    expect(differences({ node: { expiration: "2026-01-01T00:00:00.5Z" } }, { node: { expiration: "2026-01-01T00:00:02Z" } })).toEqual([]);
  });
});

test("the same seed makes the same requests, another seed makes others", () => {
  for (const view of ["v2", "v3", "grpc"] as const) {
    expect(stepsOf(view, 5, 200)).toEqual(stepsOf(view, 5, 200));
    expect(stepsOf(view, 5, 200)).not.toEqual(stepsOf(view, 6, 200));
  }
});

test("Random.int() is even enough, and weighted() follows the weights", () => {
  const random = new Random(1);
  const counts = [0, 0, 0, 0];
  for (let n = 0; n < 4_000; n++) counts[random.int(4)]! += 1;
  for (const count of counts) expect(count).toBeGreaterThan(900);
  let rare = 0;
  for (let n = 0; n < 1_000; n++) if (random.weighted([[9, false], [1, true]])) rare++; // prettier-ignore
  expect(rare).toBeGreaterThan(50);
  expect(rare).toBeLessThan(150);
});

test("shrink() leaves only what is needed to fail", async () => {
  const items = Array.from({ length: 100 }, (_, n) => n);
  const fails = async (some: readonly number[]): Promise<boolean> => some.includes(17) && some.includes(60);
  expect(await shrink(items, fails, { trialsMax: 1_000, msMax: 10_000 })).toEqual([17, 60]);
});

describe("a run", () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  /** A store with one revision counter and no memory: enough to be asked and to be wrong once. */
  async function fake(firstRevision: number, wrongAt: number): Promise<string> {
    let revision = firstRevision;
    let ranges = 0;
    const server = createServer((request, reply) => {
      let body = "";
      request.on("data", (text: string) => (body += text));
      request.on("end", () => {
        if (request.url === "/v3/kv/put" || (request.url === "/v3/kv/deleterange" && body.includes("AAAA"))) revision++;
        const extra = request.url === "/v3/kv/range" && ++ranges >= wrongAt ? { count: "1" } : {};
        reply.setHeader("content-type", "application/json");
        reply.end(`${JSON.stringify({ header: { revision: String(revision) }, ...extra })}\n`);
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  test("finds nothing between two servers that count from different numbers", async () => {
    const urls = { etcd: await fake(1, Infinity), quorate: await fake(1_000, Infinity) };
    expect((await compareServers(urls, "v3", 3, 60)).report).toBeUndefined();
  });

  test("finds one wrong answer, names the seed, and cuts the sequence down to it", async () => {
    const urls = { etcd: await fake(1, Infinity), quorate: await fake(1_000, 8) };
    const { report } = await compareServers(urls, "v3", 3, 60);
    expect(report).toContain("npm run differential -- --view v3 --seed 3");
    expect(report).toMatch(/smallest sequence found, 1 of \d+ steps/);
    expect(report).toContain('body.count: undefined | "1"');
  });
});
