/**
 * The runtimes that the server is tried on. Node is the one that tests themselves run on; Deno and Bun come with `npm ci` where the registry
 * has them for this platform, else from the path.
 *
 * `QUORATE_TEST_RUNTIME=deno` (or `bun`) starts every server of any test on that runtime instead of Node.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

export const RUNTIME_NAMES = ["node", "deno", "bun"] as const;
export type RuntimeName = (typeof RUNTIME_NAMES)[number];

export interface Runtime {
  /** As a page writes it. */
  readonly title: string;
  readonly version: string;
  readonly command: string;
  /** What comes before the script. */
  readonly args: readonly string[];
}

const PACKAGES = join(import.meta.dirname, "..", "..", "node_modules");

/** Folders below node_modules that hold a binary for each platform, and the binary in one of them; npm installs the one that fits. */
const PACKAGED = {
  deno: { scope: "@deno", binary: /^deno(\.exe)?$/, inside: "" },
  bun: { scope: "@oven", binary: /^bun(\.exe)?$/, inside: "bin" },
} as const;

/** undefined: it is not installed here. */
export function runtime(name: RuntimeName): Runtime | undefined {
  return (known[name] ??= { found: find(name) }).found;
}

/** Module state: looked for once a process. */
const known: Partial<Record<RuntimeName, { readonly found: Runtime | undefined }>> = {};

function find(name: RuntimeName): Runtime | undefined {
  if (name === "node") return { title: "Node", version: process.versions.node, command: process.execPath, args: [] };
  const command = packagedBinary(name) ?? name;
  try {
    const version = /\d+\.\d+\.\d+/.exec(
      execFileSync(command, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }),
    )?.[0];
    if (version === undefined) return undefined;
    return name === "deno" ? { title: "Deno", version, command, args: ["run", "-A"] } : { title: "Bun", version, command, args: ["run"] };
  } catch {
    return undefined;
  }
}

function packagedBinary(name: "deno" | "bun"): string | undefined {
  const { scope, binary, inside } = PACKAGED[name];
  const folder = join(PACKAGES, scope);
  if (!existsSync(folder)) return undefined;
  for (const platform of readdirSync(folder)) {
    const place = join(folder, platform, inside);
    const found = existsSync(place) ? readdirSync(place).find((file) => binary.test(file)) : undefined;
    if (found !== undefined) return join(place, found);
  }
  return undefined;
}

/** What servers of tests run on unless a test says otherwise. @throws Error when the one that was asked for is not installed */
export function defaultRuntime(): Runtime {
  const asked = process.env["QUORATE_TEST_RUNTIME"] ?? "node";
  const name = RUNTIME_NAMES.find((one) => one === asked);
  if (name === undefined) throw new Error(`QUORATE_TEST_RUNTIME is ${asked}; wanted: one of ${RUNTIME_NAMES.join(", ")}`);
  const found = runtime(name);
  if (found === undefined) throw new Error(`${name} is not installed here`);
  return found;
}
