/** Queues. */
import type { Sample, SampleRequest, SampleServer } from "./sample.ts";

const QUEUE = "/v1/queues/{name}";
const queue = "/v1/queues/jobs";

const takeOne = async (server: SampleServer): Promise<string> => {
  await server.call("POST", queue, "work");
  const [message] = (await server.call("POST", `${queue}/take`)) as unknown as [{ receipt: string }];
  return message.receipt;
};
const withReceipt =
  (act: string, more: object = {}) =>
  async (server: SampleServer): Promise<SampleRequest> => ({ path: `${queue}/${act}`, body: { receipt: await takeOne(server), ...more } });

export const QUEUE_SAMPLES: readonly Sample[] = [
  { method: "PUT", path: QUEUE, status: 200, request: () => ({ path: queue, body: { maxLength: 1000 } }) },
  {
    method: "POST",
    path: QUEUE,
    status: 201,
    request: () => ({ path: `${queue}?priority=2&delay=1h&group=g`, body: "later", headers: { "idempotency-key": "j1" } }),
  },
  { method: "POST", path: QUEUE, status: 400, request: () => ({ path: `${queue}?priority=11`, body: "x" }) },
  {
    method: "POST",
    path: `${QUEUE}/batch`,
    status: 201,
    request: () => ({ path: `${queue}/batch`, body: { messages: ["a", { json: 1 }] } }),
  },
  { method: "GET", path: `${QUEUE}/messages`, status: 200, request: () => ({ path: `${queue}/messages` }) },
  { method: "POST", path: `${QUEUE}/take`, status: 200, request: () => ({ path: `${queue}/take?max=10&ack=auto` }) },
  { method: "POST", path: `${QUEUE}/take`, status: 204, request: () => ({ path: `${queue}/take?wait=20ms` }) },
  { method: "POST", path: `${QUEUE}/ack`, status: 204, request: withReceipt("ack") },
  { method: "POST", path: `${QUEUE}/extend`, status: 200, request: withReceipt("extend", { visibility: "2m" }) },
  { method: "POST", path: `${QUEUE}/nack`, status: 204, request: withReceipt("nack", { dead: true, reason: "no such order" }) },
  {
    method: "POST",
    path: `${QUEUE}/ack`,
    status: 409,
    request: async (server) => {
      const receipt = await takeOne(server);
      await server.call("POST", `${queue}/nack`, { receipt });
      return { path: `${queue}/ack`, body: { receipt } };
    },
  },
  { method: "GET", path: QUEUE, status: 200, request: () => ({ path: queue }) },
  { method: "GET", path: `${QUEUE}/dead`, status: 200, request: () => ({ path: `${queue}/dead` }) },
  { method: "POST", path: `${QUEUE}/dead/redrive`, status: 200, request: () => ({ path: `${queue}/dead/redrive` }) },
  { method: "DELETE", path: `${QUEUE}/dead`, status: 200, request: () => ({ path: `${queue}/dead` }) },
  {
    method: "PUT",
    path: `${QUEUE}/condition`,
    status: 200,
    request: () => ({ path: `${queue}/condition`, body: { kind: "size", size: 5 } }),
  },
  { method: "GET", path: `${QUEUE}/condition`, status: 200, request: () => ({ path: `${queue}/condition` }) },
  { method: "DELETE", path: `${QUEUE}/condition`, status: 204, request: () => ({ path: `${queue}/condition` }) },
  { method: "GET", path: `${QUEUE}/condition`, status: 404, request: () => ({ path: `${queue}/condition` }) },
];
