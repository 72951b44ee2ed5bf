/**
 * A real server process: started, watched, ended.
 *
 * What it prints is kept (the newest part) and shown when it dies before its time. Every process started here is killed when this one ends,
 * also by a signal or an uncaught error, so that a failing test leaves nothing running.
 */
import { spawn } from "node:child_process";
import { atEnd } from "./at-end.ts";
import { untilReady } from "./until-ready.ts";

/** Characters of output kept a server. */
const OUTPUT_MAX = 64 * 1024;
/** How long a server may take to end after SIGTERM before it is killed. */
const STOP_MS = 10_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ServerProcess {
  readonly name: string;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  readonly pid: number;
  readonly exited: Promise<Exit>;
  /** undefined while it runs. */
  exit(): Exit | undefined;
  /** The newest part of what it printed, both streams. */
  output(): string;
  /** @throws Error with the output when it dies instead, or is not ready in time */
  untilReady(timeoutMs?: number): Promise<void>;
  /** Sends a signal, and waits for nothing. */
  signal(signal: NodeJS.Signals): void;
  /** Sends a signal and waits for the end. @throws Error when it has not ended 10 s later (it is killed then) */
  kill(signal: NodeJS.Signals): Promise<Exit>;
  /** Ends it however it can; never fails. */
  stop(): Promise<void>;
}

export interface ServerCommand {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly port: number;
  readonly dataDir: string;
  readonly env?: Readonly<Record<string, string>>;
  /** false: return at once after the start. Default true. */
  readonly waitReady?: boolean;
}

/** @throws Error with the server's output when it did not become ready */
export async function startServer(options: ServerCommand): Promise<ServerProcess> {
  const child = spawn(options.command, options.args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...options.env } });
  const forget = atEnd(() => void child.kill("SIGKILL"));
  let output = "";
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString("utf8")).slice(-OUTPUT_MAX);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  let exit: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    child.once("error", (error) => {
      output += `\n${String(error)}`;
      forget();
      exit ??= { code: -1, signal: null };
      resolve(exit);
    });
    // "close" comes after "exit" and after both streams: the output is whole then.
    child.once("close", (code, signal) => {
      forget();
      exit ??= { code, signal };
      resolve(exit);
    });
  });
  const url = `http://127.0.0.1:${options.port}`;
  const server: ServerProcess = {
    name: options.name,
    url,
    port: options.port,
    dataDir: options.dataDir,
    pid: child.pid ?? -1,
    exited,
    exit: () => exit,
    output: () => output,
    untilReady: async (timeoutMs = 20_000) => {
      const hopeless = (): string | undefined => (exit === undefined ? undefined : `it ended with ${exit.signal ?? exit.code}`);
      try {
        await untilReady(url, { timeoutMs, hopeless });
      } catch (error) {
        throw new Error(`${options.name}: ${String(error)}\n--- its output:\n${output}`, { cause: error });
      }
    },
    signal: (signal) => void child.kill(signal),
    kill: async (signal) => {
      child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      const ended = await exited;
      clearTimeout(timer);
      if (ended.signal === "SIGKILL" && signal !== "SIGKILL") {
        throw new Error(`${options.name} did not end within ${STOP_MS} ms of ${signal}\n--- its output:\n${output}`);
      }
      return ended;
    },
    stop: async () => {
      if (exit !== undefined) return;
      child.kill("SIGKILL");
      await exited;
    },
  };
  if (options.waitReady !== false) {
    try {
      await server.untilReady();
    } catch (error) {
      await server.stop();
      throw error;
    }
  }
  return server;
}
