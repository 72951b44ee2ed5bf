/** Keys and values over plain HTTP, at a real server: what HTTP promises of them, and that no field is taken that cannot be. */
import { request } from "node:http";
import { json } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { asking } from "./http.ts";

let server: ServerProcess;
beforeAll(async () => {
  server = await startQuorate({ flags: ["--cors", "https://app.example", "--max-request-bytes", "1000"] });
});
afterAll(() => server.stop());
const ask = asking(() => server);

/** Answered before the body is sent. */
function announced(length: number): Promise<{ status: number | undefined; code: unknown }> {
  return new Promise((resolve, reject) => {
    const sent = request(`${server.url}/v1/kv/large`, { method: "PUT", headers: { "content-length": length } });
    sent.on("error", reject);
    sent.on("response", (reply) => {
      void json(reply).then((problem) => {
        resolve({ status: reply.statusCode, code: (problem as { code: unknown }).code });
        sent.destroy();
      }, reject);
    });
    sent.flushHeaders();
  });
}

const etag = (answer: { headers: Headers }): string => answer.headers.get("etag")!;

describe("/v1/kv", () => {
  test("any bytes are a key and a value", async () => {
    const value = Uint8Array.from({ length: 256 }, (_, at) => at);
    expect(await ask("PUT", "/v1/kv/any/%00%FF%2F?", { body: value })).toMatchObject({
      status: 201,
      json: { key: { base64: "YW55LwD/Lw==" } },
    });
    const reply = await fetch(`${server.url}/v1/kv/any/%00%FF/`);
    expect(new Uint8Array(await reply.arrayBuffer())).toEqual(value);
  });

  test("the content type is kept with each value, until somebody puts one without", async () => {
    const type = "application/json; charset=utf-8";
    const first = await ask("PUT", "/v1/kv/typed", { body: "{}", headers: { "content-type": type } });
    const told = await ask("GET", "/v1/kv/typed");
    expect(told.headers.get("content-type")).toBe(type);
    expect([told.headers.get("x-content-type-options"), told.headers.get("content-security-policy")]).toEqual(["nosniff", "sandbox"]);
    expect((await ask("HEAD", "/v1/kv/typed")).headers.get("content-type")).toBe(type);
    expect((await ask("GET", "/v1/kv/typ?prefix")).json).toMatchObject({ kvs: [{ key: "typed", contentType: type }] });
    const range = await ask("POST", "/v3/kv/range", { body: { key: "dHlwZWQ=" } });
    expect((range.json!["kvs"] as object[]).map(Object.keys)).toEqual([["key", "create_revision", "mod_revision", "version", "value"]]);
    await ask("POST", "/v3/kv/put", { body: { key: "dHlwZWQ=", value: "MQ==" } });
    expect((await ask("GET", "/v1/kv/typed")).headers.get("content-type")).toBe("application/octet-stream");
    const past = await ask("GET", `/v1/kv/typed?revision=${first.json!["revision"] as number}`);
    expect(past.headers.get("content-type")).toBe(type);
    await ask("PUT", "/v1/kv/typed", { body: "a=b", headers: { "content-type": "application/x-www-form-urlencoded" } });
    expect((await ask("GET", "/v1/kv/typed")).headers.get("content-type")).toBe("application/octet-stream");
    const line = await ask("POST", "/v1/kv/typed/", { body: "<p>", headers: { "content-type": "text/html" } });
    expect((await ask("GET", line.headers.get("location")!)).headers.get("content-type")).toBe("text/html");
    const op = { op: "put", key: "typed", value: "1", contentType: "text/csv" };
    await ask("POST", "/v1/txn", { body: { success: [op] } });
    expect(await ask("POST", "/v1/txn", { body: { success: [{ op: "put", key: "typed", lease: undefined }] } })).toMatchObject({
      status: 200,
    });
    expect((await ask("GET", "/v1/kv/typed")).headers.get("content-type")).toBe("text/csv");
    const late = await ask("PUT", "/v1/kv/typed", { body: "", headers: { "content-type": `text/${"x".repeat(200)}` } });
    expect(late).toMatchObject({ status: 400, json: { field: "content-type" } });
  });

  test("an ETag is a compare-and-swap", async () => {
    const first = await ask("PUT", "/v1/kv/cas", { body: "1", headers: { "if-none-match": "*" } });
    expect(first).toMatchObject({ status: 201, json: { created: true } });
    const second = await ask("PUT", "/v1/kv/cas", { body: "2", headers: { "if-match": etag(first) } });
    expect(second).toMatchObject({ status: 200, json: { created: false } });
    const late = await ask("PUT", "/v1/kv/cas", { body: "3", headers: { "if-match": etag(first) } });
    expect(late).toMatchObject({ status: 412, json: { code: "precondition_failed", etag: etag(second) } });
    expect(await ask("DELETE", "/v1/kv/cas", { headers: { "if-match": etag(first) } })).toMatchObject({ status: 412 });
    expect(await ask("DELETE", "/v1/kv/cas", { headers: { "if-match": etag(second) } })).toMatchObject({
      status: 200,
      json: { deleted: 1 },
    });
    expect(await ask("PUT", "/v1/kv/cas", { body: "4", headers: { "if-match": "*" } })).toMatchObject({ status: 412 });
  });

  test("a copy is asked for anew with its ETag, among others and those of others", async () => {
    const put = await ask("PUT", "/v1/kv/cache", { body: "1" });
    const same = await ask("GET", "/v1/kv/cache", { headers: { "if-none-match": `"other", W/${etag(put)}` } });
    expect({ status: same.status, etag: etag(same), cache: same.headers.get("cache-control") }).toEqual({
      status: 304,
      etag: etag(put),
      cache: "no-cache",
    });
    expect(same.headers.get("content-length")).toBeNull();
    expect(await ask("GET", "/v1/kv/cache", { headers: { "if-none-match": '"other"' } })).toMatchObject({ status: 200, text: "1" });
    const head = await ask("HEAD", "/v1/kv/cache");
    expect({ text: head.text, length: head.headers.get("content-length"), etag: etag(head) }).toEqual({
      text: "",
      length: "1",
      etag: etag(put),
    });
  });

  test("a wait ends with a change, or with its time", async () => {
    const put = await ask("PUT", "/v1/kv/wait", { body: "1" });
    expect(await ask("GET", "/v1/kv/wait?wait=20ms", { headers: { "if-none-match": etag(put) } })).toMatchObject({ status: 304 });
    const [changed] = await Promise.all([
      ask("GET", "/v1/kv/wait?wait=30s", { headers: { "if-none-match": etag(put) } }),
      ask("PUT", "/v1/kv/wait", { body: "2" }),
    ]);
    expect(changed).toMatchObject({ status: 200, text: "2" });
    const [came] = await Promise.all([ask("GET", "/v1/kv/wait-new?wait=30s"), ask("PUT", "/v1/kv/wait-new", { body: "new" })]);
    expect(came).toMatchObject({ status: 200, text: "new" });
    expect(await ask("GET", "/v1/kv/wait-none?wait=10ms")).toMatchObject({ status: 404, json: { code: "key_absent" } });
  });

  test("pages show the keys as they were when the first one was asked for", async () => {
    for (const name of ["a", "b", "c"]) await ask("PUT", `/v1/kv/page/${name}`, { body: name });
    const first = await ask("GET", "/v1/kv/page/?prefix&limit=2");
    expect(first.json).toMatchObject({ kvs: [{ key: "page/a" }, { key: "page/b" }], count: 3, cursor: expect.any(String) as string });
    await ask("DELETE", "/v1/kv/page/c");
    await ask("PUT", "/v1/kv/page/d", { body: "d" });
    const second = await ask("GET", `/v1/kv/page/?prefix&limit=2&cursor=${first.json!["cursor"] as string}`);
    expect(second.json).toMatchObject({ kvs: [{ key: "page/c", value: "c" }], count: 3, revision: first.json!["revision"] });
    expect(second.json).not.toHaveProperty("cursor");
    expect(await ask("DELETE", "/v1/kv/page/?prefix")).toMatchObject({ json: { deleted: 3 } });
  });

  test("the past is read by its revision, until it is compacted", async () => {
    const put = await ask("PUT", "/v1/kv/past", { body: "old" });
    const revision = put.json!["revision"] as number;
    await ask("PUT", "/v1/kv/past", { body: "new" });
    expect(await ask("GET", `/v1/kv/past?revision=${revision}`)).toMatchObject({ status: 200, text: "old" });
    expect(await ask("GET", "/v1/kv/past?revision=999999")).toMatchObject({ status: 404, json: { code: "future_revision" } });
    await ask("POST", "/v3/kv/compaction", { body: { revision: revision + 1 } });
    expect(await ask("GET", `/v1/kv/past?revision=${revision}`)).toMatchObject({ status: 410, json: { code: "compacted" } });
  });

  test("a key with a time to live has a lease, and one that was refused leaves none", async () => {
    const put = await ask("PUT", "/v1/kv/ttl?ttl=60s", { body: "1" });
    const lease = put.json!["lease"] as string;
    expect(await ask("GET", `/v1/leases/${lease}`)).toMatchObject({ json: { ttl: 60, keys: ["ttl"] } });
    expect((await ask("GET", "/v1/kv/ttl")).headers.get("quorate-lease")).toBe(lease);
    await ask("DELETE", `/v1/leases/${lease}`);
    expect(await ask("GET", "/v1/kv/ttl")).toMatchObject({ status: 404 });
    const leases = await ask("POST", "/v3/lease/leases", { body: {} });
    await ask("PUT", "/v1/kv/ttl?ttl=60s", { body: "1", headers: { "if-match": "*" } });
    expect((await ask("POST", "/v3/lease/leases", { body: {} })).json!["leases"]).toEqual(leases.json!["leases"]);
  });

  test("a guard and a receipt go with the write, or neither", async () => {
    const hold = await ask("PUT", "/v1/kv/hold", { body: "me" });
    const guard = `hold@${hold.json!["revision"] as number}`;
    expect(await ask("PUT", "/v1/kv/guarded", { body: "1", headers: { "quorate-guard": guard } })).toMatchObject({ status: 201 });
    const message = "quorate/queues/q/f/000000000000009/00000000000000000009";
    const flight = await ask("PUT", `/v1/kv//${message}`, { body: "m" });
    const receipt = `/${message}@${flight.json!["revision"] as number}`;
    await ask("DELETE", "/v1/kv/hold");
    const both = { "quorate-guard": guard, "quorate-ack": receipt };
    expect(await ask("PUT", "/v1/kv/guarded", { body: "2", headers: both })).toMatchObject({ status: 409, json: { code: "stale_holder" } });
    expect(await ask("GET", `/v1/kv//${message}`)).toMatchObject({ status: 200 });
    expect(await ask("PUT", "/v1/kv/guarded", { body: "3", headers: { "quorate-ack": receipt } })).toMatchObject({ status: 200 });
    expect(await ask("GET", `/v1/kv//${message}`)).toMatchObject({ status: 404 });
    const again = await ask("PUT", "/v1/kv/guarded", { body: "4", headers: { "quorate-ack": receipt } });
    expect(again).toMatchObject({ status: 409, json: { code: "receipt_expired" } });
    expect(await ask("GET", "/v1/kv/guarded")).toMatchObject({ text: "3" });
  });
});

