import { createHash } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import { LocalMember } from "../../../test/helpers/local-member.ts";
import { type LocalV3, MAX_REQUEST_BYTES, localV3 } from "../../../test/helpers/local-v3.ts";
import { encodeBase64 } from "../../bytes/base64.ts";
import type { Bytes } from "../../bytes/bytes.ts";
import { utf8Encode } from "../../bytes/utf8.ts";
import { errNoLeader } from "../../errors.ts";
import { HASH_BYTES, SEAL_BYTES_MIN, sealedBytes } from "../../store/snapshot-seal.ts";
import { StateMachine } from "../../store/state-machine.ts";
import type { ApiReply } from "../exchange.ts";

let member: LocalMember;
let v3: LocalV3;

beforeEach(() => {
  member = new LocalMember();
  v3 = localV3(member, { limits: { maxTxnOps: 4, maxRequestBytes: MAX_REQUEST_BYTES } });
});

function handle(path: string, body: unknown, method = "POST"): ApiReply | Promise<ApiReply> {
  const route = v3.table.find(method, path);
  if (route === undefined) throw new Error(`no route for ${method} ${path}`);
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return route.handle({ method, path, query: "", header: () => undefined, body: utf8Encode(text) });
}

async function call(path: string, body: unknown = {}): Promise<{ status: number; json: Record<string, unknown> }> {
  const reply = await handle(path, body);
  return { status: reply.status, json: JSON.parse(reply.body as string) as Record<string, unknown> };
}

const b64 = (text: string) => encodeBase64(utf8Encode(text));
const put = (key: string, value: string, more: object = {}) => call("/v3/kv/put", { key: b64(key), value: b64(value), ...more });
const header = (revision: number) => ({
  cluster_id: member.clusterId,
  member_id: member.memberId,
  revision: String(revision),
  raft_term: "2",
});
const refused = (status: number, code: number, message: string) => ({ status, json: { error: message, message, code } });

