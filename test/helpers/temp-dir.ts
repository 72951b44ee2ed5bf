/** A fresh directory that is gone when this process ends. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atEnd } from "./at-end.ts";

const made = new Map<string, () => void>();

/** @param name what it is for: the directory is called `quorate-NAME-…` in the system's place for temporary files */
export function tempDir(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), `quorate-${name}-`));
  made.set(
    dir,
    atEnd(() => rmSync(dir, { recursive: true, force: true, maxRetries: 3 })),
  );
  return dir;
}

/** Removes a directory of `tempDir` before the end: for tests that make many. */
export function removeTempDir(dir: string): void {
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  made.get(dir)?.();
  made.delete(dir);
}
