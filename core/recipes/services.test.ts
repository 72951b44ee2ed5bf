import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { type LabClient, RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import { deleteOp, oneKey, putOp, txnOf } from "./requests.ts";
import { type ServiceStep, listServices, registerService, watchServices } from "./services.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const INFO = { address: "10.0.0.1", port: 80 };
const register = (id: string, more = {}, options = {}, client: LabClient = lab.client()) =>
  lab.run(registerService(client.context, "api", id, { ...INFO, ...more }, { ttl: "10s", ...options }));
const list = async (filter = {}) => (await lab.run(listServices(lab.client().context, "api", filter))).instances.map(({ id }) => id);

/** What a watch of its own tells, as it comes. */
function watching(filter = {}, client = lab.client()): ServiceStep[] {
  const steps: ServiceStep[] = [];
  void (async () => {
    for await (const step of watchServices(client.context, "api", filter)) steps.push(step);
  })();
  return steps;
}

const told = (steps: readonly ServiceStep[]) =>
  steps.map(({ changes, instances }) =>
    changes === null
      ? `= ${instances.map(({ id }) => id).join(" ")}`
      : changes.map((one) => `${one.type} ${one.instance.id}${one.type === "down" ? ` ${one.cause}` : ""}`).join(", "),
  );

describe("an instance", () => {
  test("is listed with what it says, for as long as it lives", async () => {
    const client = lab.client();
    await register("a", { zone: "eu-1", tags: ["x"] }, {}, client);
    const { instances } = await lab.run(listServices(lab.client().context, "api"));
    expect(instances).toEqual([
      {
        ...INFO,
        id: "a",
        zone: "eu-1",
        tags: ["x"],
        weight: 1,
        status: "passing",
        meta: {},
        revision: expect.any(Number),
        incarnation: expect.any(Number),
      },
    ]);
    await lab.advance(60_000);
    expect(await list()).toEqual(["a"]);
    client.kill();
    await lab.advance(11_000);
    expect([await list(), lab.leases()]).toEqual([[], []]);
  });

  test("has one owner, who may come again with the secret", async () => {
    const first = await register("a", {}, { secret: "s" });
    await expect(register("a", {}, { secret: "t" })).rejects.toMatchObject({ reason: "conflict" });
    expect(lab.leases()).toHaveLength(1);
    const again = await register("a", { port: 81 }, { secret: "s" });
    expect(lab.keys("/quorate/services/api/")).toHaveLength(1);
    expect(lab.keys("/quorate/services/api/")[0]!.value).not.toContain('"s"');
    await lab.run(first.leave()); // the place is on another lease by now
    expect(await list()).toEqual(["a"]);
    await lab.run(again.leave());
    expect([await list(), lab.leases()]).toEqual([[], []]);
  });

  test("drains before it leaves", async () => {
    const one = await register("a");
    const steps = watching({ status: "passing" });
    await lab.advance(0);
    const done = one.drain("5s");
    await lab.advance(4_000);
    expect([await list({ status: "draining" }), told(steps)]).toEqual([["a"], ["= a", "down a changed"]]);
    await lab.run(done);
    expect(await list()).toEqual([]);
  });

  test("comes back by itself after a cut, and when somebody takes its key away", async () => {
    const client = lab.client();
    const one = await register("a", {}, {}, client);
    client.cutOff();
    await lab.advance(15_000);
    expect(await list()).toEqual([]);
    client.reconnect();
    await lab.advance(3_000);
    expect(await list()).toEqual(["a"]);
    await lab.txn(txnOf([], [deleteOp(oneKey(ascii("/quorate/services/api/a")))]));
    await lab.advance(1_000);
    expect(await list()).toEqual(["a"]);
    await lab.run(one.leave());
    await lab.advance(60_000);
    expect([await list(), lab.leases()]).toEqual([[], []]);
  });

  test("gives up its id when another has taken it meanwhile", async () => {
    const client = lab.client();
    const one = await register("a", {}, {}, client);
    client.cutOff();
    await lab.advance(15_000);
    await register("a");
    client.reconnect();
    await lab.advance(20_000);
    expect(one.signal.reason).toMatchObject({ reason: "conflict" });
    await expect(lab.run(one.update({ port: 1 }))).rejects.toMatchObject({ reason: "conflict" });
  });

  test("goes on while history is compacted under it", async () => {
    const client = lab.client();
    await register("a", {}, {}, client);
    for (let n = 0; n < 5; n++) {
      await lab.txn(txnOf([], [putOp(ascii("/other"), ascii(`${n}`))]));
      await lab.compact();
      await lab.advance(5_000);
    }
    expect(await list()).toEqual(["a"]);
    expect(client.calls.length).toBeLessThan(40);
  });

  test("that says nonsense is refused, and what others put there is left out", async () => {
    for (const [more, field] of [
      [{ address: "" }, "address"],
      [{ port: 70_000 }, "port"],
      [{ weight: -1 }, "weight"],
      [{ status: "well" }, "status"],
    ] as const) {
      await expect(register("a", more)).rejects.toMatchObject({ details: { field } });
    }
    expect(lab.leases()).toEqual([]);
    await lab.txn(txnOf([], [putOp(ascii("/quorate/services/api/b"), ascii("x")), putOp(ascii("/quorate/services/api/c"), ascii("{}"))]));
    expect(await list()).toEqual([]);
  });

  test("each call may be lost: one instance, one lease, and nothing left of it", async () => {
    const { runs } = await withEachFault(
      async (one, client) => {
        const instance = await one.run(registerService(client.context, "api", "a", INFO, { ttl: "30s" }));
        await one.run(instance.update({ status: "warning" }));
        const seen = (await one.run(listServices(client.context, "api"))).instances.map(({ id, status }) => [id, status]);
        const leases = one.leases().length;
        await one.run(instance.leave());
        await one.advance(4_000);
        return { seen, leases, left: [one.keys(), one.leases()] };
      },
      (result) => expect(result).toEqual({ seen: [["a", "warning"]], leases: 1, left: [[], []] }),
    );
    expect(runs).toBeGreaterThan(3 * 5);
  });
});

describe("a watch", () => {
  test("tells who comes, changes, leaves and dies", async () => {
    const steps = watching();
    const client = lab.client();
    const one = await register("a");
    await register("b", {}, {}, client);
    await lab.run(one.update({ weight: 2 }));
    await lab.run(one.leave());
    client.kill();
    await lab.advance(11_000);
    expect(told(steps)).toEqual(["= ", "up a", "up b", "changed a", "down a delete", "down b expire"]);
  });

  test("with a filter tells what the filter sees", async () => {
    const steps = watching({ status: "passing", zone: "eu" });
    const one = await register("a", { zone: "eu" });
    await register("b", { zone: "us" });
    await lab.run(one.update({ status: "critical" }));
    await lab.run(one.update({ status: "passing" }));
    await lab.advance(0);
    expect(told(steps)).toEqual(["= ", "up a", "down a changed", "up a"]);
  });

  test("says nothing while the store does not answer, and the right thing after that", async () => {
    await register("a");
    const client = lab.client();
    const steps = watching({}, client);
    await lab.advance(0);
    client.cutOff();
    await register("b");
    await lab.txn(txnOf([], [putOp(ascii("/other"), ascii("1"))]));
    await lab.compact();
    await lab.advance(30_000);
    expect(told(steps)).toEqual(["= a"]);
    client.reconnect();
    await lab.advance(5_000);
    expect(steps.at(-1)!.instances.map(({ id }) => id)).toEqual(["a", "b"]);
    expect(steps.every(({ instances }) => instances.length > 0)).toBe(true);
  });

  test("goes on from a revision, or from anew when history is gone", async () => {
    await register("a");
    const { revision } = await lab.run(listServices(lab.client().context, "api"));
    await register("b");
    const first = async (): Promise<ServiceStep> => {
      for await (const step of watchServices(lab.client().context, "api", {}, { after: revision })) return step;
      throw new Error("it has ended");
    };
    expect(told([await lab.run(first())])).toEqual(["up b"]);
    await lab.compact();
    expect(told([await lab.run(first())])).toEqual(["= a b"]);
  });

  test("lists have another tag whenever they are others", async () => {
    const tags = new Map<string, string>();
    const steps = watching();
    const all = [];
    for (const id of ["a", "b", "c"]) all.push(await register(id));
    await lab.run(all[1]!.update({ port: 1 }));
    for (const one of all) await lab.run(one.leave());
    await register("a");
    await lab.advance(0);
    for (const { etag, instances } of steps) {
      const said = JSON.stringify(instances);
      expect(tags.get(etag) ?? said).toBe(said);
      tags.set(etag, said);
    }
    expect(tags.size).toBe(8); // the first one is empty, as is that after all have left
  });
});
