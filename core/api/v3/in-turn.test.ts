import { beforeEach, expect, it } from "vitest";
import { LocalMember } from "../../../test/helpers/local-member.ts";
import { type LocalV3, localV3 } from "../../../test/helpers/local-v3.ts";
import { StreamCall, settle } from "../../../test/helpers/stream-call.ts";
import { errNoLeader } from "../../errors.ts";

let member: LocalMember;
let v3: LocalV3;

beforeEach(async () => {
  member = new LocalMember();
  v3 = localV3(member);
  await member.propose({ kind: "leaseGrant", id: "7", ttlSeconds: 30 });
});

const open = (body: string): StreamCall => new StreamCall(v3.handler("/v3/lease/keepalive"), body);

const header = () => ({ cluster_id: member.clusterId, member_id: member.memberId, revision: "1", raft_term: "2" });
const renewed = (id: string, ttl?: string) => ({ result: { header: header(), ID: id, ...(ttl === undefined ? {} : { TTL: ttl }) } });

it("answers each request, an unknown lease without a TTL, and ends with the requests", async () => {
  const call = open(`{"ID":7}{"ID":"8"}`);
  expect(await call.until(2)).toEqual([renewed("7", "30"), renewed("8")]);
  expect(call.ended).toBe(false);
  member.advance(20_000);
  call.send(`{"ID":7}`);
  await call.until(3);
  member.advance(20_000);
  expect(await member.leaseRemainingSeconds("7")).toBe(10);
  call.endBody();
  await settle();
  expect(call.ended).toBe(true);
});

it("ends at a request that cannot be read", async () => {
  const call = open(`{"ID":7}junk{"ID":7}`);
  await call.reply;
  await settle();
  expect(call.lines).toEqual([renewed("7", "30")]);
  expect(call.ended).toBe(true);
});

it("answers 500 when that is the first one, and 200 with nothing when there is none", async () => {
  const reply = await open(`{"ID":"x"}`).reply;
  expect(reply.status).toBe(500);
  expect(JSON.parse(reply.body as string)).toMatchObject({ code: 2 });
  const none = open("");
  none.endBody();
  expect(await none.reply).toMatchObject({ status: 200, body: "" });
});

it("tells a failure by status when it is the first, and in the stream afterwards", async () => {
  const call = open(`{"ID":7}`);
  await call.until(1);
  member.keepAlive = () => Promise.reject(errNoLeader());
  call.send(`{"ID":7}`);
  expect((await call.until(2))[1]).toEqual({
    error: { grpc_code: 14, http_code: 503, message: "etcdserver: no leader", http_status: "Service Unavailable" },
  });
  await settle();
  expect(call.ended).toBe(true);
  expect((await open(`{"ID":7}`).reply).status).toBe(503);
  expect(v3.bugs).toEqual([]);
});

it("renews no faster than the client reads, and nothing once it is gone", async () => {
  let asked = 0;
  const { keepAlive } = member;
  member.keepAlive = (id) => {
    asked++;
    return keepAlive.call(member, id);
  };
  const call = open("");
  call.slow = true;
  for (let n = 0; n < 10; n++) call.send(`{"ID":7}`);
  await call.until(1);
  await settle();
  expect(asked).toBe(1);
  call.drain();
  call.slow = true;
  await call.until(2);
  await settle();
  expect(asked).toBe(2);
  call.hangUp();
  await settle();
  expect(asked).toBe(2);
});