describe("/v3/kv", () => {
  it("puts and reads back", async () => {
    expect(await put("a", "1")).toEqual({ status: 200, json: { header: header(2) } });
    expect((await put("a", "2", { prev_kv: true })).json).toEqual({
      header: header(3),
      prev_kv: { key: b64("a"), create_revision: "2", mod_revision: "2", version: "1", value: b64("1") },
    });
    expect(await call("/v3/kv/range", { key: b64("a") })).toEqual({
      status: 200,
      json: {
        header: header(3),
        kvs: [{ key: b64("a"), create_revision: "2", mod_revision: "3", version: "2", value: b64("2") }],
        count: "1",
      },
    });
  });

  it("answers a read at once when no barrier is asked for", async () => {
    await put("a", "1");
    expect(handle("/v3/kv/range", { key: b64("a") })).not.toBeInstanceOf(Promise);
    expect(handle("/v3/kv/txn", { success: [{ request_range: { key: b64("a") } }] })).not.toBeInstanceOf(Promise);
  });

  it("reads wait for the barrier, serializable ones do not", async () => {
    let pass: () => void = () => {};
    member.barrier = () => new Promise((resolve) => (pass = resolve));
    const linearizable = handle("/v3/kv/range", { key: b64("a") });
    expect(linearizable).toBeInstanceOf(Promise);
    expect(handle("/v3/kv/range", { key: b64("a"), serializable: true })).toMatchObject({ status: 200 });
    const loose = { request_range: { key: b64("a"), serializable: true } };
    expect(handle("/v3/kv/txn", { success: [loose] })).toMatchObject({ status: 200 });
    await put("a", "written before the barrier passed");
    pass();
    expect(JSON.parse((await linearizable).body as string)).toMatchObject({ count: "1" });
  });

  it("says so when there is no leader", async () => {
    member.barrier = () => {
      throw errNoLeader();
    };
    expect(await call("/v3/kv/range", { key: b64("a") })).toEqual(refused(503, 14, "etcdserver: no leader"));
  });

  it("deletes a range and gives back what was there", async () => {
    await put("a", "1");
    await put("b", "2");
    expect((await call("/v3/kv/deleterange", { key: b64("a"), range_end: b64("c"), prev_kv: true })).json).toMatchObject({
      header: header(4),
      deleted: "2",
      prev_kvs: [{ key: b64("a") }, { key: b64("b") }],
    });
    expect((await call("/v3/kv/deleterange", { key: b64("a") })).json).toEqual({ header: header(4) });
  });

  it("runs transactions, with the headers of the inner replies as etcd has them", async () => {
    const { json } = await call("/v3/kv/txn", {
      compare: [{ key: b64("a"), target: "VERSION", version: "0" }],
      success: [
        { request_put: { key: b64("a"), value: b64("1") } },
        { request_txn: { success: [{ request_range: { key: b64("a") } }] } },
        { request_delete_range: { key: b64("zz") } },
      ],
    });
    expect(json).toEqual({
      header: header(2),
      succeeded: true,
      responses: [
        { response_put: { header: { revision: "2" } } },
        {
          response_txn: {
            header: {},
            succeeded: true,
            responses: [
              {
                response_range: {
                  header: { revision: "2" },
                  kvs: [{ key: b64("a"), create_revision: "2", mod_revision: "2", version: "1", value: b64("1") }],
                  count: "1",
                },
              },
            ],
          },
        },
        { response_delete_range: { header: { revision: "2" } } },
      ],
    });
  });

  it("compares a target with an operand of another as with zero", async () => {
    await put("a", "1");
    const succeeds = async (compare: object) => (await call("/v3/kv/txn", { compare: [{ key: b64("a"), ...compare }] })).json["succeeded"];
    expect(await succeeds({ target: "VERSION", mod_revision: "1" })).toBeUndefined();
    expect(await succeeds({ target: "VERSION", version: "1" })).toBe(true);
    expect(await succeeds({ target: "VALUE", version: "1", result: "GREATER" })).toBe(true);
    expect(await succeeds({ target: 9, version: "5" })).toBe(true);
    expect(await succeeds({ target: "VERSION", version: "5", result: 9 })).toBe(true);
  });

  it.each<[string, string, object, number, number, string]>([
    ["no key", "/v3/kv/range", {}, 400, 3, "etcdserver: key is not provided"],
    ["no key", "/v3/kv/put", {}, 400, 3, "etcdserver: key is not provided"],
    ["no key", "/v3/kv/deleterange", {}, 400, 3, "etcdserver: key is not provided"],
    ["an unknown lease", "/v3/kv/put", { key: "YQ==", lease: 5 }, 404, 5, "etcdserver: requested lease not found"],
    [
      "a future revision",
      "/v3/kv/range",
      { key: "YQ==", revision: 99 },
      400,
      11,
      "etcdserver: mvcc: required revision is a future revision",
    ],
    ["an unknown sort target", "/v3/kv/range", { key: "YQ==", sort_target: 9 }, 400, 3, "etcdserver: invalid sort option"],
    ["an empty operation", "/v3/kv/txn", { success: [{}] }, 400, 3, "etcdserver: key not found"],
    [
      "too many operations before an empty one",
      "/v3/kv/txn",
      { success: [{}, {}, {}, {}, {}] },
      400,
      3,
      "etcdserver: too many operations in txn request",
    ],
    [
      "a compare without a key before an empty one",
      "/v3/kv/txn",
      { compare: [{}], success: [{}] },
      400,
      3,
      "etcdserver: key is not provided",
    ],
    [
      "an operation without a key before an empty one",
      "/v3/kv/txn",
      { success: [{ request_put: {} }, {}] },
      400,
      3,
      "etcdserver: key is not provided",
    ],
    ["a future compaction", "/v3/kv/compaction", { revision: 99 }, 400, 11, "etcdserver: mvcc: required revision is a future revision"],
  ])("refuses %s on %s", async (_, path, body, status, code, message) => {
    expect(await call(path, body)).toEqual(refused(status, code, message));
  });

  it("refuses requests over the limit, and messages over the limit of the transport", async () => {
    const value = (bytes: number) => encodeBase64("x".repeat(bytes) as Bytes);
    const fits = MAX_REQUEST_BYTES - 25; // what etcd counts around a value: the log's header, tags, lengths, a key of one byte
    expect((await call("/v3/kv/put", { key: "YQ==", value: value(fits) })).status).toBe(200);
    const tooLarge = refused(400, 3, "etcdserver: request is too large");
    expect(await call("/v3/kv/put", { key: "YQ==", value: value(fits + 1) })).toEqual(tooLarge);
    const operation = { request_put: { key: "YQ==", value: value(1_600_000) } };
    expect(await call("/v3/kv/txn", { success: [operation] })).toEqual(tooLarge);
    expect(await call("/v3/kv/put", { key: "YQ==", value: value(2_200_000) })).toEqual(
      refused(429, 8, "grpc: received message larger than max (2200008 vs. 2097152)"),
    );
    expect(await call("/v3/kv/range", { key: value(2_200_000) })).toEqual(
      refused(429, 8, "grpc: received message larger than max (2200005 vs. 2097152)"),
    );
  });
});

