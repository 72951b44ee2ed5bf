/**
 * docs/compatibility.md, made from real runs: `npm run docs:compatibility` starts the server on each runtime, asks it the recorded cases over
 * each protocol, and writes how many pass. A further runtime is a further column: something with a title that answers for each protocol.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CaseResult } from "../conformance/run-suite.ts";
import { casesOf } from "../conformance/run-suite.ts";
import { RUNTIME_NAMES, runtime } from "../helpers/runtimes.ts";
import { PROJECT_ROOT, startQuorate } from "../helpers/start-quorate.ts";
import { startQuorateWorker, workerd } from "../helpers/start-quorate-worker.ts";
import {
  CANNOT_BE,
  NOT_SERVED,
  PROTOCOLS,
  type Place,
  type Protocol,
  cannotBeOn,
  conformanceOf,
  skippedOf,
  suiteOf,
} from "./runtime-conformance.ts";

export const COMPATIBILITY_PAGE = join(PROJECT_ROOT, "docs", "compatibility.md");

/** In the order of the columns. */
export const PLACES: readonly Place[] = [...RUNTIME_NAMES, "workerd"];

/** undefined: it is not installed here. */
export const placeOf = (name: Place): { readonly title: string; readonly version: string } | undefined =>
  name === "workerd" ? workerd : runtime(name);

/** Results by name of the case, or why the protocol is not served. */
export type Outcome = ReadonlyMap<string, Pick<CaseResult, "ok">> | string;

export interface Column {
  /** With the version. */
  readonly title: string;
  readonly outcomes: Readonly<Record<Protocol, Outcome>>;
}

const TITLES: Readonly<Record<Protocol, string>> = { v2: "v2 keys API", v3: "v3 JSON gateway", gRPC: "v3 over gRPC" };

const HEAD = `# Runtimes

<!-- Made from runs of the recorded cases on each runtime by \`npm run docs:compatibility\`. -->

The same sources serve on Node, Deno and Bun, and as a Worker with Durable Objects. Each number is how many of the conversations recorded from
etcd 3.4.23 (\`test/conformance\`) pass against a real \`quorate serve\` on that runtime, or against the Worker in workerd, the program that the
platform itself runs; \`npm test\` runs all of them again.
`;

const STATEMENT = `
## Node

All that there is; the other runtimes are measured by it.

## Deno

\`deno task start\` serves from the sources, after \`npm ci\`; flags follow. Files with \`fdatasync\`, recovery after \`kill -9\`, clusters with Node over
TCP and mTLS and with Bun over TCP, TLS for clients with certificates, and gRPC with and without TLS are served, and tried in
\`test/runtimes\`. What its TLS does not do is refused at the start with the name of the flag:

- \`--client-crl-file\`, \`--peer-crl-file\`: it looks at no revocation lists.
- \`--cipher-suites\`: it chooses among suites of its own. Versions (\`--tls-min-version\`) count.
- \`--client-cert-allowed-hostname\`, \`--peer-cert-allowed-hostname\`: it does not tell the alternative names of a certificate.

\`deno task dev\` starts it anew with each change of a source. Where Deno may not listen for peers or write files, as on Deno Deploy and its like,
\`quorate/relay\` serves the same APIs [before a cluster](deploy.md#before-a-cluster): tried with \`Deno.serve\` and \`deno serve\` of Deno 2.9.6,
with the right to use the network alone, not on the platform itself.

A client's certificate without any alternative name is turned away by Deno's TLS itself; on Node and etcd it is good.

## Bun

\`bun run start:bun\` serves v2 and v3 JSON, with files as on Node, and is a member of a cluster over plain TCP, with Node and Deno.

- **gRPC is not served on Bun**: its HTTP/2 closes connections of Go's gRPC clients while they begin. The log says so at the start; a
  connection that begins with HTTP/2 is answered with an error of HTTP/1.1.
- **TLS is not served on Bun**: an \`https\` address to listen on, for clients or members, is refused at the start. Its checks of
  certificates do not pass our tests.
- **Who hangs up is not always noticed on Bun**: a client of \`/v1/locks\` and its like that goes away while it waits in line, or while its
  open connection holds the lock, keeps its place. Let locks end by their time to live there, or use Node or Deno.

## Workers

Each namespace is one Durable Object, with its state in SQLite tables: [workers.md](workers.md). v2, v3 JSON and \`/v1\` are served, with streams, long
polls and WebSockets that outlive the object's sleep.

- **gRPC is not served on Workers**: a reply cannot end with trailers there. A gRPC client is told so by name, with status 12 (unimplemented).
- There are no members to add and no TLS to configure: the platform has its own of each.
${Object.entries(CANNOT_BE.workerd!)
  .map(([name, reason]) => `- Case \`${name}\`: ${reason}.`)
  .join("\n")}

