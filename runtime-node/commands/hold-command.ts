/**
 * Runs a command while something is held, and ends it when that is lost: first by SIGTERM, and a moment later by SIGKILL, all of its
 * processes, before anybody else can have what was held.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import type { Hold } from "../../core/recipes/hold.ts";
import { CommandError } from "./exit-codes.ts";

/** A session gives up at least half a second before its lease ends. */
const KILL_AFTER_MS = 400;
const PASSED_ON = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Signals are passed on to the command.
 * @returns its exit code; 128 and the number of the signal that ended it
 * @throws CommandError when it cannot be started, or the hold was lost
 */
export async function runWhileHeld(hold: Hold, command: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  // A group of its own, so that the command's children end with it.
  const child = spawn(command[0]!, command.slice(1), { stdio: "inherit", detached: true, env: { ...process.env, ...env } });
  const send = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // it has ended already
    }
  };
  let timer: NodeJS.Timeout | undefined;
  const lost = (): void => {
    send("SIGTERM");
    timer = setTimeout(() => send("SIGKILL"), KILL_AFTER_MS);
  };
  if (hold.signal.aborted) lost();
  else hold.signal.addEventListener("abort", lost);
  for (const signal of PASSED_ON) process.on(signal, send);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", (error) => reject(new CommandError(`${command[0]} cannot be started: ${error.message}`)));
      child.once("exit", (status, signal) => resolve(signal === null ? status! : 128 + constants.signals[signal]));
    });
    if (hold.signal.aborted) {
      send("SIGKILL"); // what it may have left behind
      throw new CommandError(`it was lost while ${command[0]} was running, which was ended: ${(hold.signal.reason as Error).message}`);
    }
    return code;
  } finally {
    clearTimeout(timer);
    hold.signal.removeEventListener("abort", lost);
    for (const signal of PASSED_ON) process.off(signal, send);
  }
}

/** A signal that fires when the process is told to end; it does not end by itself then. */
export function untilTold(): AbortSignal {
  const told = new AbortController();
  for (const signal of PASSED_ON) process.once(signal, () => told.abort(new CommandError("", 128 + constants.signals[signal])));
  return told.signal;
}

/** Waits until the process is told to end, or what it holds is lost. @throws QuorateError sessionLost */
export async function whileHeld(hold: Hold, told: AbortSignal): Promise<void> {
  // A timer keeps the process alive: a promise does not.
  const alive = setInterval(() => {}, 60_000);
  try {
    await new Promise<void>((resolve, reject) => {
      const lost = (): void => reject(hold.signal.reason as Error);
      if (hold.signal.aborted) return lost();
      if (told.aborted) return resolve();
      hold.signal.addEventListener("abort", lost);
      told.addEventListener("abort", () => resolve());
    });
  } finally {
    clearInterval(alive);
  }
}
