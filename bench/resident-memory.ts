/** How much memory a process takes, as its system sees it. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Resident set of a process; on Linux from /proc, else from ps. */
export function residentMegabytes(pid: number): number {
  let kilobytes: number;
  try {
    kilobytes = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    kilobytes = Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" }).trim());
  }
  return kilobytes / 1024;
}
