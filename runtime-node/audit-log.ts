/**
 * Who changed what at this member, a JSON object a line. The file is opened anew when it was moved away, as logrotate does. A line that
 * cannot be written is named in the log of the process, and the request goes on: a full disk beside the store must not stop it.
 */
import { closeSync, fstatSync, openSync, statSync, writeSync } from "node:fs";
import type { AuditRecord } from "../core/api/auth/audited-member.ts";

/** Readable by its owner alone: keys and names may be nobody else's business. */
const MODE = 0o600;

export class AuditLog {
  readonly #path: string;
  readonly #onError: (error: unknown) => void;
  #file: number;

  /** @param onError told of a line that was lost @throws the host's error when the file cannot be opened */
  constructor(path: string, onError: (error: unknown) => void) {
    this.#path = path;
    this.#onError = onError;
    this.#file = openSync(path, "a", MODE);
  }

  /** In the order in which they are answered. */
  readonly write = (record: AuditRecord): void => {
    try {
      writeSync(this.#file, `${JSON.stringify({ time: new Date().toISOString(), ...record })}\n`);
    } catch (error) {
      this.#onError(error);
    }
  };

  reopen(): void {
    try {
      if (isSame(this.#path, this.#file)) return;
      const opened = openSync(this.#path, "a", MODE);
      closeSync(this.#file);
      this.#file = opened;
    } catch (error) {
      this.#onError(error);
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}

function isSame(path: string, file: number): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const open = fstatSync(file);
  return there !== undefined && there.ino === open.ino && there.dev === open.dev;
}
