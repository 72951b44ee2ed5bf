import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { type LabClient, RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { Membership, type View, type ViewStep, assign, readGroup, watchGroup, whenEmpty, whenGone, whenSize } from "./groups.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

const context = () => lab.client().context;
const join = (id: string, client: LabClient = lab.client(), options = {}) =>
  lab.run(Membership.join(client.context, "g", { is: id }, { id, ttl: "10s", ...options }));

function watching(options = {}): ViewStep[] {
  const steps: ViewStep[] = [];
  void (async () => {
    for await (const step of watchGroup(context(), "g", options)) steps.push(step);
  })();
  return steps;
}

const told = (steps: readonly ViewStep[]) =>
  steps.map(({ changes, members }) =>
    changes === null ? `= ${members.map(({ id }) => id).join(" ")}` : changes.map(({ type, member }) => `${type} ${member.id}`).join(", "),
  );

test("members see each other, and tell who left from who failed", async () => {
  const steps = watching();
  const dying = lab.client();
  const one = await join("a");
  const two = await join("b");
  await join("c", dying);
  await lab.advance(0);
  expect(one.members()).toEqual(two.members());
  expect(one.members().map(({ id, data }) => [id, data])).toEqual([
    ["a", { is: "a" }],
    ["b", { is: "b" }],
    ["c", { is: "c" }],
  ]);
  await lab.run(two.update("new"));
  await lab.run(two.leave());
  dying.kill();
  await lab.advance(11_000);
  expect(told(steps)).toEqual(["= ", "join a", "join b", "join c", "update b", "leave b", "fail c"]);
  expect(one.members().map(({ id }) => id)).toEqual(["a"]);
});

test("two who leave at once both leave", async () => {
  const all = [await join("a"), await join("b"), await join(".left")];
  const steps = watching();
  await lab.advance(0);
  await lab.run(Promise.all(all.map((one) => one.leave())));
  await lab.advance(0);
  expect(told(steps).toSorted()).toEqual(["= .left a b", "leave .left", "leave a", "leave b"]);
  expect([lab.keys(), lab.leases()]).toEqual([[], []]);
});

test("one that died and came back has another incarnation", async () => {
  const client = lab.client();
  const one = await join("a", client);
  const first = one.incarnation;
  client.cutOff();
  const gone = whenGone(context(), "g", "a", { incarnation: first });
  await lab.advance(11_000);
  expect((await lab.run(gone))!.members).toEqual([]);
  client.reconnect();
  await lab.advance(3_000);
  expect(one.incarnation).toBeGreaterThan(first);
  expect((await lab.run(whenGone(context(), "g", "a", { incarnation: first })))!.members[0]!.incarnation).toBe(one.incarnation);
});

test("damped, a failure is told only when the member does not come back", async () => {
  const raw = watching();
  const steps = watching({ stableFor: "5s" });
  const [flapping, dying] = [lab.client(), lab.client()];
  await join("a", flapping);
  await join("b", dying);
  const last = await join("c");
  flapping.cutOff();
  await lab.advance(11_000);
  flapping.reconnect();
  await lab.advance(4_000);
  expect(told(raw)).toEqual(["= ", "join a", "join b", "join c", "fail a", "join a"]);
  expect(told(steps)).toEqual(["= ", "join a", "join b", "join c", "update a"]);
  dying.kill();
  await lab.run(last.leave());
  await lab.advance(10_000);
  const before = steps.length;
  expect(steps.at(-1)!.members.map(({ id }) => id)).toEqual(["a", "b"]);
  await lab.advance(6_000);
  expect(told(steps.slice(before))).toEqual(["fail b"]);
});

test("waits are for a size, for nobody, and have an end", async () => {
  expect((await lab.run(whenEmpty(context(), "g")))!.members).toEqual([]);
  const three = whenSize(context(), "g", 2);
  expect(await lab.run(whenSize(context(), "g", 1, { wait: "1s" }))).toBeNull();
  const one = await join("a");
  const two = await join("b");
  expect((await lab.run(three))!.members).toHaveLength(2);
  const empty = whenEmpty(context(), "g");
  await lab.run(one.leave());
  await lab.compact();
  await lab.run(two.leave());
  expect((await lab.run(empty))!.members).toEqual([]);
  const aborted = new AbortController();
  const waiting = whenSize(context(), "g", 1, { signal: aborted.signal });
  aborted.abort(new Error("enough"));
  await expect(lab.run(waiting)).rejects.toThrow("enough");
});

describe("sharing work", () => {
  const viewOf = (...ids: string[]): View => ({
    revision: 1,
    etag: "",
    members: ids.map((id) => ({ id, data: null, since: null, incarnation: 1, revision: 1 })),
  });
  const keys = Array.from({ length: 3_000 }, (_, n) => `key-${n}`);

  test("moves only the keys of who left, to all the others alike", () => {
    const before = assign(keys, viewOf("a", "b", "c", "d"));
    const after = assign(keys, viewOf("a", "b", "d"));
    const moved = keys.filter((key) => before.get(key) !== after.get(key));
    expect(moved.every((key) => before.get(key) === "c")).toBe(true);
    for (const id of ["a", "b", "d"]) {
      expect(moved.filter((key) => after.get(key) === id).length).toBeGreaterThan(moved.length / 4);
      expect([...before.values()].filter((owner) => owner === id).length).toBeGreaterThan(keys.length / 5);
    }
  });

  test("does not depend on the order, and gives nothing to nobody", () => {
    expect(assign(keys, viewOf("c", "a", "b"))).toEqual(assign(keys, viewOf("a", "b", "c")));
    expect(assign(keys, viewOf()).size).toBe(0);
  });

  test("each key is owned by one of the members of a view", async () => {
    const all = [await join("a"), await join("b"), await join("c")];
    await lab.advance(0);
    for (const key of keys.slice(0, 50)) expect(all.filter((one) => one.owns(key))).toHaveLength(1);
  });
});

test("each call may be lost: one member, who left", async () => {
  const { runs } = await withEachFault(
    async (one, client) => {
      const steps: ViewStep[] = [];
      const watcher = one.client().context;
      void (async () => {
        for await (const step of watchGroup(watcher, "g")) steps.push(step);
      })();
      const member = await one.run(Membership.join(client.context, "g", 1, { id: "a", ttl: "30s" }));
      await one.advance(1_000);
      const seen = (await one.run(readGroup(one.client().context, "g"))).members.map(({ id }) => id);
      await one.run(member.leave());
      await one.advance(4_000);
      return { seen, told: told(steps), left: [one.keys(), one.leases()] };
    },
    (result) => expect(result).toEqual({ seen: ["a"], told: ["= ", "join a", "leave a"], left: [[], []] }),
  );
  expect(runs).toBeGreaterThan(3 * 5);
});
