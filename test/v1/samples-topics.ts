/** Topics and tasks. */
import type { Sample } from "./sample.ts";

const TOPIC = "/v1/topics/{name}";
const CURSOR = "/v1/topics/{name}/cursors/{consumer}";
const TASK = "/v1/tasks/{name}";
const WORKER = "/v1/tasks/{name}/workers/{worker}";

export const TOPIC_SAMPLES: readonly Sample[] = [
  {
    method: "POST",
    path: TOPIC,
    status: 201,
    request: () => ({ path: "/v1/topics/news", body: "hello", headers: { "idempotency-key": "n1" } }),
  },
  { method: "GET", path: TOPIC, status: 200, request: () => ({ path: "/v1/topics/news?after=0&limit=1" }) },
  { method: "GET", path: TOPIC, status: 204, request: () => ({ path: "/v1/topics/news?wait=10ms" }) },
  {
    method: "PUT",
    path: `${TOPIC}/retention`,
    status: 200,
    request: () => ({ path: "/v1/topics/news/retention", body: { maxAge: "1h" } }),
  },
  {
    method: "PUT",
    path: `${TOPIC}/retention`,
    status: 400,
    request: () => ({ path: "/v1/topics/news/retention", body: { maxAge: "1s" } }),
  },
  { method: "GET", path: `${TOPIC}/retention`, status: 200, request: () => ({ path: "/v1/topics/news/retention" }) },
  {
    method: "PUT",
    path: CURSOR,
    status: 200,
    request: () => ({ path: "/v1/topics/news/cursors/mail", body: { after: 5 }, headers: { "if-match": '"0"' } }),
  },
  {
    method: "PUT",
    path: CURSOR,
    status: 412,
    request: () => ({ path: "/v1/topics/news/cursors/mail", body: { after: 6 }, headers: { "if-match": '"0"' } }),
  },
  { method: "GET", path: CURSOR, status: 200, request: () => ({ path: "/v1/topics/news/cursors/mail" }) },
  { method: "DELETE", path: CURSOR, status: 204, request: () => ({ path: "/v1/topics/news/cursors/mail" }) },
  { method: "PUT", path: TASK, status: 200, request: () => ({ path: "/v1/tasks/import", body: "version 3" }) },
  { method: "PUT", path: WORKER, status: 200, request: () => ({ path: "/v1/tasks/import/workers/w1?ttl=30s", body: { percent: 40 } }) },
  { method: "GET", path: TASK, status: 200, request: () => ({ path: "/v1/tasks/import" }) },
  { method: "GET", path: TASK, status: 304, request: () => ({ path: "/v1/tasks/import?wait=10ms" }) },
  { method: "GET", path: `${TASK}/spec`, status: 200, request: () => ({ path: "/v1/tasks/import/spec" }) },
  { method: "DELETE", path: WORKER, status: 204, request: () => ({ path: "/v1/tasks/import/workers/w1" }) },
  { method: "DELETE", path: TASK, status: 204, request: () => ({ path: "/v1/tasks/import" }) },
];
