import { expect, test } from "vitest";
import { clusterIdOf, memberIdOf } from "./ids.ts";

const hex = (id: string) => BigInt(id).toString(16);

test("one member: the ids that etcd 3.4 gives with its defaults", () => {
  const member = memberIdOf(["http://localhost:2380"], "etcd-cluster");
  expect(hex(member)).toBe("8e9e05c52164694d");
  expect(hex(clusterIdOf([member]))).toBe("cdf818194e3a8c32");
});

test("another address and another token: what `etcdctl member list -w json` of an etcd 3.4.23 printed", () => {
  const member = memberIdOf(["http://127.0.0.1:24612"], "tok-a");
  expect(member).toBe("11916969014210473004");
  expect(clusterIdOf([member])).toBe("7722571928631111256");
});

test("three members, one with two addresses: what an etcd 3.4.23 logged for this --initial-cluster", () => {
  const of = (...urls: string[]) => memberIdOf(urls, "etcd-cluster");
  const a = of("http://127.0.0.1:24612", "http://127.0.0.1:24600");
  const b = of("http://10.0.0.2:2380");
  const c = of("http://10.0.0.10:2380");
  expect([a, b, c].map(hex)).toEqual(["ff90dd25c04365c0", "ee274cacce804b21", "6ec5b83a08746514"]);
  for (const order of [
    [a, b, c],
    [c, a, b],
  ]) {
    expect(hex(clusterIdOf(order))).toBe("7a4dcfd1baa326a"); // of 15 digits: the first is 0
  }
});

test("ids of different lengths in decimal are put in order as numbers", () => {
  expect(clusterIdOf(["9", "10"])).toBe(clusterIdOf(["10", "9"]));
  expect(clusterIdOf(["9", "10"])).not.toBe(clusterIdOf(["9", "11"]));
});
