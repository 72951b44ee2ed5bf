import { localAuthenticator } from "../../../test/helpers/local-authenticator.ts";
import { errMemberNotFound, errMemberRemoved, errPeerUrlExists } from "../../errors.ts";
import { beforeEach, describe, expect, test } from "vitest";
import { type Bytes, ascii } from "../../bytes/bytes.ts";
import { errNoLeader } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { Command, CommandBody } from "../../store/command.ts";
import { StateMachine } from "../../store/state-machine.ts";
import type { ApiReply, ApiRequest, ReplySink } from "../exchange.ts";
import { v2Routes } from "./routes.ts";

const FORM = "application/x-www-form-urlencoded";

let machine: StateMachine;
let now: number;
let failure: Error | null;
let barriers: number;
let handle: (request: ApiRequest) => ApiReply | Promise<ApiReply>;

beforeEach(() => {
  machine = new StateMachine({ quotaBytes: 1 << 30 });
  now = 1_700_000_000_000;
  failure = null;
  barriers = 0;
  let index = 0;
  const propose = async (body: CommandBody) => {
    if (failure !== null) throw failure;
    const outcome = machine.apply({ ...body, time: now } as Command, { index: ++index, term: 3 });
    machine.flush();
    if (!outcome.ok) throw outcome.error;
    return outcome;
  };
  const status = () => ({ leaderId: "17", term: 3, raftIndex: index, appliedIndex: index, startedAt: now - 5000, leaderSince: now - 4000 });
  const members = () => [{ id: "17", name: "one", peerUrls: ["http://peer:1"], clientUrls: ["http://client:2"], learner: false }];
  const readBarrier = () => {
    barriers++;
    return Promise.resolve();
  };
  const addMember = (peerUrls: readonly string[]) => {
    if (peerUrls.includes("http://peer:1")) return Promise.reject(errPeerUrlExists());
    return Promise.resolve({ id: "99", name: "", peerUrls, clientUrls: [], learner: true });
  };
  const known = (id: string) => {
    if (id === "17") return Promise.resolve();
    return Promise.reject(id === "18" ? errMemberRemoved(id) : errMemberNotFound());
  };
  const changes = { addMember, removeMember: known, updateMember: known };
  const member = { clusterId: "255", memberId: "17", store: machine, propose, status, members, readBarrier, ...changes };
  const whole = member as unknown as Member;
  handle = v2Routes({ member: whole, authenticator: localAuthenticator(whole), now: () => now })[0]!.handle;
});

interface Sent {
  readonly form?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

async function ask(method: string, url: string, sent: Sent = {}): Promise<ApiReply> {
  const [path = "", query = ""] = url.split("?", 2);
  const headers: Record<string, string> = { ...sent.headers };
  if (sent.form !== undefined) headers["content-type"] = FORM;
  const body = ascii(sent.form ?? sent.body ?? "");
  return handle({ method, path, query, header: (name) => headers[name], body });
}

/** Status, index header and body of a reply, in one line. */
async function line(method: string, url: string, sent?: Sent): Promise<string> {
  const reply = await ask(method, url, sent);
  return `${reply.status} ${reply.headers["x-etcd-index"] ?? "-"} ${String(reply.body).trimEnd()}`;
}

const put = (url: string, form: string) => line("PUT", `/v2/keys${url}`, { form });

/** A client that reads as fast as it is told to. */
class Client implements ReplySink {
  text = "";
  ended = false;
  slow = false;
  #resume: (() => void) | null = null;
  #closed: (() => void)[] = [];

