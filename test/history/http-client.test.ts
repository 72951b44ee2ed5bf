/** What goes over the wire, and which outcome each way to fail has. */
import { describe, expect, test } from "vitest";
import { type Request, HistoryRecorder } from "./history.ts";
import { HttpHistoryClient } from "./http-client.ts";

const b64 = (text: string): string => Buffer.from(text).toString("base64");
const HEADER = { revision: "9007199254740991", member_id: "18446744073709551615" };
const PUT: Request = { kind: "put", key: "a", value: "1", prev: true };
const GET: Request = { kind: "range", key: "a", end: "c", serializable: true };

/** A client of a server that always does the same. */
function clientOf(answer: (url: string, body: unknown, signal: AbortSignal) => Promise<Response> | Response) {
  const recorder = new HistoryRecorder(() => 1);
  const sent: { readonly url: string; readonly body: unknown }[] = [];
  const send = async (url: string | URL | globalThis.Request, init?: RequestInit): Promise<Response> => {
    const body: unknown = JSON.parse(String(init!.body));
    sent.push({ url: String(url), body });
    return answer(String(url), body, init!.signal!);
  };
  const client = new HttpHistoryClient({ client: "c1", member: "m1", url: "http://store", recorder, timeoutMs: 20, fetch: send });
  return { client, recorder, sent };
}

describe("HttpHistoryClient", () => {
  test("asks and answers in the gateway's form", async () => {
    const kv = { key: b64("a"), value: b64("ü"), create_revision: "2", mod_revision: "3", version: "2", lease: "0" };
    const { client, sent, recorder } = clientOf(() => Response.json({ header: HEADER, kvs: [kv], count: "1" }));
    const answer = {
      kind: "range",
      revision: 9007199254740991,
      kvs: [{ key: "a", value: "ü", createRevision: 2, modRevision: 3, version: 2 }],
    };
    expect(await client.send(GET)).toEqual(answer);
    expect(sent).toEqual([{ url: "http://store/v3/kv/range", body: { key: b64("a"), range_end: b64("c"), serializable: true } }]);
    expect(recorder.operations()).toEqual([{ client: "c1", member: "m1", call: 1, return: 1, request: GET, response: answer }]);
  });

  test("sends transactions, and reads the answer of the branch", async () => {
    const responses = [{ response_put: { header: HEADER } }, { response_delete_range: { deleted: "1" } }];
    const { client, sent } = clientOf(() => Response.json({ header: { revision: "5" }, succeeded: true, responses }));
    const request: Request = {
      kind: "txn",
      compare: [{ key: "a", target: "mod", op: "=", value: 4 }],
      success: [PUT as never, { kind: "delete", key: "b" }],
      failure: [{ kind: "range", key: "a" }],
    };
    expect(await client.send(request)).toEqual({
      kind: "txn",
      succeeded: true,
      revision: 5,
      results: [
        { kind: "put", prev: null },
        { kind: "delete", deleted: 1 },
      ],
    });
    expect(sent[0]!.body).toEqual({
      compare: [{ key: b64("a"), result: "EQUAL", target: "MOD", mod_revision: "4" }],
      success: [{ request_put: { key: b64("a"), value: b64("1"), prev_kv: true } }, { request_delete_range: { key: b64("b") } }],
      failure: [{ request_range: { key: b64("a") } }],
    });
  });

  const ways: readonly (readonly [
    string,
    "refused" | "unknown",
    (url: string, body: unknown, signal: AbortSignal) => Promise<Response> | Response,
  ])[] = [
    ["400", "refused", () => Response.json({ code: 3 }, { status: 400 })],
    ["429", "refused", () => Response.json({ code: 8 }, { status: 429 })],
    ["408: canceled", "unknown", () => Response.json({ code: 1 }, { status: 408 })],
    ["503", "unknown", () => Response.json({ code: 14 }, { status: 503 })],
    ["an answer that is not JSON", "unknown", () => new Response("<html>")],
    ["an answer without a revision", "unknown", () => Response.json({ header: {} })],
    ["nobody who listens", "refused", () => Promise.reject(new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } }))],
    ["a broken connection", "unknown", () => Promise.reject(new TypeError("fetch failed", { cause: { code: "ECONNRESET" } }))],
    [
      "no answer in time",
      "unknown",
      (_url, _body, signal) => new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
    ],
  ];
  test.each(ways)("%s is %s", async (_name, outcome, answer) => {
    const { client, recorder } = clientOf(answer);
    expect(await client.send(PUT)).toBe(outcome);
    expect(await client.send(GET)).toBe(outcome);
    // Of a write that is not refused it is kept that it may have been done; a read that was not answered says nothing.
    expect(recorder.operations().map(({ request }) => request)).toEqual(outcome === "refused" ? [] : [PUT]);
  });
});
