/** A real browser, driven from outside: Debian's Chromium, or what `QUORATE_TEST_CHROMIUM` names. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type BrowserContext, chromium } from "playwright-core";
import { tempDir } from "../helpers/temp-dir.ts";

const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** undefined: there is none on this machine. */
export const chromiumProgram: string | undefined =
  process.env["QUORATE_TEST_CHROMIUM"] ??
  (process.env["PATH"] ?? "")
    .split(":")
    .flatMap((folder) => ["chromium", "chromium-browser", "google-chrome"].map((name) => join(folder, name)))
    .find((path) => existsSync(path));

/** @param profile where it keeps what pages store; a fresh one, unless an earlier browser's is given */
export async function startChromium(
  profile = tempDir("chromium"),
): Promise<{ readonly context: BrowserContext; readonly profile: string }> {
  // Of one that was killed.
  for (const name of readdirSync(profile)) if (name.startsWith("Singleton")) rmSync(join(profile, name), { force: true });
  const context = await chromium.launchPersistentContext(profile, { executablePath: chromiumProgram!, headless: true, args: ARGS });
  return { context, profile };
}
