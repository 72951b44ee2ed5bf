/** Tables as etcdctl draws them: headings centred, values to the right. */

/** @returns without a line end */
export function tableOf({ heads, rows }: { readonly heads: readonly string[]; readonly rows: readonly (readonly string[])[] }): string {
  const widths = heads.map((head, at) => Math.max(head.length, ...rows.map((row) => row[at]!.length)));
  const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
  const centred = (text: string, width: number): string => text.padStart(text.length + Math.floor((width - text.length) / 2)).padEnd(width);
  const line = (texts: readonly string[]): string => `| ${texts.join(" | ")} |`;
  return [
    rule,
    line(heads.map((head, at) => centred(head, widths[at]!))),
    rule,
    ...rows.map((row) => line(row.map((cell, at) => cell.padStart(widths[at]!)))),
    rule,
  ].join("\n");
}