describe("/v3/lease", () => {
  it("grants, tells, lists and revokes, by the older paths too", async () => {
    const granted = await call("/v3/lease/grant", { TTL: 60 });
    const id = granted.json["ID"] as string;
    expect(granted.json).toEqual({ header: header(1), ID: id, TTL: "60" });
    await put("a", "1", { lease: id });
    member.advance(10_500);
    for (const path of ["/v3/lease/timetolive", "/v3/kv/lease/timetolive", "/v3beta/lease/timetolive"]) {
      expect((await call(path, { ID: id, keys: true })).json).toEqual({
        header: header(2),
        ID: id,
        TTL: "49",
        grantedTTL: "60",
        keys: [b64("a")],
      });
    }
    expect((await call("/v3/lease/leases")).json).toEqual({ header: header(2), leases: [{ ID: id }] });
    expect(await call("/v3/kv/lease/revoke", { ID: id })).toEqual({ status: 200, json: { header: header(3) } });
    expect((await call("/v3/lease/timetolive", { ID: id })).json).toEqual({ header: header(3), ID: id, TTL: "-1" });
    expect(await call("/v3/lease/revoke", { ID: id })).toEqual(refused(404, 5, "etcdserver: requested lease not found"));
  });

  it("keeps ids of 64 bits exact, and grants no less than the least TTL", async () => {
    const id = "-9223372036854775808";
    expect((await call("/v3/lease/grant", { ID: id, TTL: -5 })).json).toEqual({ header: header(1), ID: id, TTL: "2" });
    expect(await call("/v3/lease/grant", { ID: id, TTL: 5 })).toEqual(refused(412, 9, "etcdserver: lease already exists"));
    expect(await call("/v3/lease/grant", { TTL: "9000000001" })).toEqual(refused(400, 11, "etcdserver: too large lease TTL"));
  });
});

