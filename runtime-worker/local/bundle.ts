/** The Worker as one module, as `wrangler deploy` makes it: for workerd on this machine. Node only. */
import { build } from "esbuild";

/** @param entry a Worker @param outfile where the module goes @param alias modules that take the place of others */
export async function bundleWorker(entry: string, outfile: string, alias: Readonly<Record<string, string>> = {}): Promise<void> {
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: "esm",
    target: "es2022",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["workerd", "worker", "import"],
    alias,
    external: ["node:*", "cloudflare:*"],
    logLevel: "silent",
  });
}
