import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CONFIGURATION_PAGE, configurationPage } from "./configuration-page.ts";

test("docs/reference/configuration.md is what the schema says: if not, npm run docs:configuration", () => {
  expect(readFileSync(CONFIGURATION_PAGE, "utf8")).toBe(configurationPage());
});
