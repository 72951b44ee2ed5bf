/** A client as a process that goes on: what it prints can be waited for, lines can be typed into it, and it ends with the test. */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { atEnd } from "../helpers/at-end.ts";
import type { CommandResult } from "../helpers/run-command.ts";

/** A client that shows nothing for so long has missed something: on a busy machine one takes seconds to start. */
const WAIT_MS = 20_000;

export class Program {
  readonly ended: Promise<CommandResult>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #name: string;
  #stdout = "";
  #stderr = "";
  #over = false;
  #came: (() => void) | null = null;

  constructor(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#name = [command, ...args].join(" ");
    this.#child = spawn(command, args, { env: { ...process.env, ...env } });
    const forget = atEnd(() => void this.#child.kill("SIGKILL"));
    this.#child.stdin.on("error", () => {}); // it ended first: its end tells
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
      this.#came?.();
    });
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
      this.#came?.();
    });
    this.ended = new Promise((resolve) => {
      const done = (code: number | null): void => {
        forget();
        this.#over = true;
        this.#came?.();
        resolve({ code, stdout: this.#stdout, stderr: this.#stderr });
      };
      this.#child.once("close", done);
      this.#child.once("error", (error) => {
        this.#stderr += String(error);
        done(-1);
      });
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  type(text: string): void {
    this.#child.stdin.write(text);
  }

  closeInput(): void {
    this.#child.stdin.end();
  }

  /** Waits until what it printed matches. @returns what matched. @throws Error when it ended or 20 s passed without */
  async until(pattern: RegExp): Promise<RegExpMatchArray> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#came?.();
    }, WAIT_MS);
    try {
      for (;;) {
        const found = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
        if (found !== null) return found;
        const output = `\n${this.#stdout}\n${this.#stderr}`;
        if (this.#over) throw new Error(`${this.#name} ended without ${String(pattern)}${output}`);
        if (late) throw new Error(`${this.#name} did not print ${String(pattern)} within ${WAIT_MS} ms${output}`);
        await new Promise<void>((resolve) => (this.#came = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends a signal, and waits for nothing. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends a signal and waits for the end. */
  async kill(signal: NodeJS.Signals = "SIGTERM"): Promise<CommandResult> {
    this.#child.kill(signal);
    return this.ended;
  }
}
