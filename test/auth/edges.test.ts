/** Edges of permissions and tokens, each asked of a real etcd too where there is one. */
import { afterEach, describe, expect, test } from "vitest";
import type { ServerProcess } from "../helpers/start-server.ts";
import { SIDES, startSide } from "../clients/sides.ts";
import { addUsers, call, tokenOf } from "./users.ts";

const DENIED = "403 etcdserver: permission denied";
const base64 = (text: string): string => Buffer.from(text, "latin1").toString("base64");

describe.each(SIDES)("of %s", (side) => {
  let server: ServerProcess;
  afterEach(() => server.stop());

  test("ranges that end before they begin are judged as etcd does", async () => {
    server = await startSide(side);
    await addUsers(server);
    const root = await tokenOf(server, "root");
    const grants = [
      ["d", "f"],
      ["x", "\0"],
      ["z", "y"],
      ["h", "h"],
    ] as const;
    for (const [key, end] of grants) {
      const perm = { permType: "READWRITE", key: base64(key), range_end: base64(end) };
      expect(await call(server, "auth/role/grant", { name: "r", perm }, root)).toBe("200 ok");
    }
    const user = await tokenOf(server, "u");
    const asked = (key: string, end: string, token: string) =>
      Promise.all(["kv/range", "kv/deleterange"].map((path) => call(server, path, { key: base64(key), range_end: base64(end) }, token)));
    const outcomes = [];
    for (const [key, end] of [
      ["e", "d"],
      ["f", "d"],
      ["x", "a"],
      ["z", "y"],
      ["h", "h"],
      ["d", "e"],
      ["y", "\0"],
    ] as const) {
      outcomes.push([`${key}-${end}`, ...(await asked(key, end, user))]);
    }
    const denied = [DENIED, DENIED];
    expect(outcomes).toEqual([
      ["e-d", "200 ok", "200 ok"],
      ["f-d", ...denied],
      ["x-a", ...denied],
      ["z-y", "200 ok", "200 ok"],
      ["h-h", ...denied],
      ["d-e", "200 ok", "200 ok"],
      ["y-\0", "200 ok", "200 ok"],
    ]);
    expect(await asked("e", "d", root)).toEqual(["200 ok", "200 ok"]);
  });

  test("an empty token is a wrong one", async () => {
    server = await startSide(side);
    expect(await call(server, "kv/range", { key: base64("a") }, "")).toBe("401 etcdserver: invalid auth token");
    await addUsers(server);
    expect(await call(server, "kv/range", { key: base64("a") }, "")).toBe("401 etcdserver: invalid auth token");
    expect(await call(server, "kv/range", { key: base64("a") })).toBe("400 etcdserver: user name is empty");
  });

  test("who may not change members and roles learns nothing of them", async () => {
    server = await startSide(side);
    await addUsers(server);
    const user = await tokenOf(server, "u");
    for (const [path, body] of [
      ["cluster/member/update", { ID: 9, peerURLs: ["http://127.0.0.1:1"] }],
      ["cluster/member/remove", { ID: 9 }],
      ["cluster/member/promote", { ID: 9 }],
      ["auth/role/grant", { name: "nobody's" }],
      ["auth/role/delete", { role: "nobody's" }],
      ["auth/user/delete", { name: "nobody" }],
    ] as const) {
      expect([path, await call(server, path, body, user)]).toEqual([path, DENIED]);
      expect([path, await call(server, path, body)]).toEqual([path, "400 etcdserver: user name is empty"]);
    }
  });
});
