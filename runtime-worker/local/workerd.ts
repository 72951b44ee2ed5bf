/**
 * workerd on this machine: the program that runs Workers at the platform, with Durable Objects kept in a folder. For `npm run dev:worker` and
 * for tests. Node only.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { bundleWorker } from "./bundle.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** Of wrangler.toml, so that what is tried is what is deployed. */
export interface Compatibility {
  readonly date: string;
  readonly flags: readonly string[];
}

export function compatibility(): Compatibility {
  const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  const date = /^compatibility_date = "(.*)"$/m.exec(toml)?.[1];
  const flags = /^compatibility_flags = \[(.*)\]$/m.exec(toml)?.[1];
  if (date === undefined || flags === undefined) throw new Error("wrangler.toml says no compatibility_date and compatibility_flags");
  return { date, flags: JSON.parse(`[${flags}]`) as string[] };
}

/** The program of this machine; undefined where the package brings none for it. */
export function workerdBinary(): string | undefined {
  try {
    const { resolve } = createRequire(createRequire(import.meta.url).resolve("workerd/package.json"));
    return resolve(`@cloudflare/workerd-${process.platform}-${process.arch === "x64" ? "64" : process.arch}/bin/workerd`);
  } catch {
    return undefined;
  }
}

/** Version of the package `workerd`. */
export function workerdVersion(): string {
  const path = createRequire(import.meta.url).resolve("workerd/package.json");
  return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
}

export interface WorkerdOptions {
  /** Holds the bundle, its configuration and the data of the objects; made when it is not there. */
  readonly directory: string;
  readonly port: number;
  /** Variables of the Worker. */
  readonly vars: Readonly<Record<string, string>>;
  /** Default: the Worker of this project. */
  readonly entry?: string;
  /** Durable Objects: binding and class. Default: those of this project. */
  readonly objects?: Readonly<Record<string, string>>;
  /** Modules that take the place of others. */
  readonly alias?: Readonly<Record<string, string>>;
}

const OBJECTS = { NAMESPACES: "QuorateNamespace", DIRECTORY: "QuorateDirectory" };

/** Bundles and writes the configuration. @returns the arguments that workerd is started with */
export async function prepareWorkerd({ directory, port, vars, entry, alias, objects = OBJECTS }: WorkerdOptions): Promise<string[]> {
  mkdirSync(join(directory, "objects"), { recursive: true });
  await bundleWorker(entry ?? join(ROOT, "runtime-worker", "worker.ts"), join(directory, "worker.js"), alias);
  const { date, flags } = compatibility();
  const text = (value: string) => JSON.stringify(value);
  const bindings = [
    ...Object.entries(vars).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`),
    ...Object.entries(objects).map(([name, className]) => `(name = ${text(name)}, durableObjectNamespace = ${text(className)})`),
  ];
  const classes = Object.values(objects).map((name) => `(className = ${text(name)}, uniqueKey = ${text(name)}, enableSql = true)`);
  const config = join(directory, "config.capnp");
  writeFileSync(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "disk", disk = (path = ${text(join(directory, "objects"))}, writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = ${text(date)},
  compatibilityFlags = [${flags.map(text).join(", ")}],
  durableObjectNamespaces = [${classes.join(", ")}],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [${bindings.join(", ")}],
);
`,
  );
  return ["serve", config];
}
