/**
 * The console's files on Node: in a clone they are built when first asked for, so that nobody has to; the package has them ready. Loaded and
 * kept at the first request, since most members are never asked.
 */
import { readFile, readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import { fromUint8Array } from "../core/bytes/bytes.ts";
import type { ConsoleFile, ConsoleFiles } from "../core/api/console.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
};

/** For one member: what went wrong is tried again with the next request. */
export function consoleFiles(): () => Promise<ConsoleFiles> {
  let loading: Promise<ConsoleFiles> | undefined;
  return () => {
    loading ??= load().catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
    return loading;
  };
}

async function load(): Promise<ConsoleFiles> {
  const inRepository = import.meta.url.endsWith(".ts");
  const contents = inRepository ? await built() : await packed(join(import.meta.dirname, "..", "console"));
  return new Map([...contents].map(([name, content]) => [name, fileOf(name, content)]));
}

async function built(): Promise<ReadonlyMap<string, Uint8Array>> {
  const script = new URL("../console/build.ts", import.meta.url).href; // by its address: the package has no such file
  const { buildConsole } = (await import(script)) as { buildConsole(): Promise<ReadonlyMap<string, Uint8Array>> };
  return buildConsole();
}

async function packed(folder: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => extname(name) in TYPES);
  return new Map(await Promise.all(names.map(async (name) => [name.replaceAll("\\", "/"), await readFile(join(folder, name))] as const)));
}

function fileOf(name: string, content: Uint8Array): ConsoleFile {
  return { contentType: TYPES[extname(name)] ?? "application/octet-stream", body: fromUint8Array(content) };
}
