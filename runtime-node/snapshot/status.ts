/** What `quorate snapshot status` prints: etcdctl's four columns, then where in the life of its cluster the backup stands. */
import { tableOf } from "../commands/table.ts";
import type { Backup } from "./backup-file.ts";

export const STATUS_FORMATS = ["simple", "json", "table"] as const;
export type StatusFormat = (typeof STATUS_FORMATS)[number];

/** @returns one line (simple, json) or a table, without a line end */
export function formatStatus({ header, state, bytes }: Backup, format: StatusFormat): string {
  const { hash, revision, index, term, clusterId } = header;
  const totalKey = state.keyCount();
  if (format === "json") return JSON.stringify({ hash, revision, totalKey, totalSize: bytes, index, term, clusterId });
  const cells = [
    hash.toString(16),
    String(revision),
    String(totalKey),
    humanBytes(bytes),
    String(index),
    String(term),
    BigInt(clusterId).toString(16),
  ];
  if (format === "simple") return cells.join(", ");
  return tableOf({ heads: ["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "INDEX", "TERM", "CLUSTER ID"], rows: [cells] });
}

/** As etcdctl writes sizes: powers of 1000, one digit after the point below 10. */
export function humanBytes(bytes: number): string {
  if (bytes < 10) return `${bytes} B`;
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = Math.floor((bytes / 1000 ** power) * 10 + 0.5) / 10;
  return `${value < 10 ? value.toFixed(1) : halfToEven(value)} ${units[power]}`;
}

/** As Go prints a number without digits after the point: 20.5 is 20. */
function halfToEven(value: number): number {
  const whole = Math.floor(value);
  return value - whole === 0.5 && whole % 2 === 0 ? whole : Math.round(value);
}