  write(chunk: Bytes): boolean {
    this.text += chunk;
    return !this.slow;
  }
  onDrain(resume: () => void): void {
    this.#resume = resume;
  }
  onClose(closed: () => void): void {
    this.#closed.push(closed);
  }
  end(): void {
    this.ended = true;
    this.hangUp();
  }
  drain(): void {
    const resume = this.#resume;
    this.#resume = null;
    resume?.();
  }
  hangUp(): void {
    for (const closed of this.#closed.splice(0)) closed();
  }
  /** "action index" of each line. */
  get events(): string[] {
    const lines = this.text.split("\n").filter((one) => one !== "");
    return lines
      .map((one) => JSON.parse(one) as { action: string; node: { modifiedIndex: number } })
      .map((e) => `${e.action} ${e.node.modifiedIndex}`);
  }
}

async function open(url: string): Promise<Client> {
  const reply = await ask("GET", `/v2/keys${url}`);
  if (typeof reply.body !== "function") throw new Error(`no stream but ${reply.status} ${reply.body}`);
  const client = new Client();
  reply.body(client);
  return client;
}

describe("/v2/keys", () => {
  test("writes and reads, with etcd's headers", async () => {
    expect(await put("/a/b", "value=x%3Cy")).toBe(
      '201 2 {"action":"set","node":{"key":"/a/b","value":"x\\u003cy","modifiedIndex":2,"createdIndex":2}}',
    );
    const reply = await ask("GET", "/v2/keys/a/b");
    expect(reply.headers).toEqual({
      "access-control-allow-headers": "accept, content-type, authorization",
      "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
      "access-control-allow-origin": "*",
      "content-type": "application/json",
      "x-etcd-cluster-id": "ff",
      "x-etcd-index": "2",
      "x-raft-index": "1",
      "x-raft-term": "3",
    });
    expect(reply.body).toBe('{"action":"get","node":{"key":"/a/b","value":"x\\u003cy","modifiedIndex":2,"createdIndex":2}}\n');
    expect((await ask("HEAD", "/v2/keys/a/b")).body).toBe("");
  });

  test("answers 201 for what was created and 200 for what was replaced", async () => {
    expect((await ask("POST", "/v2/keys/q", { form: "value=1" })).status).toBe(201);
    await put("/a", "value=1");
    expect((await ask("PUT", "/v2/keys/a", { form: "value=2" })).status).toBe(200);
    expect(await put("/a", "value=3&noValueOnSuccess=true")).toBe('200 5 {"action":"set"}');
    expect(await line("DELETE", "/v2/keys/a?noValueOnSuccess=true")).toContain('"prevNode"');
  });

  test("lists a directory, the root without key, hidden names left out", async () => {
    await put("/d/b", "value=1");
    await put("/d/a/x", "value=2");
    await put("/d/_h", "value=3");
    expect(await line("GET", "/v2/keys/d?recursive=true")).toBe(
      '200 4 {"action":"get","node":{"key":"/d","dir":true,"nodes":[{"key":"/d/a","dir":true,"nodes":[{"key":"/d/a/x","value":"2","modifiedIndex":3,"createdIndex":3}],"modifiedIndex":3,"createdIndex":3},{"key":"/d/b","value":"1","modifiedIndex":2,"createdIndex":2}],"modifiedIndex":2,"createdIndex":2}}',
    );
    expect(await line("GET", "/v2/keys")).toBe(
      '200 4 {"action":"get","node":{"dir":true,"nodes":[{"key":"/d","dir":true,"modifiedIndex":2,"createdIndex":2}]}}',
    );
    expect(await line("GET", "/v2/keys/d/_h/")).toContain('"key":"/d/_h"');
  });

  test("lists a tree thousands of levels deep", async () => {
    const path = "/x".repeat(3000);
    await put(path, "value=1");
    const text = await line("GET", "/v2/keys?recursive=true");
    expect(text.match(/"nodes":/g)?.length).toBe(3000);
    expect(text).toContain('"value":"1"');
  });

  test("answers a refusal with code, cause and index", async () => {
    await put("/a", "value=1");
    expect(await line("GET", "/v2/keys/x/y")).toBe('404 2 {"errorCode":100,"message":"Key not found","cause":"/x","index":2}');
    expect(await put("/a?prevValue=%3C", "value=2")).toBe(
      '412 2 {"errorCode":101,"message":"Compare failed","cause":"[\\u003c != 1]","index":2}',
    );
    expect(await put("/a/b", "value=2")).toBe('400 2 {"errorCode":104,"message":"Not a directory","cause":"/a","index":2}');
    expect(await line("DELETE", "/v2/keys/?prevIndex=2")).toBe('403 2 {"errorCode":102,"message":"Not a file","index":2}');
  });

  test.each([
    ["PUT", "?prevIndex=x&recursive=x", 203, 'invalid value for \\"prevIndex\\"'],
    ["PUT", "?waitIndex=&recursive=x", 203, 'invalid value for \\"waitIndex\\"'],
    ["PUT", "?recursive=&sorted=x", 209, 'invalid value for \\"recursive\\"'],
    ["PUT", "?sorted=x&wait=x", 209, 'invalid value for \\"sorted\\"'],
    ["PUT", "?wait=x&dir=x", 209, 'invalid value for \\"wait\\"'],
    ["PUT", "?dir=x&quorum=x", 209, 'invalid value for \\"dir\\"'],
    ["PUT", "?quorum=x&stream=x", 209, 'invalid value for \\"quorum\\"'],
    ["PUT", "?stream=x&wait=true", 209, 'invalid value for \\"stream\\"'],
    ["HEAD", "?wait=true&prevValue=", 209, '\\"wait\\" can only be used with GET requests'],
    ["PUT", "?wait=true&prevValue=", 209, '\\"wait\\" can only be used with GET requests'],
    ["PUT", "?prevValue=&noValueOnSuccess=x", 201, '\\"prevValue\\" cannot be empty'],
    ["PUT", "?noValueOnSuccess=x&ttl=x", 209, 'invalid value for \\"noValueOnSuccess\\"'],
    ["PUT", "?ttl=x&prevExist=x", 202, 'invalid value for \\"ttl\\"'],
    ["PUT", "?prevExist=x&refresh=x", 209, "invalid value for prevExist"],
    ["PUT", "?refresh=x", 209, "invalid value for refresh"],
    ["PUT", "?refresh=1&value=x", 211, "A value was provided on a refresh"],
    ["PUT", "?refresh=1&value=", 212, "No TTL value set"],
    ["GET", "?a=%zz&prevIndex=x", 210, 'invalid URL escape \\"%zz\\"'],
  ])("%s %s is refused with %d, in this order of checks, with index 0", async (method, query, code, cause) => {
    const reply = await ask(method, `/v2/keys/a${query}`);
    expect([reply.status, reply.headers["x-etcd-index"], reply.headers["x-raft-index"]]).toEqual([400, "0", undefined]);
    if (method === "HEAD") return expect(reply.body).toBe("");
    expect(reply.body).toContain(`{"errorCode":${code},`);
    expect(reply.body).toContain(`"cause":"${cause}"`);
  });

  test("shows TTLs as they run, and what etcd makes of very long ones", async () => {
    expect(await put("/a", "value=1&ttl=100")).toContain('"expiration":"2023-11-14T22:15:00Z","ttl":100,');
    now += 60_500;
    expect(await line("GET", "/v2/keys/a")).toContain('"ttl":40,');
    expect(await put("/a", "value=1&ttl=0")).toMatch(/"expiration":"2023-11-14T22:14:20.5Z","modifiedIndex"/);
    for (const ttl of ["8000000000", "9223372036"]) expect(await put("/b" + ttl, `value=1&ttl=${ttl}`)).toMatch(/^201 (?!.*expiration)/);
    expect(await put("/c", "value=1&ttl=18446744073709551615")).toContain('"ttl":-1,');
    expect(await put("/d", "value=1&ttl=1000000000")).toContain('"ttl":1000000000,');
  });

  test("a quorum read waits for the barrier, a plain one does not, and quorum wins over wait", async () => {
    await put("/a", "value=1");
    await ask("GET", "/v2/keys/a");
    expect(barriers).toBe(0);
    expect(await line("GET", "/v2/keys/a?quorum=true&wait=true")).toContain('"action":"get"');
    expect(barriers).toBe(1);
  });

  test("what is not the tree's own refusal is Raft Internal Error", async () => {
    failure = errNoLeader();
    expect(await put("/a", "value=1")).toBe(
      '500 0 {"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: no leader","index":0}',
    );
  });

  test("other methods, other paths, preflight, long paths", async () => {
    const patch = await ask("PATCH", "/v2/keys/a");
    expect([patch.status, patch.headers["allow"], patch.headers["x-etcd-cluster-id"]]).toEqual([
      405,
      "HEAD,GET,PUT,POST,DELETE",
      undefined,
    ]);
    for (const path of ["/v2", "/v2/", "/v2/keysx", "/v2/stats", "/v2/machines/", "/v2/auth", "/v2/auth/usersx"]) {
      expect((await ask("GET", path)).status).toBe(404);
    }
    for (const path of ["/v2/auth/enable", "/v2/auth/users", "/v2/auth/roles/", "/v2/auth/users/u"]) {
      expect([path, await line("PUT", path)]).toEqual([path, expect.stringContaining('404 - {"message":"auth: v2 has no users')]);
    }
    expect((await ask("OPTIONS", "/v2/keys//a")).status).toBe(200);
    expect((await ask("PUT", `/v2/keys/${"x".repeat(17_000)}`)).status).toBe(414);
    expect((await ask("GET", "/v2/keys/%zz")).status).toBe(400);
    expect(await line("GET", "/v2/%6beys/nope")).toContain('"cause":"/nope"');
  });

  test.each([
    ["/v2/keys/a//b", "/v2/keys/a/b"],
    ["/v2/keys/a/../b?x=%20&y", "/v2/keys/b?x=%20&y"],
    ["/v2/keys/a%2F%2Fb%20!/", "/v2/keys/a/b%20%21/"],
    ["/v2/keys/%2e%2e/..", "/"],
    ["/v2/keys/./.", "/v2/keys"],
  ])("%s is sent on to %s", async (from, to) => {
    const reply = await ask("GET", from);
    expect([reply.status, reply.headers["location"]]).toEqual([301, to]);
    expect(reply.body).toBe(`<a href="${to.replaceAll("&", "&amp;")}">Moved Permanently</a>.\n\n`);
    expect((await ask("PUT", from)).body).toBe("");
  });
});

describe("wait", () => {
  test("answers the head at once and ends after one event", async () => {
    const client = await open("/a?wait=true");
    expect(client.text).toBe("");
    await put("/a", "value=1");
    await put("/a", "value=2");
    expect([client.events, client.ended]).toEqual([["set 2"], true]);
    expect(machine.v2.watcherCount).toBe(0);
  });

  test("misses nothing that happens before the body is asked for", async () => {
    const reply = await ask("GET", "/v2/keys/a?wait=true");
    await put("/a", "value=1");
    const client = new Client();
    (reply.body as (sink: ReplySink) => void)(client);
    expect([client.events, client.ended]).toEqual([["set 2"], true]);
  });

  test("streams from the past on", async () => {
    await put("/a", "value=1");
    await put("/a", "value=2");
    const client = await open("/a?wait=true&stream=true&waitIndex=2");
    await put("/a", "value=3");
    expect([client.events, client.ended]).toEqual([["set 2", "set 3", "set 4"], false]);
    client.hangUp();
    expect(machine.v2.watcherCount).toBe(0);
  });

  test("gives TTLs as they were when it happened", async () => {
    await put("/a", "value=1&ttl=100");
    now += 50_000;
    const client = await open("/a?wait=true&waitIndex=2");
    await Promise.resolve();
    expect(client.text).toContain('"ttl":100,');
  });

  test("waits for a slow client, and lets go of one that does not read", async () => {
    const slow = await open("/a?wait=true&stream=true");
    slow.slow = true;
    await put("/a", "value=1");
    await put("/a", "value=2");
    expect(slow.events).toEqual(["set 2"]);
    slow.slow = false;
    slow.drain();
    expect(slow.events).toEqual(["set 2", "set 3"]);
    slow.slow = true;
    for (let n = 0; n < 2002; n++) await put("/a", "value=x");
    expect(slow.ended).toBe(true);
    expect(machine.v2.watcherCount).toBe(0);
  });

  test("says that the history is gone", async () => {
    for (let n = 0; n < 1001; n++) await put("/a", "value=1");
    expect(await line("GET", "/v2/keys/a?wait=true&waitIndex=2")).toBe(
      '400 1002 {"errorCode":401,"message":"The event in requested index is outdated and cleared","cause":"the requested history has been cleared [3/2]","index":1002}',
    );
  });
});

describe("members and statistics", () => {
  test("members are listed with hexadecimal ids and advertised URLs", async () => {
    const one = '{"id":"11","name":"one","peerURLs":["http://peer:1"],"clientURLs":["http://client:2"]}';
    expect(await line("GET", "/v2/members")).toBe(`200 - {"members":[${one}]}`);
    expect(await line("GET", "/v2/members/leader")).toBe(`200 - ${one}`);
    expect(await line("GET", "/v2/machines")).toBe("200 - http://client:2");
    expect((await ask("GET", "/v2/members")).headers["x-etcd-cluster-id"]).toBe("ff");
  });

  test("members are changed, a faulty request is refused for its fault", async () => {
    const json = { headers: { "content-type": "application/json" } };
    expect(await line("DELETE", "/v2/members/077")).toBe('404 - {"message":"No such member: 77"}');
    expect(await line("DELETE", "/v2/members/xyz")).toBe('404 - {"message":"No such member: xyz"}');
    expect((await ask("DELETE", "/v2/members")).status).toBe(405);
    expect(await line("POST", "/v2/members", { headers: { "content-type": "text/plain" } })).toContain("415 - ");
    expect((await ask("POST", "/v2/members", { ...json, body: "not json" })).status).toBe(400);
    expect(await line("POST", "/v2/members", { ...json, body: '{"peerURLs":["foo"]}' })).toBe(
      '400 - {"message":"URL scheme must be http, https, unix, or unixs: foo"}',
    );
    const good = { ...json, body: '{"peerURLs":["http://a:1"]}' };
    expect(await line("POST", "/v2/members", good)).toBe('201 - {"id":"63","name":"","peerURLs":["http://a:1"],"clientURLs":[]}');
    expect(await line("POST", "/v2/members", { ...json, body: '{"peerURLs":["http://peer:1"]}' })).toBe(
      '409 - {"message":"membership: peerURL exists"}',
    );
    expect(await line("PUT", "/v2/members/11", good)).toBe("204 - ");
    expect(await line("DELETE", "/v2/members/11")).toBe("204 - ");
    expect(await line("DELETE", "/v2/members/12")).toBe('410 - {"message":"Member permanently removed: 12"}');
  });

  test("statistics count what was asked", async () => {
    await put("/a", "value=1");
    await put("/a", "value=1&prevExist=false");
    await put("/a?prevValue=x", "value=1");
    await ask("GET", "/v2/keys/a");
    await ask("GET", "/v2/keys/b");
    const client = await open("/a?wait=true");
    const stats = JSON.parse(String((await ask("GET", "/v2/stats/store")).body)) as Record<string, number>;
    expect(stats).toMatchObject({
      getsSuccess: 1,
      getsFail: 1,
      setsSuccess: 1,
      createFail: 1,
      compareAndSwapFail: 1,
      watchers: 1,
      expireCount: 0,
    });
    client.hangUp();
    expect(await line("GET", "/v2/stats/self")).toContain(
      '"state":"StateLeader","startTime":"2023-11-14T22:13:15Z","leaderInfo":{"leader":"11","uptime":"4s"',
    );
    expect(await line("GET", "/v2/stats/leader")).toBe('200 - {"leader":"11","followers":{}}');
    expect((await ask("POST", "/v2/stats/store")).headers["allow"]).toBe("GET");
    expect((await ask("GET", "/v2/stats/nothing")).status).toBe(404);
  });
});
