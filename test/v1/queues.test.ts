/** Queues over HTTP, by several consumers at once. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

let server: ServerProcess;
beforeAll(async () => {
  server = await startQuorate();
});
afterAll(() => server.stop());

const ask = (method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(server.url + path, { method, headers, ...(body === undefined ? {} : { body }) });
interface Taken {
  readonly id: string;
  readonly body: string;
  readonly receipt: string;
}
const take = async (queue: string, query = ""): Promise<Taken[]> => {
  const reply = await ask("POST", `/v1/queues/${queue}/take${query}`);
  return reply.status === 204 ? [] : ((await reply.json()) as Taken[]);
};

test("those who wait get what is put, one message each, in the order in which they came", async () => {
  const waiting: Promise<Taken[]>[] = [];
  for (let n = 0; n < 5; n++) {
    waiting.push(take("waits", "?wait=30s"));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (let n = 0; n < 5; n++) await ask("POST", "/v1/queues/waits", String(n));
  const got = (await Promise.all(waiting)).map((messages) => messages.map(({ body }) => body).join());
  expect(got.toSorted()).toEqual(["0", "1", "2", "3", "4"]);
  expect(await take("waits", "?wait=30ms")).toEqual([]);
});

test("one who hung up gets nothing: the message is for the next one", async () => {
  const gone = new AbortController();
  const first = fetch(`${server.url}/v1/queues/hang/take?wait=30s`, { method: "POST", signal: gone.signal }).catch(() => null);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const second = take("hang", "?wait=30s");
  await new Promise((resolve) => setTimeout(resolve, 50));
  gone.abort();
  await first;
  await ask("POST", "/v1/queues/hang", "job");
  expect((await second)[0]?.body).toBe("job");
});

test("a delayed message ends a wait when it is due", async () => {
  await ask("POST", "/v1/queues/due?delay=300ms", "later");
  expect((await take("due", "?wait=30s"))[0]?.body).toBe("later");
});

test("a message is acknowledged by the write that it leads to, or neither happens", async () => {
  await ask("POST", "/v1/queues/pay?group=ann%2Fb", "order 7");
  await ask("POST", "/v1/queues/pay?group=ann%2Fb", "order 8");
  const [message] = await take("pay");
  const headers = { "quorate-ack": message!.receipt };
  expect((await ask("PUT", "/v1/kv/paid/7", "yes", headers)).status).toBe(201);
  const again = await ask("PUT", "/v1/kv/paid/7", "twice", headers);
  expect([again.status, ((await again.json()) as { code: string }).code]).toEqual([409, "receipt_expired"]);
  expect(await (await ask("GET", "/v1/kv/paid/7")).text()).toBe("yes");
  expect((await take("pay"))[0]?.body).toBe("order 8"); // the group is free again
});

test("a transaction acknowledges with what it does, and not with what it does otherwise", async () => {
  await ask("POST", "/v1/queues/both", "order 9");
  const [message] = await take("both");
  const txn = (than: boolean, receipt: string) =>
    ask(
      "POST",
      "/v1/txn",
      JSON.stringify({
        compare: [{ key: "paid/9", than }],
        success: [{ op: "put", key: "paid/9", value: "yes" }],
        failure: [{ op: "get", key: "paid/9" }],
      }),
      { "quorate-ack": receipt },
    );
  expect(await (await txn(true, message!.receipt)).json()).toMatchObject({ succeeded: false, results: [{ op: "get" }] });
  expect(await (await txn(false, message!.receipt)).json()).toMatchObject({ succeeded: true, results: [{ op: "put" }] });
  const again = await txn(true, message!.receipt);
  expect([again.status, ((await again.json()) as { code: string }).code]).toEqual([409, "receipt_expired"]);
  expect(await (await ask("GET", "/v1/queues/both")).json()).toMatchObject({ visible: 0, inFlight: 0 });
});

test("a schedule puts its message at its time", async () => {
  await ask("PUT", "/v1/schedules/often", JSON.stringify({ every: "1s", queue: "ticks", body: "tick" }));
  expect((await take("ticks", "?wait=30s"))[0]?.body).toBe("tick");
  await ask("DELETE", "/v1/schedules/often");
});
