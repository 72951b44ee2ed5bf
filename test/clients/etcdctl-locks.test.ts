/** `etcdctl lock` and `elect`, which are the recipes of Go's client, against each other and against the lock service of the JSON gateway. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ServerProcess } from "../helpers/start-server.ts";
import { untilTrue } from "../helpers/until-ready.ts";
import { Program } from "./program.ts";
import { CAN_COMPARE, SIDES, expectSame, startSide } from "./sides.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** Sides are tried side by side, the tests of one in turn. */
const IN_TURN = { concurrent: false };

describe.skipIf(!CAN_COMPARE).each(SIDES)("etcdctl on %s", { concurrent: true }, (side) => {
  let server: ServerProcess;

  beforeAll(async () => void (server = await startSide(side)));
  afterAll(() => server.stop());

  const etcdctl = (...args: string[]): Program => new Program("etcdctl", args, { ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: server.url });

  async function post(path: string, body: unknown): Promise<Record<string, string>> {
    const reply = await fetch(`${server.url}/v3/${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(20_000),
    });
    expect(reply.status).toBe(200);
    return (await reply.json()) as Record<string, string>;
  }

  async function keysUnder(prefix: string): Promise<string[]> {
    const { stdout } = await etcdctl("get", "--prefix", prefix, "--keys-only").ended;
    return stdout.split("\n").filter((line) => line !== "");
  }

  /** Waits until so many wait for it or have it. */
  const untilInLine = (name: string, count: number): Promise<void> =>
    untilTrue(async () => (await keysUnder(`${name}/`)).length === count, { what: () => `${count} in line for ${name}` });

  test("lock: two holders exclude each other, in the order of their coming", IN_TURN, async () => {
    const first = etcdctl("lock", "door");
    await first.until(/^door\/[0-9a-f]+\n/);
    const second = etcdctl("lock", "door");
    await untilInLine("door", 2);
    expect(second.stdout).toBe("");
    expect((await first.kill("SIGINT")).stdout).toMatch(/^door\/[0-9a-f]+\s+$/);
    await second.until(/^door\/[0-9a-f]+\n/);
    await second.kill("SIGINT");
    expect(await keysUnder("door/")).toEqual([]);
  });

  test("lock: who is killed loses it after the time to live", IN_TURN, async () => {
    const first = etcdctl("lock", "dead", "--ttl", "2");
    await first.until(/^dead\//);
    const second = etcdctl("lock", "dead");
    await untilInLine("dead", 2);
    await first.kill("SIGKILL");
    expect(second.stdout).toBe("");
    await second.until(/^dead\//);
    await second.kill("SIGINT");
  });

  test("lock: runs a command with the key, and ends with its code", IN_TURN, async () => {
    const { code, stdout } = await etcdctl("lock", "job", "--", "sh", "-c", "echo $ETCD_LOCK_KEY at $ETCD_LOCK_REV; exit 3").ended;
    expect(stdout).toMatch(/^job\/[0-9a-f]+ at \d+\n/);
    expect(code).toBe(1); // as etcdctl has it, whatever the command's is
    expect(await keysUnder("job/")).toEqual([]);
  });

  test("lock: /v3/lock/lock and etcdctl exclude each other", IN_TURN, async () => {
    const holder = etcdctl("lock", "both");
    await holder.until(/^both\//);
    const { ID } = await post("lease/grant", { TTL: "60" });
    const asked = post("lock/lock", { name: base64("both"), lease: ID });
    await untilInLine("both", 2);
    expect(await Promise.race([asked, keysUnder("both/")])).toHaveLength(2); // the lock was not given yet
    await holder.kill("SIGINT");
    const { key } = await asked;
    expect(Buffer.from(key!, "base64").toString()).toMatch(/^both\/[0-9a-f]+$/);
    const next = etcdctl("lock", "both");
    await untilInLine("both", 2);
    expect(next.stdout).toBe("");
    await post("lock/unlock", { key });
    await next.until(/^both\//);
    await next.kill("SIGINT");
  });

  test("elect: a leader, one that waits, and one that listens", IN_TURN, async () => {
    const first = etcdctl("elect", "chief", "one");
    await first.until(/^chief\/[0-9a-f]+\none\n/);
    const listener = etcdctl("elect", "--listen", "chief");
    await listener.until(/one\n/);
    const second = etcdctl("elect", "chief", "two");
    await untilInLine("chief", 2);
    expect(second.stdout).toBe("");
    await first.kill("SIGINT");
    await second.until(/two\n/);
    await listener.until(/one\n[^]*two\n/);
    const campaign = post("election/leader", { name: base64("chief") });
    expect(await campaign).toMatchObject({ kv: { value: base64("two") } });
    await second.kill("SIGINT");
    await listener.kill("SIGINT");
    expect(await keysUnder("chief/")).toEqual([]);
  });
});

describe.skipIf(!CAN_COMPARE)("etcdctl", () => {
  test("lock and elect without a name", IN_TURN, async () => {
    await expectSame(async (shell) => {
      for (const command of ["lock", "elect", "elect name", "elect --listen", "elect --listen a b", "lock a --ttl x"]) {
        await shell.run(`timeout 10 etcdctl ${command}`);
      }
    });
  });
});
