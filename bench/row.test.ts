import { expect, test } from "vitest";
import { median } from "./load/load-result.ts";
import { figure, table, verdict } from "./row.ts";

test("verdict() compares the ratio, or our own figure, with the target", () => {
  const row = { workload: "w", measure: "m", ours: 30, etcd: 10 };
  expect(verdict({ ...row, target: { of: "ratio", atLeast: 2.5 } })).toEqual({ ratio: "3.00×", target: "≥ 2.5×", reached: "reached" });
  expect(verdict({ ...row, target: { of: "ratio", atMost: 2 } }).reached).toBe("MISSED");
  expect(verdict({ ...row, target: { of: "ours", atMost: 20 } })).toEqual({ ratio: "3.00×", target: "≤ 20", reached: "MISSED" });
  expect(verdict({ ...row, etcd: undefined, target: { of: "ratio", atMost: 2 } }).reached).toBe("no etcd");
  expect(verdict(row)).toEqual({ ratio: "3.00×", target: "", reached: "" });
});

test("median() is the middle", () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([])]).toEqual([2, 2.5, Number.NaN]);
});

test("table() has one line a row, and its columns are aligned", () => {
  const lines = table([{ workload: "a long name", measure: "ms", ours: 1234.5, etcd: undefined }]).split("\n");
  expect(lines).toHaveLength(3);
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  expect([figure(1234.5), figure(12.345), figure(Number.NaN)]).toEqual(["1,235", "12.3", "-"]);
});
