#!/usr/bin/env node
/**
 * The `quorate` command. Plain JavaScript, so that an old Node can say what it lacks. In the repository the sources run as they are;
 * in the published package, where Node strips no types, their compiled form does.
 */
const WANTED = [22, 18];

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < WANTED[0] || (major === WANTED[0] && minor < WANTED[1])) {
  console.error(`quorate needs Node ${WANTED.join(".")} or later, and this is ${process.versions.node} (${process.execPath}).`);
  console.error("In a clone of the repository, npm start brings its own.");
  process.exit(1);
}

const { enableCompileCache } = await import("node:module");
enableCompileCache?.(); // Deno has none: it keeps what it compiled by itself
const { existsSync } = await import("node:fs");
const inRepository = existsSync(new URL("main.ts", import.meta.url));
const { main } = await import(inRepository ? "./main.ts" : "../dist/runtime-node/main.js");
await main(process.argv.slice(2));
