import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ascii } from "../../bytes/bytes.ts";
import type { CommandBody } from "../command.ts";
import { StateMachine } from "../state-machine.ts";
import type { AuthChange } from "./auth-change.ts";
import { AuthStore } from "./auth-store.ts";
import { type Permission, RangeSet } from "./permissions.ts";

const none = () => [];
const reasonOf = (act: () => unknown): string => {
  try {
    act();
    return "none";
  } catch (error) {
    return (error as { reason?: string }).reason ?? String(error);
  }
};

function store(...changes: AuthChange[]): AuthStore {
  const auth = new AuthStore();
  const root: AuthChange[] = [
    { op: "userAdd", name: "root", hash: "h" },
    { op: "userGrant", name: "root", role: "root" },
    { op: "userAdd", name: "u", hash: "h" },
    { op: "roleAdd", name: "r" },
    { op: "userGrant", name: "u", role: "r" },
  ];
  for (const change of [...root, ...changes, { op: "enable" } as const]) auth.apply(change);
  return auth;
}

const grant = (type: Permission["type"], key: string, end = ""): AuthChange => ({
  op: "roleGrant",
  name: "r",
  permission: { type, key: ascii(key), end: ascii(end) },
});
const put = (key: string, more = {}): CommandBody => ({
  kind: "put",
  key: ascii(key),
  value: ascii("v"),
  lease: "0",
  prevKv: false,
  ignoreValue: false,
  ignoreLease: false,
  ...more,
});

describe("RangeSet", () => {
  test("covers a range exactly when it covers each of its keys, however permissions meet and overlap", () => {
    const letter = fc.constantFrom("a", "b", "c", "d", "e");
    const range = fc.tuple(letter, fc.constantFrom("", "b", "d", "f", "\0"));
    const universe = ["a", "a\0", "ab", "b", "bb", "c", "cc", "d", "dd", "e", "ee", "f", "ff"];
    const holds = (key: string, [from, end]: [string, string]) => (end === "" ? key === from : key >= from && (end === "\0" || key < end));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 5 }), range, (permitted, [key, end]) => {
        const set = new RangeSet(permitted.map(([from, to]) => ({ type: "read", key: ascii(from), end: ascii(to) })));
        const keys = universe.filter((one) => holds(one, [key, end]));
        const covered = keys.every((one) => permitted.some((each) => holds(one, each)));
        // A range that covers all keys that there are may still leave room between them; never the other way round.
        if (set.covers(ascii(key), ascii(end))) expect(covered).toBe(true);
        if (end === "") expect(set.covers(ascii(key), ascii(end))).toBe(permitted.some((each) => holds(key, each)));
      }),
    );
  });

  test("permissions that touch are one", () => {
    const of = (...ranges: [string, string][]) =>
      new RangeSet(ranges.map(([key, end]) => ({ type: "read", key: ascii(key), end: ascii(end) })));
    expect(of(["b", "c"], ["a", "b"]).covers(ascii("a"), ascii("c"))).toBe(true);
    expect(of(["a", "b"], ["b", "\0"]).covers(ascii("a"), ascii("\0"))).toBe(true);
    expect(of(["a", "b"], ["c", "d"]).covers(ascii("a"), ascii("d"))).toBe(false);
  });
});

