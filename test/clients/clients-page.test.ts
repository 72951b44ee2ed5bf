import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";
import { CLIENTS, CLIENTS_PAGE, clientsPage, tried } from "./clients-page.ts";

test("docs/clients.md is what the tests say: if not, node test/clients/clients-page.ts", () => {
  expect(readFileSync(CLIENTS_PAGE, "utf8")).toBe(clientsPage());
});

test("names every client that is tried here, and of each what was tried", () => {
  const named = CLIENTS.flatMap(({ files }) => files);
  const own = ["clients-page.test.ts", "grpc-tools.test.ts", "python.test.ts"]; // the page itself, tools, and what runs the scripts
  const there = readdirSync(import.meta.dirname).filter((file) => /\.test\.ts$|\.py$/.test(file));
  expect(there.filter((file) => !own.includes(file)).toSorted()).toEqual(named.toSorted());
  expect(named.filter((file) => tried(file).length === 0)).toEqual([]);
});

/** Without what Debian adds. undefined: not installed, or no Debian. */
function installedVersion(name: string): string | undefined {
  const { devDependencies } = JSON.parse(readFileSync(join(PROJECT_ROOT, "package.json"), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  if (devDependencies[name] !== undefined) return devDependencies[name];
  try {
    const status = execFileSync("dpkg-query", ["-W", "-f=${db:Status-Status} ${Version}", name], { encoding: "utf8", stdio: "pipe" });
    return /^installed (.*?)(-[^-]*)?$/.exec(status)?.[1];
  } catch {
    return undefined;
  }
}

test.each(CLIENTS)("the version of $package is the one that is here", ({ package: name, version }) => {
  expect(installedVersion(name) ?? version).toBe(version);
});
