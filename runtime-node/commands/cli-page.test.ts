import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CATALOGUE } from "./catalogue.ts";
import { CLI_PAGE, cliPage } from "./cli-page.ts";

test("docs/reference/cli.md is what the commands say: if not, npm run docs:cli", async () => {
  expect(readFileSync(CLI_PAGE, "utf8")).toBe(await cliPage());
});

test("each command has the name and the summary under which it is found", async () => {
  for (const [name, { summary, load }] of Object.entries(CATALOGUE)) {
    const command = (await load()).command();
    expect(command.name()).toBe(name);
    if (summary !== command.description()) expect(command.description().startsWith(summary), name).toBe(true);
  }
});