const LEASE = "must be a lease id";
const DURATION = "must be a duration";

describe("what cannot be taken is refused by the name of its field", () => {
  test.each([
    ["GET", "/v1/kv/%zz", "key", "percent sign"],
    ["GET", "/v1/kv/", "key", "must not be empty"],
    ["PUT", "/v1/kv/", "key", "must not be empty"],
    ["DELETE", "/v1/kv/", "key", "everything"],
    ["GET", "/v1/kv/a?prefix=perhaps", "prefix", ""],
    ["GET", "/v1/kv/a?prefix&limit=0", "limit", ""],
    ["GET", "/v1/kv/a?prefix&limit=many", "limit", ""],
    ["GET", "/v1/kv/a?prefix&cursor=none", "cursor", "was given for this prefix"],
    ["GET", "/v1/kv/a?prefix&wait=1s", "wait", "/v1/watch"],
    ["GET", "/v1/kv/a?keysOnly=2", "keysOnly", ""],
    ["GET", "/v1/kv/a?revision=-1", "revision", ""],
    ["GET", "/v1/kv/a?revision=1.5", "revision", ""],
    ["GET", "/v1/kv/a?serializable=x", "serializable", ""],
    ["GET", "/v1/kv/a?wait=soon", "wait", DURATION],
    ["GET", "/v1/kv/a?wait=56s", "wait", "at most 55s"],
    ["GET", "/v1/kv/a?wait=1s&wait=2s", "wait", ""],
    ["GET", "/v1/kv/a?colour=red", "colour", "no parameter of this request"],
    ["PUT", "/v1/kv/a?ttl=never", "ttl", DURATION],
    ["PUT", "/v1/kv/a?ttl=0", "ttl", "at least 1s"],
    ["PUT", "/v1/kv/a?lease=-5", "lease", LEASE],
    ["PUT", "/v1/kv/a?lease=5&ttl=5s", "ttl", "the lease that is named"],
    ["POST", "/v1/kv/a?lease=x", "lease", LEASE],
    ["DELETE", "/v1/kv/a?prefix=x", "prefix", ""],
    ["GET", "/v1/watch", "key", "exactly one"],
    ["GET", "/v1/watch?key=", "key", "must not be empty"],
    ["GET", "/v1/watch?key=a&prefix=b", "key", "exactly one"],
    ["GET", "/v1/watch?key=a&to=b", "key", "exactly one"],
    ["GET", "/v1/watch?key=a&key=b", "key", "given once"],
    ["GET", "/v1/watch?prefix=%f", "prefix", "percent sign"],
    ["GET", "/v1/watch?key=a&after=-1", "after", ""],
    ["GET", "/v1/watch?key=a&noPut=x", "noPut", ""],
    ["GET", "/v1/watch?key=a&noDelete=x", "noDelete", ""],
    ["GET", "/v1/watch?key=a&prev=x", "prev", ""],
    ["GET", "/v1/watch?key=a&wait=x", "wait", DURATION],
    ["PUT", "/v1/leases/x", "lease", LEASE],
    ["GET", "/v1/leases/0", "lease", LEASE],
    ["DELETE", "/v1/leases/99999999999999999999", "lease", LEASE],
  ])("%s %s", async (method, path, field, detail) => {
    const answer = await ask(method, path);
    expect(answer).toMatchObject({ status: 400, json: { code: "bad_field", field, outcome: "none" } });
    expect(answer.json!["detail"]).toContain(detail);
  });

  test.each([
    ["if-match", "abc"],
    ["if-none-match", '"5"'],
    ["quorate-guard", "no revision"],
    ["quorate-guard", "key@0"],
    ["quorate-guard", "%z@5"],
    ["quorate-ack", "somewhere/else@5"],
    ["quorate-min-revision", "soon"],
  ])("PUT with %s: %s", async (name, value) => {
    const answer = await ask("PUT", "/v1/kv/refused", { body: "1", headers: { [name]: value } });
    expect(answer).toMatchObject({ status: 400, json: { code: "bad_field", field: name } });
    expect(await ask("GET", "/v1/kv/refused")).toMatchObject({ status: 404 });
  });

  const op = (one: object): object => ({ success: [one] });
  test.each([
    ["/v1/txn", "{", "body"],
    ["/v1/txn", [], "body"],
    ["/v1/txn", { afterwards: [] }, "body"],
    ["/v1/txn", op({ op: "move" }), "success.0.op"],
    ["/v1/txn", op({ op: "put", key: 5, value: "" }), "success.0.key"],
    ["/v1/txn", op({ op: "put", key: "a", value: { base64: "?" } }), "success.0.value.base64"],
    ["/v1/txn", op({ op: "put", key: "a", value: "", lease: "x" }), "success.0.lease"],
    ["/v1/txn", op({ op: "put", key: "a", value: "", ttl: 5 }), "success.0"],
    ["/v1/txn", op({ op: "get", key: "a", prefix: "b" }), "success.0"],
    ["/v1/txn", op({ op: "get", prefix: "a", limit: -1 }), "success.0.limit"],
    ["/v1/txn", op({ op: "get", prefix: "a", sort: { by: "age" } }), "success.0.sort.by"],
    ["/v1/txn", op({ op: "append", prefix: "a" }), "success.0.value"],
    ["/v1/txn", op({ op: "delete" }), "success.0"],
    ["/v1/txn", { compare: [{ key: "a", target: "size" }] }, "compare.0.target"],
    ["/v1/txn", { compare: [{ key: "a", is: "like" }] }, "compare.0.is"],
    ["/v1/txn", { compare: [{ key: "a", target: "version", than: "5" }] }, "compare.0.than"],
    ["/v1/txn", { failure: {} }, "failure"],
    ["/v1/batch", { txns: [] }, "txns"],
    ["/v1/batch", { txns: [{}, { success: 1 }] }, "txns.1.success"],
    ["/v1/leases", {}, "ttl"],
    ["/v1/leases", { ttl: "0s" }, "ttl"],
    ["/v1/leases", { ttl: "15s", id: "x" }, "id"],
    ["/v1/leases", { ttl: "15s", name: "x" }, "body"],
  ])("POST %s %j", async (path, body, field) => {
    const answer = await ask("POST", path, { body });
    expect(answer).toMatchObject({ status: 400, json: { code: "bad_field", field } });
  });
});

