/**
 * Contexts: clusters by name, with what is needed to reach them, in a file of the person who works with them. A setting of the chosen
 * context is overruled by the environment, and that by flags.
 *
 * The file is `quorate/contexts.json` in the folder for configuration ($XDG_CONFIG_HOME, otherwise ~/.config), for its owner's eyes only.
 * Source: https://specifications.freedesktop.org/basedir-spec/latest/
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { CommandError, EXIT } from "./exit-codes.ts";

/** Settings as they are given with flags, by commander's names. */
export type ContextValues = Readonly<Record<string, string | boolean>>;

export interface Contexts {
  /** Used when none is named. */
  readonly current?: string;
  readonly contexts: Readonly<Record<string, ContextValues>>;
}

type Environment = Readonly<Record<string, string | undefined>>;

export function contextsFile(environment: Environment): string {
  const folder = environment["XDG_CONFIG_HOME"];
  return join(folder === undefined || folder === "" ? join(homedir(), ".config") : folder, "quorate", "contexts.json");
}

/** No file: no contexts. @throws CommandError for a file that cannot be read */
export function readContexts(environment: Environment): Contexts {
  const path = contextsFile(environment);
  try {
    const found = JSON.parse(readFileSync(path, "utf8")) as Partial<Contexts> | null;
    return { ...found, contexts: found?.contexts ?? {} };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { contexts: {} };
    throw new CommandError(`the contexts in ${path} cannot be read: ${(error as Error).message}`, EXIT.usage);
  }
}

/** Replaces the file as a whole, so that it is never half written. */
export function writeContexts(environment: Environment, contexts: Contexts): void {
  const path = contextsFile(environment);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, `${JSON.stringify(contexts, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** What the chosen context says; nothing where none is chosen. @throws CommandError for one that there is not */
export function contextValues(named: string | undefined, environment: Environment): ContextValues {
  const { current, contexts } = readContexts(environment);
  const name = named ?? environment["QUORATE_CONTEXT"] ?? current;
  if (name === undefined || name === "") return {};
  const found = contexts[name];
  if (found === undefined) throw new CommandError(unknownContext(name, contexts), EXIT.usage);
  return found;
}

export function unknownContext(name: string, contexts: Contexts["contexts"]): string {
  const names = Object.keys(contexts);
  return `there is no context ${JSON.stringify(name)}; there are: ${names.length === 0 ? "none" : names.join(", ")}`;
}
