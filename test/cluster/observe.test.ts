/** What a real member tells of what it does: its audit log, the level of its log, how long requests take. */
import { existsSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PUT_REQUEST, PUT_RESPONSE } from "../../core/api/v3/messages.ts";
import { ascii } from "../../core/bytes/bytes.ts";
import { GrpcClient } from "../helpers/grpc-client.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";

const file = join(tempDir("audit"), "audit.jsonl");
const base64 = (text: string) => Buffer.from(text).toString("base64");
let server: ServerProcess;
beforeAll(async () => void (server = await startQuorate({ flags: ["--audit-log", file] })));
afterAll(() => server.stop());

interface Line {
  readonly time: string;
  readonly from: string;
  readonly request: string;
  readonly requestId?: string;
  readonly user: string | null;
  readonly operation: string;
  readonly keys?: unknown;
  readonly subject?: string;
  readonly revision?: number;
  readonly error?: string;
  readonly scoped?: boolean;
}

let seen = 0;
/** Those since the last call. */
function lines(): Line[] {
  const all = readFileSync(file, "utf8").trimEnd().split("\n");
  return all.slice(seen, (seen = all.length)).map((line) => JSON.parse(line) as Line);
}
const brief = ({ request, user, operation, keys, subject, error }: Line) => [
  request,
  user,
  operation,
  keys ?? subject,
  ...(error === undefined ? [] : [error]),
];

async function v3(path: string, message: object, headers: Record<string, string> = {}): Promise<Record<string, string>> {
  const reply = await fetch(`${server.url}/v3/${path}`, { method: "POST", body: JSON.stringify(message), headers });
  return (await reply.json()) as Record<string, string>;
}

