/** One line of the result: a measure of ours, of etcd, and what was to be reached. */

export interface Target {
  /** Ours divided by etcd's, or our figure itself. */
  readonly of: "ratio" | "ours";
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Row {
  readonly workload: string;
  /** With its unit. */
  readonly measure: string;
  readonly ours: number;
  /** undefined without etcd, or where it has no such measure. */
  readonly etcd: number | undefined;
  readonly target?: Target;
}

/** Where a row's text goes, and what is left to be seen from outside while it runs. */
export type Progress = (text: string) => void;

/** A few figures a digit, so that the table is as exact as the measurement. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (value >= 1_000) return Math.round(value).toLocaleString("en-US");
  return value.toPrecision(3);
}

export function verdict(row: Row): { ratio: string; target: string; reached: string } {
  const ratio = row.etcd === undefined ? undefined : row.ours / row.etcd;
  const ratioText = ratio === undefined ? "-" : `${ratio.toFixed(2)}×`;
  if (row.target === undefined) return { ratio: ratioText, target: "", reached: "" };
  const { of, atLeast, atMost } = row.target;
  const unit = of === "ratio" ? "×" : "";
  const target = atLeast === undefined ? `≤ ${atMost}${unit}` : `≥ ${atLeast}${unit}`;
  const value = of === "ratio" ? ratio : row.ours;
  if (value === undefined) return { ratio: ratioText, target, reached: "no etcd" };
  const reached = value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity);
  return { ratio: ratioText, target, reached: reached ? "reached" : "MISSED" };
}

/** A table as Markdown, so that it can be pasted into docs/performance.md. */
export function table(rows: readonly Row[]): string {
  const lines = [["workload", "measure", "quorate", "etcd", "ratio", "target", ""]];
  for (const row of rows) {
    const { ratio, target, reached } = verdict(row);
    lines.push([row.workload, row.measure, figure(row.ours), row.etcd === undefined ? "-" : figure(row.etcd), ratio, target, reached]);
  }
  const widths = (lines[0] as string[]).map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  const print = (line: readonly string[]): string => `| ${line.map((cell, n) => cell.padEnd(widths[n] ?? 0)).join(" | ")} |`;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [print(lines[0] as string[]), rule, ...lines.slice(1).map(print)].join("\n");
}