describe("AuthStore", () => {
  test("is switched on only when root can switch it off", () => {
    const auth = new AuthStore();
    expect(reasonOf(() => auth.apply({ op: "enable" }))).toBe("rootUserNotExist");
    auth.apply({ op: "userAdd", name: "root", hash: "h" });
    expect(reasonOf(() => auth.apply({ op: "enable" }))).toBe("rootRoleNotExist");
    auth.apply({ op: "userGrant", name: "root", role: "root" });
    auth.apply({ op: "enable" });
    expect(auth.enabled).toBe(true);
    for (const change of [
      { op: "userDelete", name: "root" },
      { op: "userRevoke", name: "root", role: "root" },
      { op: "roleDelete", name: "root" },
    ] as const) {
      expect(reasonOf(() => auth.apply(change))).toBe("invalidAuthManagement");
    }
  });

  test.each<[string, CommandBody, string]>([
    ["a put that is permitted", put("w"), "none"],
    ["a put with the value before, which must be readable", put("w", { prevKv: true }), "permissionDenied"],
    ["a put elsewhere", put("x"), "permissionDenied"],
    ["a delete of a range beyond the permission", { kind: "delete", key: ascii("w"), end: ascii("y"), prevKv: false }, "permissionDenied"],
    [
      "a v2 write below a directory",
      {
        kind: "v2",
        method: "delete",
        path: ascii("/d"),
        dir: true,
        recursive: true,
        value: ascii(""),
        ttlSeconds: null,
        refresh: false,
        prevValue: null,
        prevIndex: null,
        prevExist: null,
      },
      "none",
    ],
    ["a change of users", { kind: "auth", change: { op: "userAdd", name: "x", hash: null } }, "permissionDenied"],
    ["a lease", { kind: "leaseGrant", id: "5", ttlSeconds: 5 }, "none"],
    ["what the leader does on its own account", { kind: "leaseRevoke", id: "5", term: 3 }, "none"],
  ])("judges %s", (_what, command, reason) => {
    const auth = store(grant("write", "w"), grant("readwrite", "/d"), grant("readwrite", "/d/", "/d0"));
    const of = (user: string) => ({ user, revision: auth.revision });
    expect(reasonOf(() => auth.checkCommand(command, of("u"), none))).toBe(reason);
    expect(reasonOf(() => auth.checkCommand(command, of("root"), none))).toBe("none");
    const anybody = reason === "none" && (command.kind === "leaseGrant" || command.kind === "leaseRevoke");
    for (const auth_ of [of(""), undefined]) {
      expect(reasonOf(() => auth.checkCommand(command, auth_, none))).toBe(anybody ? "none" : "userEmpty");
    }
  });

  test("who binds a key to a lease, or ends one, touches all of its keys", () => {
    const auth = store(grant("readwrite", "w"));
    const of = { user: "u", revision: auth.revision };
    const keysOf = (lease: string) => (lease === "7" ? [ascii("other")] : []);
    expect(reasonOf(() => auth.checkCommand(put("w", { lease: "7" }), of, keysOf))).toBe("permissionDenied");
    expect(reasonOf(() => auth.checkCommand({ kind: "leaseRevoke", id: "7", term: 0 }, of, keysOf))).toBe("permissionDenied");
    expect(reasonOf(() => auth.checkCommand({ kind: "leaseRevoke", id: "8", term: 0 }, of, keysOf))).toBe("none");
  });

  test("a command that was judged by older users and roles is not taken", () => {
    const auth = store(grant("readwrite", "w"));
    const of = { user: "u", revision: auth.revision };
    auth.apply({ op: "roleRevoke", name: "r", key: ascii("w"), end: ascii("") });
    expect(reasonOf(() => auth.checkCommand(put("w"), of, none))).toBe("authOldRevision");
    expect(reasonOf(() => auth.checkCommand(put("w"), { ...of, revision: auth.revision }, none))).toBe("permissionDenied");
  });

  test("tokens end with the password, the user, and authentication itself", () => {
    const auth = store();
    const heard: string[] = [];
    auth.listen({ token: (token, user) => heard.push(`${token} ${user}`), voided: (user) => heard.push(`void ${user}`) });
    auth.apply({ op: "token", name: "u", token: "t", hash: "h" });
    expect(reasonOf(() => auth.apply({ op: "token", name: "u", token: "t", hash: "old" }))).toBe("authFailed");
    auth.apply({ op: "userPassword", name: "u", hash: "new" });
    auth.apply({ op: "userDelete", name: "u" });
    auth.apply({ op: "disable" });
    expect(heard).toEqual(["t u", "void u", "void u", "void null"]);
  });

  test("snapshots carry users and roles; without any, snapshot and hash are what they were", async () => {
    const machine = new StateMachine({ quotaBytes: 1e9 });
    let index = 0;
    const apply = (change: AuthChange) => machine.apply({ kind: "auth", change, time: 1 }, { index: ++index, term: 1 });
    const copy = async () => {
      const frozen = machine.freeze({ clusterId: "7", index, term: 1 });
      const other = new StateMachine({ quotaBytes: 1e9 });
      async function* chunks() {
        yield* frozen.chunks();
      }
      await other.restore(chunks());
      frozen.release();
      return other;
    };
    const bare = machine.hash();
    expect((await copy()).hash()).toBe(bare);
    apply({ op: "userAdd", name: "ü", hash: null });
    apply({ op: "roleAdd", name: "r" });
    apply({ op: "roleGrant", name: "r", permission: { type: "read", key: ascii("\u00ff\0"), end: ascii("") } });
    const restored = await copy();
    expect(restored.hash()).toBe(machine.hash());
    expect(restored.hash()).not.toBe(bare);
    expect(restored.auth.role("r")?.permissions).toEqual(machine.auth.role("r")?.permissions);
    expect(restored.auth.userNames()).toEqual(["ü"]);
  });
});
