/**
 * A page's session: the commands it tells its reader to type, one a line, and what it says that they print. A block of text behind a block
 * of commands is all that those print, with `…` for what differs from time to time; without one, they print nothing.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";

export interface Block {
  readonly commands: readonly string[];
  /** What all of them print together. */
  readonly prints: string;
}

/** The session of a page in Markdown, in order. */
export function blocksOf(page: string): Block[] {
  return [...page.matchAll(/^```sh\n([^]*?)^```\n(?:\n```text\n([^]*?)^```)?/gm)].map(([, commands, prints]) => ({
    commands: commands!.trim().split("\n"),
    prints: (prints ?? "").trim(),
  }));
}

/** Whether a text is what a page says, whose `…` stands for anything. */
export function isAsShown(printed: string, shown: string): boolean {
  const parts = shown.split("…").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^]*?")}$`).test(printed);
}

/**
 * Types the commands into one bash, shows each with what it prints, and compares.
 * @param env for the shell, besides this process's
 * @param show is called with text for the terminal
 * @throws Error when a command fails, or a block prints something else than the page says
 */
export async function playSession(page: string, env: Readonly<Record<string, string>>, show: (text: string) => void): Promise<void> {
  const shell = spawn("bash", ["-euo", "pipefail", "-s"], { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(shell, "exit");
  shell.stdin.on("error", () => {}); // a shell that has ended at a failed command reads no further: its output tells
  const outputs = outputsOf(shell.stdout.setEncoding("utf8"));
  try {
    shell.stdin.write("exec 2>&1\n");
    for (const { commands, prints } of blocksOf(page)) {
      const printed: string[] = [];
      for (const command of commands) {
        show(`$ ${command}\n`);
        shell.stdin.write(`{\n${command}\n} </dev/null\nprintf '\\0'\n`);
        const { done, value } = await outputs.next();
        const text = value.trim();
        if (text !== "") show(`${text}\n`);
        if (done === true) throw new Error(`this command failed: ${command}\n${text}`);
        if (text !== "") printed.push(text);
      }
      if (!isAsShown(printed.join("\n"), prints)) throw new Error(`the page says that this is printed:\n${prints}`);
      show("\n");
    }
  } finally {
    shell.stdin.end();
    await exited;
    shell.stdout.destroy(); // a command in the background may have it open still
  }
}

/** What is printed up to each NUL; at the end, what came behind the last one. */
async function* outputsOf(stdout: Readable): AsyncGenerator<string, string, void> {
  let text = "";
  for await (const chunk of stdout as AsyncIterable<string>) {
    const parts = (text + chunk).split("\0");
    text = parts.pop()!;
    yield* parts;
  }
  return text;
}
