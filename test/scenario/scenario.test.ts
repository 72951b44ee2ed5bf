import { readFileSync, readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { replay } from "./interpreter.ts";

const folder = new URL("./cases/", import.meta.url);
const names = readdirSync(folder)
  .filter((name) => name.endsWith(".txt"))
  .toSorted();

test("there are scenarios", () => expect(names.length).toBeGreaterThan(5));

test.each(names)("%s happens as written (node test/scenario/run.ts --rewrite puts in what happens now)", (name) => {
  const text = readFileSync(new URL(name, folder), "utf8");
  expect(replay(text)).toBe(text);
});
