import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { isQuorateError } from "../errors.ts";
import { Session, checkLease } from "./session.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const reason = (session: Session): string | null => {
  const { aborted, reason: why } = session.signal;
  return aborted ? (isQuorateError(why) ? why.reason : String(why)) : null;
};

describe("Session", () => {
  test("is kept alive at a third of its TTL, and ends when it is ended", async () => {
    const client = lab.client();
    const session = await lab.run(Session.open(client.context, { ttl: "15s" }));
    await lab.advance(60_000);
    const renewals = client.calls.filter(({ kind }) => kind === "keepAlive").map(({ at }) => at);
    expect(renewals.length).toBeGreaterThanOrEqual(10);
    renewals.reduce((before, at) => {
      expect(at - before).toBeGreaterThanOrEqual(4_500);
      expect(at - before).toBeLessThanOrEqual(5_501);
      return at;
    }, 0);
    session.check();
    await lab.run(session.end());
    expect(lab.leases()).toEqual([]);
    expect(() => session.check()).toThrow(/has ended/);
    const calls = client.calls.length;
    await lab.advance(60_000);
    expect([client.calls.length, reason(session)]).toEqual([calls, null]);
  });

  test("ends with the block that uses it, unless it was handed on", async () => {
    const client = lab.client();
    const used = await lab.run(Session.open(client.context, { ttl: "15s" }));
    await lab.run(used[Symbol.asyncDispose]());
    expect([lab.leases(), used.signal.aborted]).toEqual([[], false]);
    const handedOn = await lab.run(Session.open(client.context, { id: "9", ttl: "15s" }));
    handedOn.detach();
    await lab.run(handedOn[Symbol.asyncDispose]());
    expect(lab.leases()).toEqual(["9"]);
  });

  test("with the same id is the same session, with another TTL an error", async () => {
    const [one, two] = [lab.client(), lab.client()];
    await lab.run(Session.open(one.context, { id: "77", ttl: "10s" }));
    await lab.run(Session.open(two.context, { id: "77", ttl: "10s" }));
    expect(lab.leases()).toEqual(["77"]);
    await expect(lab.run(Session.open(two.context, { id: "77", ttl: "20s" }))).rejects.toMatchObject({ reason: "leaseExists" });
  });

  test("is valid until its TTL less a margin after the last renewal was sent, and no longer", async () => {
    const client = lab.client();
    client.latencyMs = () => 100;
    const session = await lab.run(Session.open(client.context, { ttl: "10s" }));
    expect(session.validUntil).toBe(9_000);
    await lab.run(session.renew());
    expect(session.validUntil).toBe(9_200);
    client.cutOff();
    await lab.advance(9_200 - lab.time.now - 1);
    expect(reason(session)).toBeNull();
    session.check();
    await lab.advance(1);
    expect(reason(session)).toBe("sessionLost");
    expect(() => session.check()).toThrow(/not renewed in time/);
    await expect(session.renew()).rejects.toMatchObject({ reason: "sessionLost" });
  });

  test("of 2 s has a margin of half a second", async () => {
    const session = await lab.run(Session.open(lab.client().context, { ttl: "2s" }));
    expect(session.validUntil).toBe(1_500);
  });

  test("is given up before the store ends it, even by a clock that runs slow", async () => {
    const client = lab.client();
    client.clockRate = 0.92;
    const session = await lab.run(Session.open(client.context, { ttl: "15s" }));
    client.cutOff();
    let lostAt = 0;
    session.signal.addEventListener("abort", () => (lostAt = lab.time.now));
    await lab.advance(60_000);
    expect(lab.leases()).toEqual([]);
    expect(lostAt).toBeGreaterThan(0);
    expect(lostAt).toBeLessThan(15_000);
  });

  test("a renewal that fails is tried again until it is no use", async () => {
    const client = lab.client();
    const session = await lab.run(Session.open(client.context, { ttl: "15s" }));
    client.fault = () => "refuse";
    await lab.advance(12_000);
    expect(reason(session)).toBeNull();
    expect(client.calls.length).toBeGreaterThan(5);
    client.fault = () => "none";
    await lab.advance(60_000);
    expect(reason(session)).toBeNull();
    expect(lab.leases()).toEqual([session.id]);
  });

  test("is lost at once when the store knows its lease no more", async () => {
    const session = await lab.run(Session.open(lab.client().context, { ttl: "15s" }));
    await lab.revoke(session.id);
    await lab.advance(5_600);
    expect(reason(session)).toBe("sessionLost");
    expect(lab.leases()).toEqual([]); // it is not made anew
  });

  test("a pause of the process past its time is found by the first call, whatever the server would say", async () => {
    const client = lab.client();
    const session = await lab.run(Session.open(client.context, { ttl: "15s" }));
    client.pause();
    lab.time.after(14_500, () => void lab.client().context.store.keepAlive(session.id)); // the server still has it
    await lab.advance(20_000);
    client.resume();
    expect(() => session.check()).toThrow(/not renewed in time/);
    expect(reason(session)).toBe("sessionLost");
  });

  test("goes on in another process", async () => {
    const [one, two] = [lab.client(), lab.client()];
    const session = await lab.run(Session.open(one.context, { ttl: "10s" }));
    const { lease } = JSON.parse(JSON.stringify(session));
    session.detach();
    await lab.advance(6_000);
    const again = await lab.run(Session.resume(two.context, lease));
    expect([again.id, again.ttlSeconds, again.validUntil]).toEqual([session.id, 10, 15_000]);
    await lab.advance(60_000);
    again.check();
    again.detach();
    await lab.advance(11_000);
    await expect(lab.run(Session.resume(one.context, lease))).rejects.toMatchObject({ reason: "sessionLost" });
  });

  test("an end that the store does not hear is left to the TTL", async () => {
    const client = lab.client();
    const session = await lab.run(Session.open(client.context, { ttl: "10s" }));
    client.fault = () => "lose-request";
    await expect(lab.run(session.end())).rejects.toMatchObject({ reason: "timeout" });
    await lab.advance(5_000);
    expect(lab.leases()).toEqual([]);
  });
});

describe("checkLease()", () => {
  test.each(["0", "-1", "x", "", "9223372036854775808", "01", "1.5"])("refuses %j", (id) => {
    expect(() => checkLease(id)).toThrow(/id must be a decimal number/);
  });

  test("takes 63 bits", () => {
    expect(checkLease("9223372036854775807")).toBe("9223372036854775807");
  });
});