describe("/v3/maintenance and /v3/cluster", () => {
  it("raises, lists and lowers an alarm", async () => {
    const alarm = { memberID: member.memberId, alarm: "NOSPACE" };
    expect((await call("/v3/maintenance/alarm", { action: "ACTIVATE", ...alarm })).json).toEqual({ alarms: [alarm] });
    expect((await call("/v3/maintenance/alarm")).json).toEqual({ alarms: [alarm] });
    expect((await call("/v3/maintenance/alarm", { alarm: "CORRUPT" })).json).toEqual({});
    expect((await call("/v3/maintenance/status")).json["errors"]).toEqual([`memberID:${member.memberId} alarm:NOSPACE `]);
    expect(await put("a", "1")).toEqual(refused(429, 8, "etcdserver: mvcc: database space exceeded"));
    expect((await call("/v3/maintenance/alarm", { action: "DEACTIVATE", ...alarm })).json).toEqual({ alarms: [alarm] });
    expect((await call("/v3/maintenance/alarm", { action: "DEACTIVATE", ...alarm })).json).toEqual({});
    expect((await put("a", "1")).status).toBe(200);
  });

  it("refuses alarms that there are not", async () => {
    expect((await call("/v3/maintenance/alarm", { action: "ACTIVATE" })).status).toBe(400);
    expect((await call("/v3/maintenance/alarm", { action: 9 })).status).toBe(400);
    expect(v3.bugs).toEqual([]);
  });

  it("gives the status with every field that monitoring reads, in an empty store too", async () => {
    expect((await call("/v3/maintenance/status")).json).toEqual({
      header: header(1),
      version: "3.4.23",
      dbSize: "1",
      leader: member.memberId,
      raftIndex: "1",
      raftAppliedIndex: "1",
      raftTerm: "2",
      dbSizeInUse: "1",
    });
  });

  it("hashes keys alike at one revision whatever comes later", async () => {
    for (let n = 0; n < 1_500; n++) await put(`k${n}`, "v"); // more than one page
    const before = (await call("/v3/maintenance/hashkv", { revision: 1_400 })).json["hash"];
    const whole = (await call("/v3/maintenance/hash")).json["hash"];
    await put("k0", "changed");
    expect((await call("/v3/maintenance/hashkv", { revision: 1_400 })).json["hash"]).toBe(before);
    expect((await call("/v3/maintenance/hashkv", { revision: 1_401 })).json["hash"]).not.toBe(before);
    expect((await call("/v3/maintenance/hash")).json["hash"]).not.toBe(whole);
    expect((await call("/v3/maintenance/hashkv", { revision: 99_999 })).status).toBe(400);
  });

  it("streams a snapshot that can be restored, no faster than it is read", async () => {
    for (let n = 0; n < 200; n++) await put(`k${n}`, "v".repeat(5_000));
    const reply = await handle("/v3/maintenance/snapshot", "");
    const lines: string[] = [];
    let waiting = 0;
    await new Promise<void>((ended) => {
      (reply.body as (sink: object) => void)({
        write: (chunk: Bytes) => {
          expect(waiting).toBe(0);
          waiting++;
          lines.push(chunk);
          return false;
        },
        onDrain: (resume: () => void) =>
          setImmediate(() => {
            waiting--;
            resume();
          }),
        onClose: () => {},
        end: ended,
      });
    });
    const results = lines.map((line) => (JSON.parse(line) as { result: { blob: string; remaining_bytes?: string } }).result);
    expect(lines.length).toBeGreaterThan(3);
    expect(results.map(({ remaining_bytes }) => remaining_bytes === undefined)).toEqual(results.map((_, at) => at === results.length - 1));
    const file = Buffer.concat(results.map(({ blob }) => Buffer.from(blob, "base64")));
    const bytes = sealedBytes(file.length, file.subarray(-SEAL_BYTES_MIN))!;
    expect(file.subarray(-HASH_BYTES)).toEqual(createHash("sha256").update(file.subarray(0, -HASH_BYTES)).digest());
    const restored = new StateMachine({ quotaBytes: 2 ** 31 });
    await restored.restore(
      (async function* () {
        yield file.subarray(0, bytes);
      })(),
    );
    expect(restored.hash()).toBe(member.store.hash());
  });

  it("lists the member, and refuses changes as etcd does", async () => {
    expect((await call("/v3/cluster/member/list")).json).toEqual({
      header: { cluster_id: member.clusterId, member_id: member.memberId, raft_term: "2" },
      members: [{ ID: member.memberId, name: "default", peerURLs: ["http://127.0.0.1:2380"], clientURLs: ["http://127.0.0.1:2379"] }],
    });
    const bad = refused(400, 3, "etcdserver: given member URLs are invalid");
    for (const url of [
      "not a url",
      "127.0.0.1:1",
      "ftp://127.0.0.1:1",
      "http://127.0.0.1",
      "http://127.0.0.1:abc",
      "http://127.0.0.1:1/x",
      "http:///x:1",
    ]) {
      expect(await call("/v3/cluster/member/add", { peerURLs: [url] }), url).toEqual(bad);
    }
    expect(await call("/v3/cluster/member/add")).toEqual(bad);
    expect((await call("/v3/cluster/member/add", { peerURLs: ["http://[::1]:2380"] })).status).toBe(412);
    for (const change of ["remove", "update", "promote"]) {
      expect(await call(`/v3/cluster/member/${change}`, { ID: 77 })).toEqual(refused(404, 5, "etcdserver: member not found"));
    }
    expect(await call("/v3/maintenance/transfer-leadership", { targetID: 77 })).toEqual(
      refused(412, 9, "etcdserver: bad leader transferee"),
    );
    expect(await call("/v3/maintenance/transfer-leadership", { targetID: member.memberId })).toEqual({ status: 200, json: {} });
  });
});

