/** Another program, run to its end. */
import { spawn } from "node:child_process";
import { atEnd } from "./at-end.ts";

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Output a command may print before it is ended: far above what any of ours does. */
const OUTPUT_MAX = 32 * 1024 * 1024;

/** Never fails for a non-zero exit code: that is for the caller to judge. @throws Error when it cannot be started, or is over time */
export function runCommand(command: string, args: readonly string[], timeoutMs: number): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    const end = (): void => void child.kill("SIGKILL");
    const forget = atEnd(end);
    const timer = setTimeout(() => {
      end();
      reject(new Error(`${command} ${args.join(" ")} was not done within ${timeoutMs} ms\n${stdout}\n${stderr}`));
    }, timeoutMs);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (stdout.length > OUTPUT_MAX) end();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-64 * 1024)));
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      forget();
      resolve({ code, stdout, stderr });
    });
  });
}
