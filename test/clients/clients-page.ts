/** docs/clients.md, made from the tests of this folder: `node test/clients/clients-page.ts` writes it anew. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";

export const CLIENTS_PAGE = join(PROJECT_ROOT, "docs", "clients.md");

export interface TriedClient {
  readonly name: string;
  /** Of Debian or npm, with the version that was tried. */
  readonly package: string;
  readonly version: string;
  readonly speaks: string;
  /** Of tests and scripts in this folder. */
  readonly files: readonly string[];
  /** Left out: the same as with etcd. */
  readonly but?: string;
}

export const CLIENTS: readonly TriedClient[] = [
  {
    name: "`etcdctl` (`ETCDCTL_API=3`), and in it Go's client with its recipes",
    package: "etcd-client",
    version: "3.4.23",
    speaks: "gRPC, plain and over mTLS",
    files: ["etcdctl-keys.test.ts", "etcdctl-admin.test.ts", "etcdctl-locks.test.ts", "etcdctl-cluster.test.ts", "etcdctl-tls.test.ts"],
    but: "`snapshot status` and `restore` know etcd's databases only",
  },
  {
    name: "`etcdctl` (`ETCDCTL_API=2`)",
    package: "etcd-client",
    version: "3.4.23",
    speaks: "v2",
    files: ["etcdctl-v2.test.ts"],
    but: "`user`, `role` and `auth` of v2 are not there: v2 obeys the users of v3",
  },
  { name: "etcd3 for Node", package: "etcd3", version: "1.1.2", speaks: "gRPC (grpc-js)", files: ["npm-etcd3.test.ts"] },
  { name: "etcd3 for Python", package: "python3-etcd3", version: "0.12.0", speaks: "gRPC", files: ["python_etcd3.py"] },
  { name: "etcd3gw for Python", package: "python3-etcd3gw", version: "2.0.0", speaks: "JSON gateway", files: ["python_etcd3gw.py"] },
  { name: "python-etcd", package: "python3-etcd", version: "0.4.5", speaks: "v2", files: ["python_etcd.py"] },
  {
    name: "Patroni's store, `etcd3` and `etcd`",
    package: "patroni",
    version: "3.0.2",
    speaks: "JSON gateway; v2",
    files: ["patroni_dcs.py"],
  },
];

const HEAD = `# Clients that were tried

<!-- Made from the tests in test/clients by \`node test/clients/clients-page.ts\`; a test compares them. -->

Programs written for etcd, unchanged, against a real \`quorate serve\`. Each test is also run against a real etcd 3.4.23, so that what is expected
is what etcd does; \`etcdctl\`'s output is compared with what it shows of etcd, line by line. \`npx vitest run test/clients\` repeats all of it; a
client that is not installed is skipped by name. What differs on purpose: [differences-from-etcd.md](differences-from-etcd.md).
`;

/** What a file tries, in its own words: the names of its tests, or what a script says of itself. */
export function tried(file: string): string[] {
  const text = readFileSync(join(import.meta.dirname, file), "utf8");
  if (file.endsWith(".py")) return [/^"""(.*)"""/.exec(text)![1]!];
  return [...text.matchAll(/^ {2}test(?:\.\w+)*\(\s*"([^"]+)"/gm)].map((found) => found[1]!);
}

/** The whole page. */
export function clientsPage(): string {
  const rows = CLIENTS.map(({ name, package: from, version, speaks, but }) => [
    name,
    `${from} ${version}`,
    speaks,
    but === undefined ? "as etcd" : `as etcd, but ${but}`,
  ]);
  const sections = CLIENTS.map(
    ({ name, files }) =>
      `## ${name}\n\n${files
        .flatMap((file) => tried(file))
        .map((one) => `- ${one}`)
        .join("\n")}\n`,
  );
  return [HEAD, ...table([["client", "package", "speaks", "result"], ...rows]), "", ...sections].join("\n");
}

/** Of Markdown, as the formatter has it. @param rows the first is the head */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const [head, ...others] = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`);
  return [head!, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...others];
}

if (import.meta.main) writeFileSync(CLIENTS_PAGE, clientsPage());
