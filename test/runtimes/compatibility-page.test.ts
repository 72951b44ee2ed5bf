import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { COMPATIBILITY_PAGE, type Outcome, PLACES, areasOf, compatibilityPage, placeOf } from "./compatibility-page.ts";
import { NOT_SERVED, type Protocol, cannotBeOn } from "./runtime-conformance.ts";

const all = (protocol: Protocol, but: readonly string[] = []): Outcome =>
  new Map([...areasOf(protocol).values()].flat().map((name) => [name, { ok: !but.includes(name) }]));

test("docs/compatibility.md has every runtime that is here with every case passed: if not, npm run docs:compatibility", () => {
  const page = readFileSync(COMPATIBILITY_PAGE, "utf8");
  const written = /^\| cases that pass +\|(.*)\|$/m
    .exec(page)![1]!
    .split("|")
    .map((title) => title.trim());
  const columns = PLACES.map((name, at) => {
    const found = placeOf(name);
    const outcome = (protocol: Protocol): Outcome => NOT_SERVED[name]?.[protocol] ?? all(protocol, cannotBeOn(name));
    return {
      // Node comes in other versions too, and not every platform has the same packages.
      title:
        found === undefined || name === "node" || process.platform !== "linux" || process.arch !== "x64"
          ? written[at]!
          : `${found.title} ${found.version}`,
      outcomes: { v2: outcome("v2"), v3: outcome("v3"), gRPC: outcome("gRPC") },
    };
  });
  expect(page).toBe(compatibilityPage(columns));
});

test("compatibilityPage() counts what fails, and tells what is not served", () => {
  const outcomes = { v2: new Map(), v3: all("v3"), gRPC: "no HTTP/2" };
  const page = compatibilityPage([{ title: "Some 1.0.0", outcomes }]);
  expect(page).toMatch(/\| \*\*v2 keys API\*\* +\| 0 of \d{2} +\|/);
  expect(page).toMatch(/\| \*\*v3 JSON gateway\*\* +\| (\d{3}) of \1 \|/);
  expect(page).toMatch(/\| \*\*v3 over gRPC\*\* +\| not served +\|/);
});
