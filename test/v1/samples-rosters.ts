/** Services, groups and pools. */
import type { Sample, SampleServer } from "./sample.ts";

const headers = { "quorate-secret": "s3cret" };
const other = { "quorate-secret": "another" };
const INFO = { address: "10.0.0.7", port: 80, zone: "eu-1", tags: ["a"] };

const NODE = { address: "10.0.0.7", capacity: 10, zone: "eu-1" };

let count = 0;
const fresh = (kind: string): string => `/v1/${kind}/sample-${++count}`;

async function entered(server: SampleServer, kind: string, body: unknown): Promise<string> {
  const path = fresh(kind);
  await server.call("PUT", `${path}/i1`, body, headers);
  return path;
}

/** What they have in common. */
function common(kind: string, body: unknown): Sample[] {
  const list = `/v1/${kind}/{name}`;
  const entry = `${list}/{id}`;
  const beat = `${entry}/heartbeat`;
  const known = (server: SampleServer) => entered(server, kind, body);
  return [
    { method: "PUT", path: entry, status: 201, request: () => ({ path: `${fresh(kind)}/i1?ttl=20s`, body }) },
    { method: "PUT", path: entry, status: 200, request: async (s) => ({ path: `${await known(s)}/i1?ttl=20s`, body, headers }) },
    { method: "PUT", path: entry, status: 409, request: async (s) => ({ path: `${await known(s)}/i1`, body, headers: other }) },
    { method: "PUT", path: entry, status: 400, request: () => ({ path: `${fresh(kind)}/i1?ttl=1ms`, body }) },
    { method: "POST", path: beat, status: 200, request: async (s) => ({ path: `${await known(s)}/i1/heartbeat`, headers }) },
    { method: "POST", path: beat, status: 409, request: async (s) => ({ path: `${await known(s)}/i1/heartbeat`, headers: other }) },
    { method: "POST", path: beat, status: 410, request: () => ({ path: `${fresh(kind)}/i1/heartbeat`, headers }) },
    { method: "GET", path: list, status: 200, request: async (s) => ({ path: await known(s) }) },
    { method: "GET", path: list, status: 200, request: () => ({ path: fresh(kind) }) },
    {
      method: "GET",
      path: list,
      status: 304,
      request: () => ({ path: `${fresh(kind)}?wait=10ms`, headers: { "if-none-match": '"0-0"' } }),
    },
    { method: "DELETE", path: entry, status: 204, request: async (s) => ({ path: `${await known(s)}/i1`, headers }) },
    { method: "DELETE", path: entry, status: 204, request: () => ({ path: `${fresh(kind)}/i1`, headers }) },
    { method: "DELETE", path: entry, status: 409, request: async (s) => ({ path: `${await known(s)}/i1`, headers: other }) },
  ];
}

const INSTANCE = "/v1/services/{name}/{id}";

export const ROSTER_SAMPLES: readonly Sample[] = [
  ...common("services", INFO),
  ...common("groups", { address: "10.0.0.7" }),
  ...common("pools", NODE),
  { method: "GET", path: "/v1/pools/{name}/pick", status: 404, request: () => ({ path: `${fresh("pools")}/pick` }) },
  {
    method: "GET",
    path: "/v1/pools/{name}/pick",
    status: 200,
    request: async (s) => ({ path: `${await entered(s, "pools", NODE)}/pick?strategy=hash&key=user-7` }),
  },
  {
    method: "PATCH",
    path: INSTANCE,
    status: 200,
    request: async (s) => ({ path: `${await entered(s, "services", INFO)}/i1`, body: { status: "draining" }, headers }),
  },
  { method: "PATCH", path: INSTANCE, status: 410, request: () => ({ path: `${fresh("services")}/i1`, body: {}, headers }) },
  {
    method: "GET",
    path: "/v1/services/{name}",
    status: 200,
    request: async (s) => ({ path: `${await entered(s, "services", INFO)}?status=passing&tag=a&zone=eu-1` }),
  },
  {
    method: "DELETE",
    path: INSTANCE,
    status: 204,
    request: async (s) => ({ path: `${await entered(s, "services", INFO)}/i1?drain=10ms`, headers }),
  },
];
