/** How a member without a log begins. With real members: test/cluster/members.test.ts. */
import { expect, test } from "vitest";
import { type BeginningOptions, beginningOf } from "./beginning.ts";

const self = { name: "m1", peerUrls: ["http://m1:2380"] };
const OPTIONS: BeginningOptions = {
  state: "existing",
  initialCluster: [self],
  ...self,
  token: "t",
  greet: () => Promise.reject(new Error("nobody is there")),
  newDiskId: () => "9",
  pause: () => Promise.resolve(),
  onNotice: () => {},
};

test("who is to join a cluster of which it knows nobody is told so at once, by the names of the flags", async () => {
  const notices: string[] = [];
  const joining = beginningOf({ ...OPTIONS, onNotice: (message) => notices.push(message) }, null);
  await expect(joining).rejects.toThrow(/--initial-cluster-state is existing, and --initial-cluster names no member/);
  expect(notices).toEqual([]);
});

test("who is to join asks for a while, and then names whom it asked", async () => {
  const initialCluster = [self, { name: "m2", peerUrls: ["http://m2:2380"] }];
  await expect(beginningOf({ ...OPTIONS, initialCluster }, null)).rejects.toThrow("http://m2:2380: nobody is there");
});