describe("what every request of v1 is answered", () => {
  test("unknown paths and methods are problems too", async () => {
    expect(await ask("GET", "/v1/nothing")).toMatchObject({ status: 404, json: { code: "nothing_there" } });
    const answer = await ask("PATCH", "/v1/kv/a");
    expect(answer).toMatchObject({ status: 405, json: { code: "method_not_allowed" } });
    expect(answer.headers.get("allow")).toBe("GET, PUT, POST, DELETE, HEAD");
  });

  test("a body over --max-request-bytes is refused before it is looked at", async () => {
    const large = { status: 413, json: { code: "request_too_large", status: 413 } };
    expect(await ask("PUT", "/v1/kv/large", { body: "x".repeat(1001) })).toMatchObject(large);
    expect(await announced(4_000_000)).toEqual({ status: 413, code: "request_too_large" });
    expect(await ask("PUT", "/v1/kv/large", { body: "x".repeat(1000) })).toMatchObject({ status: 201 });
  });

  test("a revision that is not reached yet is said to be so", async () => {
    const behind = await ask("GET", "/v1/kv/a", { headers: { "quorate-min-revision": "99999" } });
    expect(behind).toMatchObject({ status: 503, json: { code: "behind", minRevision: 99999, retryAfterMs: 1000 } });
    expect(behind.headers.get("retry-after")).toBe("1");
    const put = await ask("PUT", "/v1/kv/fresh", { body: "1" });
    const headers = { "quorate-min-revision": put.headers.get("quorate-revision")! };
    expect(await ask("GET", "/v1/kv/fresh?serializable", { headers })).toMatchObject({ status: 200 });
  });

  test("browsers of a listed origin may send and read what v1 has, and caches are told that it depends on the origin", async () => {
    const asked = { origin: "https://app.example", "access-control-request-method": "PUT" };
    const preflight = await ask("OPTIONS", "/v1/kv/a", { headers: asked });
    expect(preflight.status).toBe(200);
    expect(preflight.headers.get("access-control-allow-origin")).toBe("https://app.example");
    expect(preflight.headers.get("access-control-allow-headers")).toContain("if-match");
    const put = await ask("PUT", "/v1/kv/cors", { body: "1", headers: { origin: "https://app.example" } });
    expect(put.headers.get("access-control-expose-headers")).toContain("etag");
    expect(put.headers.get("access-control-allow-headers")).toBeNull(); // asked for, and told, beforehand
    expect(put.headers.get("vary")).toBe("origin");
    const other = await ask("GET", "/v1/kv/cors", { headers: { origin: "https://evil.example" } });
    expect([other.headers.get("access-control-allow-origin"), other.headers.get("vary")]).toEqual([null, "origin"]);
    expect((await ask("GET", "/v1/watch?key=a")).headers.get("vary")).toBe("accept, origin");
    expect((await ask("POST", "/v3/kv/range", { body: { key: "AA==" } })).headers.get("vary")).toBeNull();
  });

  test("what was done with nothing to say has no length", async () => {
    const answer = await ask("DELETE", "/v1/leases/404");
    expect([answer.status, answer.headers.get("content-length")]).toEqual([204, null]);
  });
});

test("content types are read back from the log, and from a snapshot", async () => {
  const flags = ["--snapshot-count", "10"];
  let own = await startQuorate({ flags });
  const send = asking(() => own);
  const { dataDir } = own;
  try {
    await send("PUT", "/v1/kv/kept", { body: "{}", headers: { "content-type": "application/json" } });
    for (let round = 0; round < 2; round++) {
      expect(await own.kill("SIGTERM")).toMatchObject({ code: 0 });
      own = await startQuorate({ flags, dataDir });
      const kept = await send("GET", "/v1/kv/kept");
      expect([kept.text, kept.headers.get("content-type")]).toEqual(["{}", "application/json"]);
      for (let at = 0; at < 30; at++) await send("PUT", `/v1/kv/fill/${at}`, { body: "x" });
    }
  } finally {
    await own.stop();
  }
});
