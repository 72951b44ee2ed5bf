/** Locks, elections, read-write locks, semaphores, barriers, rendezvous, fences. */
import type { Sample, SampleServer } from "./sample.ts";

let count = 0;
const fresh = (kind: string): string => `/v1/${kind}/sample-${++count}`;

/** A held thing of its own: its path, with the lease. */
async function held(server: SampleServer, path: string, query = ""): Promise<string> {
  const { lease } = await server.call("POST", `${path}${query}`);
  return String(lease);
}

/** Somebody else holds it, and one waits with a ticket. */
async function ticket(server: SampleServer, path: string, query = "?queue&"): Promise<string> {
  await held(server, path, query.replace("queue&", ""));
  return held(server, path, query);
}

const LOCK = "/v1/locks/{name}";
const LOCK_LEASE = "/v1/locks/{name}/{lease}";
const ELECTION = "/v1/elections/{name}";
const ELECTION_LEASE = "/v1/elections/{name}/{lease}";
const RW = "/v1/rwlocks/{name}";
const SEMAPHORE = "/v1/semaphores/{name}";
const BARRIER = "/v1/barriers/{name}";
const RENDEZVOUS = "/v1/rendezvous/{name}";

/** Held, queued, refused, lost: of what is acquired at `path`. */
function acquisitions(declared: string, kind: string, end: string, query: string): Sample[] {
  const path = () => fresh(kind) + end;
  return [
    { method: "POST", path: declared, status: 201, request: () => ({ path: `${path()}${query}` }) },
    {
      method: "POST",
      path: declared,
      status: 202,
      request: async (server) => {
        const mine = path();
        await held(server, mine, query);
        return { path: `${mine}${query}${query === "" ? "?" : "&"}queue&wait=10ms` };
      },
    },
    {
      method: "POST",
      path: declared,
      status: 423,
      request: async (server) => {
        const mine = path();
        await held(server, mine, query);
        return { path: `${mine}${query}` };
      },
    },
    { method: "POST", path: declared, status: 400, request: () => ({ path: `${path()}?ttl=1ms` }) },
  ];
}

