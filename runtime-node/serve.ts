/** The command `serve`: a server that owns its process. It prints where it listens, ends by signals, and says why when it cannot go on. */
import { setFlagsFromString } from "node:v8";
import { isQuorateError } from "../core/errors.ts";
import { ConfigError, strangeVariables } from "./config.ts";
import { hostOf } from "./host.ts";
import { LOG_LEVELS, type Logger, createLogger } from "./logger.ts";
import { type RunningServer, startServer } from "./server.ts";
import { SETTING_NAMES, type Settings } from "./settings.ts";

/** How long a second look at the end is worth: after it the process ends whatever is left. */
const END_MS = 15_000;

/**
 * Signals that come so soon after the first are that one again: a Ctrl-C goes to the whole process group, and `npm` and `deno --watch` pass it
 * on to the server besides. Nobody types it twice so fast.
 */
const SAME_SIGNAL_MS = 300;

/** How often certificates are looked at, so that a renewal that went wrong is known before the next connection. */
const REFRESH_MS = 10_000;

/**
 * Runs until a signal or a failure ends the process.
 * @param reread the settings as they would be at a start now, for SIGHUP; throws ConfigError
 * @throws ConfigError before anything was done
 */
export async function serve(settings: Settings, reread: () => Settings): Promise<void> {
  keepCollectionsShort();
  const format = settings["log-format"];
  const logger = createLogger(settings["log-level"], format === "plain" || (format === "auto" && process.stderr.isTTY));
  exitOnBugs(logger);
  for (const name of strangeVariables(process.env)) logger.warn(`${name} is no setting and is not used`);
  let server: RunningServer;
  try {
    server = await startServer(settings, logger);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    logger.fatal({ failure: plain(error) }, explain(error, settings));
    process.exit(1);
  }
  setInterval(() => server.refresh(), REFRESH_MS).unref();
  const reload = reloader(settings, reread, logger);
  process.on("SIGHUP", () => {
    server.refresh();
    reload();
  });
  void server.failed.then((error) => {
    logger.fatal({ failure: plain(error) }, `the member cannot go on: ${error.message}`);
    process.exit(1);
  });
  let removed = false;
  void server.removed.then(async () => {
    removed = true;
    logger.warn("the other members have removed this one from the cluster: it ends, and its data directory is of no use any more");
    await server.close();
    process.exit(0);
  });
  endOnSignals(server, logger);
  const { urls, dataDirectory, serving } = server;
  await Promise.resolve(); // a member whose own log has its removal knows it by now
  if (removed) return;
  console.log(greeting(server));
  logger.info({ urls, dataDirectory, pid: process.pid, runtime: runtimeName() }, "listening");
  void serving.then(() => logger.info("ready to serve"));
}

/** Takes over what can change while a member runs, and says of the rest that it does not. */
function reloader(begun: Settings, reread: () => Settings, logger: Logger): () => void {
  let current = begun;
  return () => {
    let next: Settings;
    try {
      next = reread();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      logger.error(`the settings cannot be read anew; those from before stay: ${error.message}`);
      return;
    }
    if (next["log-level"] !== current["log-level"]) {
      logger.level = LOG_LEVELS[next["log-level"]];
      logger.info({ level: next["log-level"] }, "the log level was changed");
    }
    const waiting = SETTING_NAMES.filter((name) => name !== "log-level" && JSON.stringify(next[name]) !== JSON.stringify(current[name]));
    if (waiting.length > 0) logger.warn({ settings: waiting }, "changed settings that count from the next start on");
    current = next;
  };
}

function runtimeName(): string {
  const { name, version } = hostOf(process.versions);
  return `${name} ${version}`;
}

/**
 * The young generation stays as small as it begins. What is in use of it is little, but streams of HTTP/2 that are over are copied all the
 * same (Node 24), so that a large one means pauses of 25 ms, several a second: docs/performance.md has the figures.
 */
function keepCollectionsShort(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}

function greeting({ urls, dataDirectory }: RunningServer): string {
  const url = urls[0]!.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
  const curl = url.startsWith("https:") ? "curl --cacert CA.pem" : "curl";
  return [
    `Listening on ${urls.join(", ")}`,
    `Data in ${dataDirectory}`,
    `Try: ${curl} ${url}/v2/keys/greeting -XPUT -d value=hello`,
    `     ${curl} ${url}/v3/kv/range -d '{"key":"L2dyZWV0aW5n"}'`,
  ].join("\n");
}

/** The first signal ends the server with care, the second at once. */
function endOnSignals(server: RunningServer, logger: Logger): void {
  let endingSinceMs: number | null = null;
  for (const [signal, number] of [
    ["SIGTERM", 15],
    ["SIGINT", 2],
  ] as const) {
    process.on(signal, () => {
      if (endingSinceMs !== null) {
        if (performance.now() - endingSinceMs > SAME_SIGNAL_MS) process.exit(128 + number);
        return;
      }
      endingSinceMs = performance.now();
      logger.info({ signal }, "ending: finishing what was acknowledged");
      setTimeout(() => {
        logger.error("the end took too long");
        process.exit(1);
      }, END_MS).unref();
      server.close().then(
        () => {
          logger.info("ended");
          process.exit(0);
        },
        (error: unknown) => {
          logger.fatal({ failure: plain(error) }, `the end failed: ${error instanceof Error ? error.message : String(error)}`);
          process.exit(1);
        },
      );
    });
  }
}

/** A bug that nothing caught: the state of the process is unknown, and the log on disk is what counts. */
function exitOnBugs(logger: Logger): void {
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      logger.fatal({ failure: plain(error) }, `a bug ended the process (${event})`);
      process.exit(1);
    });
  }
}

function plain(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: String(error) };
  // What the host or an operation said is told by its code; where in our code it was met helps only with bugs.
  if (isQuorateError(error)) return { name: error.name, reason: error.reason, ...error.details };
  if ("code" in error && typeof error.code === "string") return { name: error.name, code: error.code };
  return { name: error.name, stack: error.stack };
}

/** The setting that an address to listen on came from. */
function flagWith(settings: Settings, port: string): string {
  const flags = ["listen-metrics-urls", "listen-peer-urls"] as const;
  return flags.find((flag) => settings[flag]?.some((url) => url.endsWith(`:${port}`))) ?? "listen-client-urls";
}

/** One sentence for a person: what to do about it, where that is known. */
function explain(error: unknown, settings: Settings): string {
  const text = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const isOfAddress = error instanceof Error && "address" in error && "port" in error;
  const address = isOfAddress ? `${String(error.address)}:${String(error.port)}` : "the address";
  const flag = flagWith(settings, isOfAddress ? String(error.port) : "");
  switch (code) {
    case "EADDRINUSE":
      return `${address} is in use by another program: end it, or choose another address with --${flag}`;
    case "EADDRNOTAVAIL":
      return `${address} is not an address of this machine: see --${flag}`;
    case "EACCES":
      return `not allowed: ${text}`;
    default:
      return `the server could not start: ${text}`;
  }
}
