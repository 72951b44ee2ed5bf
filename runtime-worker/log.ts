/** One line of JSON an event, as the platform's log takes them. */

/** @param details an `error` among them is written with its stack */
export function log(level: "warn" | "error", message: string, details: Readonly<Record<string, unknown>>): void {
  const { error, ...rest } = details;
  const text = error instanceof Error ? { error: error.stack ?? error.message } : error === undefined ? {} : { error: String(error) };
  console[level](JSON.stringify({ level, message, ...rest, ...text }));
}