export const HOLD_SAMPLES: readonly Sample[] = [
  ...acquisitions(LOCK, "locks", "", ""),
  ...acquisitions(ELECTION, "elections", "", ""),
  ...acquisitions("/v1/rwlocks/{name}/{mode}", "rwlocks", "/write", ""),
  ...acquisitions(SEMAPHORE, "semaphores", "", "?limit=1"),

  { method: "GET", path: LOCK, status: 200, request: () => ({ path: fresh("locks") }) },
  {
    method: "GET",
    path: LOCK,
    status: 200,
    request: async (server) => {
      const path = fresh("locks");
      await held(server, path, "?owner=me");
      await held(server, path, "?queue");
      return { path };
    },
  },
  {
    method: "DELETE",
    path: LOCK,
    status: 200,
    request: async (server) => {
      const path = fresh("locks");
      await held(server, path);
      return { path: `${path}?force` };
    },
  },
  { method: "DELETE", path: LOCK, status: 204, request: () => ({ path: `${fresh("locks")}?force=1` }) },
  { method: "DELETE", path: LOCK, status: 400, request: () => ({ path: fresh("locks") }) },
  {
    method: "PUT",
    path: LOCK_LEASE,
    status: 200,
    request: async (server) => {
      const path = fresh("locks");
      return { path: `${path}/${await held(server, path)}` };
    },
  },
  { method: "PUT", path: LOCK_LEASE, status: 410, request: () => ({ path: `${fresh("locks")}/4242` }) },
  {
    method: "POST",
    path: LOCK_LEASE,
    status: 202,
    request: async (server) => {
      const path = fresh("locks");
      return { path: `${path}/${await ticket(server, path)}?wait=10ms` };
    },
  },
  { method: "DELETE", path: LOCK_LEASE, status: 204, request: () => ({ path: `${fresh("locks")}/4242` }) },

  { method: "GET", path: ELECTION, status: 200, request: () => ({ path: fresh("elections") }) },
  {
    method: "GET",
    path: ELECTION,
    status: 304,
    request: () => ({ path: `${fresh("elections")}?wait=10ms`, headers: { "if-none-match": '"0"' } }),
  },
  {
    method: "POST",
    path: "/v1/elections/{name}/transfer",
    status: 204,
    request: async (server) => {
      const path = fresh("elections");
      return { path: `${path}/transfer?to=${await ticket(server, path)}` };
    },
  },
  { method: "POST", path: "/v1/elections/{name}/transfer", status: 409, request: () => ({ path: `${fresh("elections")}/transfer?to=7` }) },
  {
    method: "PUT",
    path: ELECTION_LEASE,
    status: 200,
    request: async (server) => {
      const path = fresh("elections");
      return { path: `${path}/${await held(server, path)}`, body: "another address" };
    },
  },
  {
    method: "PUT",
    path: ELECTION_LEASE,
    status: 423,
    request: async (server) => {
      const path = fresh("elections");
      return { path: `${path}/${await ticket(server, path)}`, body: "not the leader" };
    },
  },
  {
    method: "POST",
    path: ELECTION_LEASE,
    status: 202,
    request: async (server) => {
      const path = fresh("elections");
      return { path: `${path}/${await ticket(server, path)}` };
    },
  },
  { method: "DELETE", path: ELECTION_LEASE, status: 204, request: () => ({ path: `${fresh("elections")}/4242` }) },

  {
    method: "GET",
    path: RW,
    status: 200,
    request: async (server) => {
      const path = fresh("rwlocks");
      await held(server, `${path}/read`, "?owner=me");
      await held(server, `${path}/write`, "?queue");
      return { path };
    },
  },
  {
    method: "PUT",
    path: "/v1/rwlocks/{name}/{lease}",
    status: 200,
    request: async (server) => {
      const path = fresh("rwlocks");
      return { path: `${path}/${await held(server, `${path}/read`)}` };
    },
  },
  {
    method: "POST",
    path: "/v1/rwlocks/{name}/{lease}/wait",
    status: 202,
    request: async (server) => {
      const path = fresh("rwlocks");
      return { path: `${path}/${await ticket(server, `${path}/write`)}/wait` };
    },
  },
  {
    method: "POST",
    path: "/v1/rwlocks/{name}/{lease}/downgrade",
    status: 200,
    request: async (server) => {
      const path = fresh("rwlocks");
      return { path: `${path}/${await held(server, `${path}/write`)}/downgrade` };
    },
  },
  { method: "DELETE", path: "/v1/rwlocks/{name}/{lease}", status: 204, request: () => ({ path: `${fresh("rwlocks")}/4242` }) },

  {
    method: "GET",
    path: SEMAPHORE,
    status: 200,
    request: async (server) => {
      const path = fresh("semaphores");
      await held(server, path, "?limit=2&permits=2&owner=me");
      await held(server, path, "?queue");
      return { path };
    },
  },
  {
    method: "PUT",
    path: "/v1/semaphores/{name}/limit",
    status: 204,
    request: () => ({ path: `${fresh("semaphores")}/limit`, body: { limit: 5 } }),
  },
  {
    method: "PUT",
    path: "/v1/semaphores/{name}/{lease}",
    status: 200,
    request: async (server) => {
      const path = fresh("semaphores");
      return { path: `${path}/${await held(server, path, "?limit=2")}` };
    },
  },
  {
    method: "POST",
    path: "/v1/semaphores/{name}/{lease}",
    status: 202,
    request: async (server) => {
      const path = fresh("semaphores");
      return { path: `${path}/${await ticket(server, path, "?queue&limit=1")}?wait=10ms` };
    },
  },
  { method: "POST", path: SEMAPHORE, status: 409, request: () => ({ path: fresh("semaphores") }) },
  { method: "DELETE", path: "/v1/semaphores/{name}/{lease}", status: 204, request: () => ({ path: `${fresh("semaphores")}/4242` }) },

  { method: "PUT", path: BARRIER, status: 201, request: () => ({ path: `${fresh("barriers")}?ttl=60s&owner=me` }) },
  {
    method: "PUT",
    path: BARRIER,
    status: 200,
    request: async (server) => {
      const path = fresh("barriers");
      await server.call("PUT", path);
      return { path: `${path}?ttl=60s` };
    },
  },
  { method: "GET", path: BARRIER, status: 200, request: () => ({ path: fresh("barriers") }) },
  {
    method: "GET",
    path: BARRIER,
    status: 423,
    request: async (server) => {
      const path = fresh("barriers");
      await server.call("PUT", path);
      return { path: `${path}?wait=10ms` };
    },
  },
  { method: "DELETE", path: BARRIER, status: 204, request: () => ({ path: fresh("barriers") }) },

  { method: "POST", path: RENDEZVOUS, status: 200, request: () => ({ path: `${fresh("rendezvous")}?parties=1` }) },
  { method: "POST", path: RENDEZVOUS, status: 202, request: () => ({ path: `${fresh("rendezvous")}?parties=2&wait=10ms` }) },
  {
    method: "DELETE",
    path: "/v1/rendezvous/{name}/{ticket}",
    status: 204,
    request: async (server) => {
      const path = fresh("rendezvous");
      const met = await server.call("POST", `${path}?parties=1`);
      return { path: `${path}/${String(met["ticket"])}` };
    },
  },
  {
    method: "DELETE",
    path: "/v1/rendezvous/{name}/{ticket}",
    status: 202,
    request: async (server) => {
      const path = fresh("rendezvous");
      await server.call("POST", `${path}?parties=2&id=77`);
      const met = await server.call("POST", `${path}?parties=2`);
      return { path: `${path}/${String(met["ticket"])}?wait=10ms` };
    },
  },

  { method: "POST", path: "/v1/fences/{name}", status: 200, request: () => ({ path: fresh("fences"), body: { fence: 7 } }) },
  {
    method: "POST",
    path: "/v1/fences/{name}",
    status: 409,
    request: async (server) => {
      const path = fresh("fences");
      await server.call("POST", path, { fence: 7 });
      return { path, body: { fence: 6 } };
    },
  },
];
