/** Makes the console's static files: one script and one style sheet with hashes in their names, and the page that asks for them. */
import { join } from "node:path";
import { build } from "esbuild";

/** @returns the files by name, as `/console/NAME` serves them */
export async function buildConsole(): Promise<ReadonlyMap<string, Uint8Array>> {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, "main.tsx"), join(import.meta.dirname, "console.css")],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    platform: "browser",
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    entryNames: "assets/[name]-[hash]",
    outdir: "/",
    write: false,
  });
  const files = new Map(outputFiles.map(({ path, contents }) => [path.slice(1), contents]));
  const nameOf = (end: string): string => [...files.keys()].find((name) => name.endsWith(end))!;
  const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Quorate</title>
<link rel="stylesheet" href="/console/${nameOf(".css")}">
<script type="module" src="/console/${nameOf(".js")}"></script>
<body><div id="app"></div><noscript>The console needs JavaScript.</noscript>
`;
  return files.set("index.html", new TextEncoder().encode(page));
}