\`QUORATE_TEST_RUNTIME=deno npx vitest run test/v1\` starts the servers of any test on another runtime: all of \`/v1\`, with WebSockets, passes on
Deno; on Bun all but what is named above and what \`etcdctl\` does over gRPC.
`;

/** Names of cases by what they are about, as the page's rows have them. */
export function areasOf(protocol: Protocol): Map<string, string[]> {
  const suite = suiteOf(protocol);
  const areas = new Map<string, string[]>();
  for (const name of casesOf(suite).filter((one) => !skippedOf(protocol).includes(one))) {
    const file = join(import.meta.dirname, "..", "conformance", "cases", suite, `${name}.json`);
    const { area } = JSON.parse(readFileSync(file, "utf8")) as { area: string };
    areas.set(area, [...(areas.get(area) ?? []), name]);
  }
  return new Map([...areas].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** The whole page. */
export function compatibilityPage(columns: readonly Column[]): string {
  const rows = PROTOCOLS.flatMap((protocol) => {
    const areas = areasOf(protocol);
    const row = (title: string, names: readonly string[]) => [title, ...columns.map(({ outcomes }) => cell(outcomes[protocol], names))];
    const all = row(`**${TITLES[protocol]}**`, [...areas.values()].flat());
    return [all, ...[...areas].map(([area, names]) => row(area, names))];
  });
  return [HEAD, ...table([["cases that pass", ...columns.map(({ title }) => title)], ...rows]), STATEMENT].join("\n");
}

function cell(outcome: Outcome, names: readonly string[]): string {
  if (typeof outcome === "string") return "not served";
  return `${names.filter((name) => outcome.get(name)?.ok === true).length} of ${names.length}`;
}

/** Of Markdown, as the formatter has it. @param rows the first is the head */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const [head, ...others] = rows.map((row) => `| ${row.map((text, column) => text.padEnd(widths[column]!)).join(" | ")} |`);
  return [head!, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...others];
}

/** Runs all cases on the runtimes that are installed. @throws Error when one is not: a page without it would be wrong */
async function columnsOfRuntimes(): Promise<Column[]> {
  return Promise.all(
    PLACES.map(async (name) => {
      const found = placeOf(name);
      if (found === undefined) throw new Error(`${name} is not installed here`);
      const start = () => (name === "workerd" ? startQuorateWorker() : startQuorate({ runtime: runtime(name)! }));
      const outcome = async (protocol: Protocol): Promise<Outcome> =>
        NOT_SERVED[name]?.[protocol] ?? conformanceOf(start, protocol, cannotBeOn(name));
      const [v2, v3, gRPC] = await Promise.all([outcome("v2"), outcome("v3"), outcome("gRPC")]);
      return { title: `${found.title} ${found.version}`, outcomes: { v2, v3, gRPC } };
    }),
  );
}

if (import.meta.main) {
  writeFileSync(COMPATIBILITY_PAGE, compatibilityPage(await columnsOfRuntimes()));
  process.exit(0); // connections that are kept alive to servers that are gone
}
