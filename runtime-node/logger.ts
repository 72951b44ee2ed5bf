/** Logs: one JSON object a line on the standard error stream, or plain lines where a person reads them. */
import { pino, type Logger } from "pino";

export type { Logger } from "pino";

/** As etcd's `--log-level`, and how pino calls them. */
export const LOG_LEVELS = { debug: "debug", info: "info", warn: "warn", error: "error", panic: "fatal", fatal: "fatal" } as const;
export type LogLevel = keyof typeof LOG_LEVELS;

/** @param pretty plain lines instead of JSON */
export function createLogger(level: LogLevel, pretty: boolean): Logger {
  const options = {
    level: LOG_LEVELS[level],
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    messageKey: "message",
    errorKey: "error",
  };
  // Synchronous: the last lines before an exit are the ones that matter.
  return pretty
    ? pino(options, { write: (line: string) => void process.stderr.write(plainLine(line)) })
    : pino(options, pino.destination({ fd: 2, sync: true }));
}

/** `12:34:56 warn  the message  key=value` */
export function plainLine(json: string): string {
  const { level, time, message, ...rest } = JSON.parse(json) as Record<string, unknown>;
  const details = Object.entries(rest).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${String(message)}${details.length > 0 ? "  " + details.join(" ") : ""}\n`;
}
