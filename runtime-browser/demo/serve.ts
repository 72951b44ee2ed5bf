/** Serves the demo page, bundled, on a port of this machine: `npm run demo:browser`. All that is dynamic happens in the browser. */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const { values } = parseArgs({ options: { port: { type: "string", default: "8788" } } });
const { outputFiles } = await build({
  entryPoints: ["page.ts", "service-worker.ts"].map((name) => join(import.meta.dirname, name)),
  bundle: true,
  format: "esm",
  target: "es2022",
  platform: "browser",
  outdir: "/",
  write: false,
});
const html = readFileSync(join(import.meta.dirname, "index.html"));
const files = new Map<string, readonly [type: string, body: Uint8Array]>([["/", ["text/html; charset=utf-8", html]]]);
for (const { path, contents } of outputFiles) files.set(path, ["text/javascript; charset=utf-8", contents]);

const server = createServer((request, reply) => {
  const [type, body] = files.get(new URL(request.url ?? "/", "http://localhost").pathname) ?? [];
  if (type === undefined) return void reply.writeHead(404, { "content-type": "text/plain" }).end("there is nothing here\n");
  reply.writeHead(200, { "content-type": type, "cache-control": "no-store" }).end(body);
});
server.listen(Number(values.port), "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(`http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : values.port}\n`);
});
