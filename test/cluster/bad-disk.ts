/** The library that makes a server's disk misbehave (bad-disk.c), and the variables that tell it when. */
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "../helpers/temp-dir.ts";

/** @returns the compiled library, or undefined where there is no C compiler, or no preloading as Linux has it */
export function compileBadDisk(): string | undefined {
  if (process.platform !== "linux") return undefined;
  const library = join(tempDir("shim"), "bad-disk.so");
  try {
    execFileSync("gcc", ["-shared", "-fPIC", "-O1", "-o", library, join(import.meta.dirname, "bad-disk.c"), "-ldl"], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  return library;
}

export class BadDisk {
  readonly #fail = join(tempDir("disk"), "fail");
  readonly #stall = join(tempDir("disk"), "stall");
  readonly #library: string;

  constructor(library: string) {
    this.#library = library;
  }

  /** For the server's process. */
  get env(): Record<string, string> {
    return { LD_PRELOAD: this.#library, FAIL_SYNC_WHEN: this.#fail, STALL_SYNC_WHEN: this.#stall };
  }

  /** Nothing becomes durable any more. */
  fail(): void {
    writeFileSync(this.#fail, "");
  }

  /** Nothing returns until `recover`. */
  stall(): void {
    writeFileSync(this.#stall, "");
  }

  /** Each durable write takes so much longer. */
  slow(milliseconds: number): void {
    writeFileSync(this.#stall, String(milliseconds));
  }

  recover(): void {
    rmSync(this.#stall, { force: true });
  }
}
