/** All tests of the repository. `VITEST_JSON` names a file for a report that programs can read, besides the one for people. */
import { defineConfig } from "vitest/config";

const report = process.env["VITEST_JSON"];

export default defineConfig({
  test: {
    include: [
      "core/**/*.test.ts",
      "client/**/*.test.ts",
      "testing/**/*.test.ts",
      "adapters/**/*.test.ts",
      "runtime-node/**/*.test.ts",
      "runtime-browser/**/*.test.ts",
      "runtime-worker/**/*.test.ts",
      "bench/**/*.test.ts",
      "test/**/*.test.ts",
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What is waited for comes sooner or later; on a busy machine, later.
    expect: { poll: { timeout: 15_000 } },
    reporters: report === undefined ? ["default"] : ["default", "json"],
    ...(report === undefined ? {} : { outputFile: { json: report } }),
  },
});
