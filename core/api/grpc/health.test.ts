import { describe, expect, test } from "vitest";
import { LocalMember } from "../../../test/helpers/local-member.ts";
import { Cancellation } from "../v3/cancellation.ts";
import type { Call, ServerStreamMethod, UnaryMethod } from "../v3/services.ts";
import { healthService } from "./health.ts";

const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;
const call = {} as Call;

type Request = { service: string };
type Response = { status: number };

function setUp() {
  const member = new LocalMember();
  const looks = new Set<() => void>();
  const every = (_ms: number, look: () => void) => {
    looks.add(look);
    return () => void looks.delete(look);
  };
  const [check, watch] = healthService({ member, every }).methods as unknown as [
    UnaryMethod<Request, Response>,
    ServerStreamMethod<Request, Response>,
  ];
  return { member, looks, check, watch, look: () => looks.forEach((one) => one()) };
}

function loseLeader(member: LocalMember): void {
  const { status } = member;
  member.status = () => ({ ...status.call(member), leaderId: "0" });
}

describe("Check", () => {
  test("serves with a leader, also when the space is used up", async () => {
    const { member, check } = setUp();
    expect(check.call({ service: "" }, call)).toEqual({ status: SERVING });
    await member.propose({ kind: "alarm", action: "activate", alarm: { memberId: member.memberId, alarm: "nospace" } });
    expect(check.call({ service: "" }, call)).toEqual({ status: SERVING });
    loseLeader(member);
    expect(check.call({ service: "" }, call)).toEqual({ status: NOT_SERVING });
  });

  test("knows no service but the whole", () => {
    const { check } = setUp();
    expect(() => check.call({ service: "etcdserverpb.KV" }, call)).toThrow("unknown service");
  });
});

describe("Watch", () => {
  test("tells the status at once, and then each other one, once", async () => {
    const { member, watch, look, looks } = setUp();
    const cancellation = new Cancellation();
    const told = watch.call({ service: "" }, call, cancellation)[Symbol.asyncIterator]();
    expect(await told.next()).toEqual({ done: false, value: { status: SERVING } });
    const next = told.next();
    look();
    loseLeader(member);
    look();
    expect(await next).toEqual({ done: false, value: { status: NOT_SERVING } });
    const end = told.next();
    cancellation.cancel();
    expect(await end).toEqual({ done: true, value: undefined });
    expect(looks.size).toBe(0);
  });

  test("of an unknown service says so, and goes on", async () => {
    const { watch } = setUp();
    const told = watch.call({ service: "x" }, call, new Cancellation())[Symbol.asyncIterator]();
    expect(await told.next()).toEqual({ done: false, value: { status: SERVICE_UNKNOWN } });
  });
});
