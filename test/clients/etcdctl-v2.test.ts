/** `etcdctl` with `ETCDCTL_API=2`, on the v2 keys API: what it shows is what it shows of a real etcd. */
import { describe, expect, test } from "vitest";
import { CAN_COMPARE, startSide, type Side } from "./sides.ts";
import { Transcript } from "./transcript.ts";

const COMMANDS = [
  ...["set /a 1", "set /a 2", "set /a 3 --swap-with-value 2", "set /a 3 --swap-with-value 2", "set /a 4 --swap-with-index 1"],
  ...["set /t 1 --ttl 1000", "get /a", "get /a --quorum", "get /none", "mk /a 1", "mk /m 1", "mk --in-order /q one", "mk /ttl 1 --ttl 500"],
  ...["mkdir /d", "mkdir /d", "mkdir /dt --ttl 500", "setdir /d2 --ttl 1000", "set /d/x 1", "set /d/y/z 2"],
  ...["ls --sort", "ls --sort / --recursive", "ls --sort /d -p", "ls --sort --recursive -p", "ls /a", "ls /none"],
  ...["update /a 5", "update /none 5", "update /a 6 --ttl 1000", "updatedir /d2 --ttl 2000", "updatedir /none", "get /d", "set /d 1"],
  ...[
    "rm /d",
    "rmdir /d",
    "rm /d --recursive",
    "rm /a --with-value 7",
    "rm /a --with-index 1",
    "rm /a",
    "rm /a",
    "rmdir /d2",
    "rmdir /none",
  ],
  ...["-o json get /m", "-o extended get /m", "-o json set /m 2", "-o json ls /q", "rm --dir /m", "cluster-health", "member list"],
];

/** etcd's own entries come before the first write, and differ in number: indexes are told from one known write on. */
async function shown(side: Side): Promise<string> {
  const server = await startSide(side);
  try {
    const shell = new Transcript({ url: server.url, api: 2 });
    const base = Number(/Modified-Index: (\d+)/.exec((await shell.quietly("etcdctl -o extended set /base x")).stdout)![1]);
    for (const command of COMMANDS) await shell.run(`etcdctl ${command}`);
    // Events of the past, one by one.
    for (const path of ["/a", "--recursive /d"]) await shell.run(`etcdctl watch --after-index ${base} ${path}`);
    const forever = shell.start(`etcdctl watch --forever --recursive --after-index ${base} /d`);
    await forever.until(/\[set\] \/d\/y\/z\n2\n/);
    shell.note("etcdctl watch --forever", { ...(await forever.kill()), code: 0 });
    return shell
      .text()
      .replaceAll(
        /(Index: |Index":|after-index |\] \[|\(\[1 != )(\d+)/g,
        (_, before: string, index: string) => `${before}${Number(index) - base}`,
      )
      .replaceAll(
        /^(stderr: .* \[)(\d+)(\])/gm,
        (_, before: string, index: string, after: string) => before + (Number(index) - base) + after,
      );
  } finally {
    await server.stop();
  }
}

describe.skipIf(!CAN_COMPARE)("etcdctl of v2", () => {
  test("set, get, mk, mkdir, setdir, ls, update, updatedir, rm, rmdir, watch, cluster-health, member list", async () => {
    const [etcd, quorate] = await Promise.all([shown("etcd"), shown("quorate")]);
    expect(quorate).toBe(etcd);
    expect(quorate).toContain("cluster is healthy");
    expect(quorate).toContain("Compare failed");
  });

  test("auth, user and role say where the users are", async () => {
    const server = await startSide("quorate");
    try {
      const shell = new Transcript({ url: server.url, api: 2 });
      for (const command of ["auth enable", "user list", "user add u:pw", "user get u", "role add r"]) {
        const { code, stderr, stdout } = await shell.quietly(`etcdctl ${command}`);
        expect([command, stdout + stderr]).toEqual([command, expect.stringContaining("it obeys those of v3")]);
        expect([command, code]).not.toEqual([command, 0]);
      }
    } finally {
      await server.stop();
    }
  });
});
