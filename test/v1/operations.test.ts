/** Every operation that the OpenAPI document names is called at a real server, and every reply is held against what the document says. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { OPERATIONS } from "../../core/api/v1/operations.ts";
import { problemSchema } from "../../core/api/v1/problem.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import type { Sample, SampleServer } from "./sample.ts";
import { COUNTER_SAMPLES } from "./samples-counters.ts";
import { HOLD_SAMPLES } from "./samples-holds.ts";
import { KV_SAMPLES } from "./samples-kv.ts";
import { QUEUE_SAMPLES } from "./samples-queues.ts";
import { SCHEDULE_SAMPLES } from "./samples-schedules.ts";
import { TOPIC_SAMPLES } from "./samples-topics.ts";
import { LIMIT_SAMPLES } from "./samples-limits.ts";
import { CONFIG_SAMPLES } from "./samples-config.ts";
import { ROSTER_SAMPLES } from "./samples-rosters.ts";

const SAMPLES: readonly Sample[] = [
  ...COUNTER_SAMPLES,
  ...HOLD_SAMPLES,
  ...KV_SAMPLES,
  ...QUEUE_SAMPLES,
  ...SCHEDULE_SAMPLES,
  ...TOPIC_SAMPLES,
  ...LIMIT_SAMPLES,
  ...ROSTER_SAMPLES,
  ...CONFIG_SAMPLES,
];

/** Declared where the document itself is. */
const DOCUMENT = { method: "GET", path: "/v1/openapi.json", replies: { 200: { schema: z.looseObject({ openapi: z.literal("3.1.0") }) } } };

let server: ServerProcess;
let samples: SampleServer;

beforeAll(async () => {
  server = await startQuorate();
  samples = {
    call: async (method, path, body, headers = {}) => {
      const reply = await send(method, path, body, headers);
      const text = await reply.text();
      if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
      return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
    },
  };
});
afterAll(() => server.stop());

function send(method: string, path: string, body: unknown, headers: Readonly<Record<string, string>>): Promise<Response> {
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  return fetch(server.url + path, { method, headers, ...(text === undefined ? {} : { body: text }) });
}

test("every operation has a sample that succeeds", () => {
  const called = new Set(SAMPLES.filter(({ status }) => status < 400).map(({ method, path }) => `${method} ${path}`));
  const declared = [...OPERATIONS, DOCUMENT].map(({ method, path }) => `${method} ${path}`);
  expect(declared.filter((one) => !called.has(one))).toEqual([]);
  expect(new Set(declared).size).toBe(declared.length);
});

describe("as the document says", () => {
  test.each(SAMPLES.map((sample) => [`${sample.method} ${sample.path} ${sample.status}`, sample] as const))("%s", async (_, sample) => {
    const operation = [...OPERATIONS, DOCUMENT].find(({ method, path }) => method === sample.method && path === sample.path)!;
    const { path, body, headers = {} } = await sample.request(samples);
    const reply = await send(sample.method, path, body, headers);
    const text = await reply.text();
    expect({ status: reply.status, text }).toMatchObject({ status: sample.status });
    expect(reply.headers.get("quorate-revision")).toMatch(/^\d+$/);
    expect(Math.abs(Number(reply.headers.get("quorate-time")) - Date.now())).toBeLessThan(60_000);
    const type = reply.headers.get("content-type") ?? "";
    if (sample.status >= 400) {
      expect(type).toBe("application/problem+json");
      expect(problemSchema.parse(JSON.parse(text))).toMatchObject({ status: sample.status });
      return;
    }
    const doc = (operation.replies as Record<number, { schema?: z.ZodType; bytes?: boolean }>)[sample.status];
    expect(doc).toBeDefined();
    if (type.startsWith("application/json")) strictly(doc!.schema!, JSON.parse(text));
    else if (doc!.bytes !== true) expect(text).toBe("");
  });
});

/** Nothing in the reply that the schema does not name. */
function strictly(schema: z.ZodType, value: unknown): void {
  const result = schema.safeParse(value);
  expect(result.error?.issues ?? []).toEqual([]);
  expect(result.data).toEqual(value);
}

test("the document is valid: every reference is there, every path has its parameters", async () => {
  const document = (await samples.call("GET", "/v1/openapi.json")) as unknown as {
    paths: Record<string, Record<string, { operationId: string; parameters?: { name: string; in: string }[] }>>;
    components: { schemas: Record<string, unknown> };
  };
  const ids = Object.values(document.paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
  expect(new Set(ids).size).toBe(ids.length);
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]*)"/g)].map(([, reference]) => reference!);
  expect(references.length).toBeGreaterThan(0);
  const known = new Set(Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`));
  expect(references.filter((reference) => !known.has(reference))).toEqual([]);
  for (const [path, methods] of Object.entries(document.paths)) {
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    for (const { parameters = [] } of Object.values(methods)) {
      expect(parameters.filter((one) => one.in === "path").map(({ name }) => name)).toEqual(names);
    }
  }
});