describe("a learner", () => {
  const MESSAGE = "etcdserver: rpc not supported for learner";

  it("answers serializable ranges and its status, and nothing else, as etcd does", async () => {
    await put("a", "1");
    member.isLearner = true;
    expect((await call("/v3/kv/range", { key: b64("a"), serializable: true })).json["count"]).toBe("1");
    expect((await call("/v3/maintenance/status")).json["isLearner"]).toBe(true);
    const [served, streams] = [new Set(["Range", "Status"]), new Set(["watch", "inTurn"])]; // these are asked by test/cluster/members.test.ts
    const asked = v3.services.flatMap(({ methods }) => methods).filter(({ name, kind }) => !served.has(name) && !streams.has(kind));
    expect(asked.length).toBeGreaterThan(30);
    for (const { kind, paths } of asked) {
      const reply = await handle(`/v3${paths[0]}`, {});
      const error = { grpc_code: 14, http_code: 503, message: MESSAGE, http_status: "Service Unavailable" };
      const told = kind === "serverStream" ? { error } : { error: MESSAGE, message: MESSAGE, code: 14 };
      expect([paths[0], reply.status, JSON.parse(reply.body as string)]).toEqual([paths[0], 503, told]);
    }
    expect(await put("a", "2")).toEqual(refused(503, 14, MESSAGE));
    expect(await call("/v3/kv/range", { key: b64("a") })).toEqual(refused(503, 14, MESSAGE));
    // What is no request at all is told first.
    expect((await call("/v3/kv/put", "{bad")).status).toBe(400);
    member.isLearner = false;
    expect((await put("a", "2")).status).toBe(200);
  });
});

describe("paths and methods", () => {
  it("knows /v3beta, and paths by their decoded form", async () => {
    for (const path of ["/v3beta/lease/leases", "/v3/lease/lease%73", "/v3/lease%2Fleases"]) {
      expect((await call(path)).status, path).toBe(200);
    }
  });

  it("sends paths that are not in their shortest form on", async () => {
    expect(await handle("/v3//kv/./range", "")).toMatchObject({ status: 301, headers: { location: "/v3/kv/range" } });
    expect(await handle("/v3", "")).toMatchObject({ status: 301, headers: { location: "/v3/" } });
  });

  it("answers unknown paths with the gateway's page", async () => {
    for (const path of ["/v3/", "/v3/kv/nothing", "/v3/kv/range/", "/v3/kv/range:x", "/v3beta/v3/kv/range", "/v3/%zz"]) {
      expect(await handle(path, ""), path).toMatchObject({ status: 404, body: "Not Found\n" });
    }
    expect(await handle("/v3/kv/rang%65", "", "GET")).toMatchObject({ status: 405, body: "Method Not Allowed\n" });
    for (const path of ["/v3/kv/range", "/v3beta/kv/put", "/v3/watch", "/v3/lock/lock"]) {
      expect(await handle(path, "", "GET"), path).toMatchObject({ status: 405, body: "Method Not Allowed\n" });
    }
  });

  it("a bug in the store is told to the host, not to the client", async () => {
    member.store.range = () => {
      throw new TypeError("a bug");
    };
    expect((await call("/v3/kv/range", { key: "YQ==" })).json["code"]).toBe(13);
    expect(v3.bugs).toEqual([new TypeError("a bug")]);
  });

  it("refuses a body that is not JSON", async () => {
    expect(await call("/v3/kv/put", '{"key":')).toEqual(refused(400, 3, "unexpected EOF"));
    expect((await handle("/v3/maintenance/snapshot", '{"x"')).status).toBe(400);
  });
});
