import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { V1_PAGE, v1Page } from "./v1-page.ts";

test("docs/reference/v1.md is what the operations say: if not, npm run docs:v1", () => {
  expect(readFileSync(V1_PAGE, "utf8")).toBe(v1Page());
});