test("each API leaves who, from where, what and which keys, and no values", async () => {
  const headers = { "x-request-id": "r-1", "idempotency-key": "k" };
  const put = await fetch(`${server.url}/v1/kv/a?ttl=1m`, { method: "PUT", body: "secret", headers });
  expect(put.headers.get("x-request-id")).toBe("r-1");
  await fetch(`${server.url}/v2/keys/b`, {
    method: "PUT",
    body: "value=secret",
    headers: { "content-type": "application/x-www-form-urlencoded" },
  });
  await v3("kv/put", { key: base64("c"), value: base64("secret") });
  await v3("kv/txn", {
    success: [{ request_delete_range: { key: base64("c"), range_end: base64("d") } }],
    failure: [{ request_put: { key: base64("never") } }],
  });
  await v3("kv/txn", { success: [{ request_range: { key: base64("c") } }] });
  await v3("kv/range", { key: base64("c") });
  await v3("kv/put", { key: base64("d"), lease: "404" });
  await fetch(`${server.url}/v1/queues/q`, { method: "POST", body: "secret" });
  const told = lines();
  expect(told.map(brief)).toEqual(
    expect.arrayContaining([
      ["PUT /v1/kv/a", "", expect.stringMatching(/^(put|txn)$/), ["a"]],
      ["PUT /v2/keys/b", "", "v2 put", ["/b"]],
      ["POST /v3/kv/put", "", "put", ["c"]],
      ["POST /v3/kv/txn", "", "txn", [["c", "d"]]],
      ["POST /v3/kv/put", "", "put", ["d"], "leaseNotFound"],
    ]),
  );
  expect(told.filter(({ request }) => request === "POST /v3/kv/txn")).toHaveLength(1); // the other wrote nothing
  const [first] = told.filter(({ request }) => request === "PUT /v1/kv/a");
  expect(first).toMatchObject({
    from: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    requestId: "r-1",
    time: expect.stringMatching(/^\d{4}-/),
  });
  expect(told.filter(({ error }) => error === undefined).every(({ revision }) => revision! > 0)).toBe(true);
  expect(JSON.stringify(told)).not.toContain("secret");
  expect(JSON.stringify(told)).not.toContain(base64("secret"));
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("gRPC, users, roles and refusals are told, with whose they were", async () => {
  const kv = new GrpcClient(server.url);
  try {
    const tables = { request: PUT_REQUEST, reply: PUT_RESPONSE };
    await kv.ask("/etcdserverpb.KV/Put", tables, { key: ascii("g"), value: ascii("secret") });
  } finally {
    kv.close();
  }
  await v3("auth/user/add", { name: "root", password: "secret" });
  await v3("auth/user/grant", { user: "root", role: "root" });
  await v3("auth/user/add", { name: "ann", password: "secret" });
  await v3("auth/enable", {});
  const { token } = await v3("auth/authenticate", { name: "ann", password: "secret" });
  await v3("kv/put", { key: base64("x"), value: base64("secret") }, { authorization: token! });
  const told = lines();
  expect(told.map(brief)).toEqual([
    ["/etcdserverpb.KV/Put", "", "put", ["g"]],
    ["POST /v3/auth/user/add", "", "userAdd", "root"],
    ["POST /v3/auth/user/grant", "", "userGrant", "root"],
    ["POST /v3/auth/user/add", "", "userAdd", "ann"],
    ["POST /v3/auth/enable", "", "enable", ""],
    ["POST /v3/kv/put", "ann", "put", ["x"], "permissionDenied"],
  ]);
  expect(JSON.stringify(told)).not.toContain("secret");
});

test("the log's level is changed while the member runs, by whoever may", async () => {
  const put = async (body: string, headers: Record<string, string> = {}) => {
    const reply = await fetch(`${server.url}/config/local/log`, { method: "PUT", body, headers });
    return [reply.status, await reply.text()];
  };
  const token = async (name: string) => ({ authorization: (await v3("auth/authenticate", { name, password: "secret" }))["token"]! });
  expect(await put('{"Level":"DEBUG"}')).toEqual([401, expect.stringContaining("user name is empty")]);
  expect(await put('{"Level":"DEBUG"}', await token("ann"))).toEqual([403, '{"message":"etcdserver: permission denied"}']);
  const root = await token("root");
  expect(await put('{"Level":"loud"}', root)).toEqual([400, '{"message":"Invalid log level loud"}']);
  expect(await put("loud", root)).toEqual([400, '{"message":"Invalid json body"}']);
  expect(await put('{"Level":"DEBUG"}', root)).toEqual([204, ""]);
  expect(server.output()).toContain('"level":"info","time"');
  expect(server.output()).toContain("the log level was changed");
  expect((await fetch(`${server.url}/config/local/log`)).status).toBe(405);
});

test("the durations of requests are on the page of metrics, without those that wait", async () => {
  await fetch(`${server.url}/v1/kv/none?wait=1ms`);
  const page = await (await fetch(`${server.url}/metrics`)).text();
  const counted = (labels: string) =>
    Number(new RegExp(`^quorate_http_request_duration_seconds_count\\{${labels}\\} (\\d+)$`, "m").exec(page)?.[1] ?? 0);
  expect(counted('route="/v1/\\*",method="PUT"')).toBe(1);
  expect(counted('route="/v1/\\*",method="GET"')).toBe(0);
  expect(counted('route="/v3/kv/put",method="POST"')).toBeGreaterThan(0);
  expect(page).toMatch(/quorate_http_request_duration_seconds_bucket\{route="\/v3\/kv\/put",method="POST",le="\+Inf"\} \d/);
});

test("a file that was moved away is begun anew on SIGHUP", async () => {
  renameSync(file, `${file}.1`);
  server.signal("SIGHUP");
  await untilTrue(() => Promise.resolve(existsSync(file)), { what: () => "the new file" });
  await v3("kv/put", { key: base64("later") });
  expect(readFileSync(file, "utf8")).toContain("/v3/kv/put");
  expect(readFileSync(`${file}.1`, "utf8")).not.toContain("later");
});
