/** Writes the console's files to `dist/console`, for the package: `npm run build`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { buildConsole } from "./build.ts";

const folder = join(import.meta.dirname, "..", "dist", "console");
for (const [name, content] of await buildConsole()) {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), content);
}
