/**
 * The frame of a client command: it reads the settings, opens the cluster, runs the command, tells what went wrong in one line, and ends
 * with a documented exit code. A command's own file says what it takes, what it asks, and how the answer is shown.
 */
import { Command } from "commander";
import { isQuorateError } from "../../core/errors.ts";
import { ConfigError } from "../config.ts";
import { type ClientSettings, type GivenSettings, readClientSettings } from "./client-settings.ts";
import { Cluster } from "./cluster.ts";
import { contextValues } from "./contexts.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { Printer } from "./printer.ts";

/** What a command works with. */
export interface Run {
  readonly settings: ClientSettings;
  readonly cluster: Cluster;
  readonly print: Printer;
  /** Fires when the command is at its end: whatever goes on beside it ends too. */
  readonly signal: AbortSignal;
}

/** A command with what is told of it beside its flags, for --help and for docs/reference/cli.md. */
export class ClientCommand extends Command {
  /** Lines without the name of the program. */
  examples: readonly string[] = [];
  notes = "";

  /** What stands below the flags. */
  withNotes(notes: string): this {
    this.notes = notes;
    return this.addHelpText("after", `\n${notes.trim()}`);
  }
}

/** A command, or a group of some. @param examples lines without the name of the program */
export function newCommand(name: string, description: string, examples: readonly string[] = []): ClientCommand {
  const command = new ClientCommand(name);
  command.examples = examples;
  command.description(description).exitOverride().allowExcessArguments(false);
  command.showHelpAfterError(`(quorate ${name} --help tells what there is)`).configureHelp({ showGlobalOptions: true });
  if (examples.length > 0) command.addHelpText("after", `\nExamples:\n${examples.map((line) => `  quorate ${line}`).join("\n")}`);
  return command;
}

/** What the command does. @param act gets the positional arguments, then the command's own options */
export function onCluster<Flags extends object>(
  command: Command,
  act: (run: Run, args: readonly string[], flags: Flags) => Promise<void>,
): Command {
  return command.action(async () => {
    await told(async () => {
      const settings = settingsOf(command);
      const cluster = await Cluster.open(settings);
      const end = new AbortController();
      try {
        await act({ settings, cluster, print: new Printer(settings), signal: end.signal }, command.args, command.opts<Flags>());
      } finally {
        end.abort();
        cluster.close();
      }
    });
  });
}

/** By flags, variables and the context. @throws CommandError */
function settingsOf(command: Command): ClientSettings {
  const flags = command.optsWithGlobals<GivenSettings>();
  const named = typeof flags.context === "string" ? flags.context : undefined;
  return readClientSettings(flags, process.env, contextValues(named, process.env));
}

/** Tells what could not be done in one line, and sets the exit code. What is a bug goes on. */
export async function told(act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (error instanceof CommandError) process.exitCode = error.exitCode;
    else if (error instanceof ConfigError) process.exitCode = EXIT.usage;
    else if (isQuorateError(error)) process.exitCode = error.reason === "authFailed" ? EXIT.connection : EXIT.failed;
    else if (isHostError(error)) process.exitCode = EXIT.failed;
    else throw error;
    if (error.message !== "") console.error(`Error: ${error.message}`);
  }
}

const isHostError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).code === "string" && "syscall" in error;

/** A whole number as Go's flags take it. @throws CommandError */
export function wholeOf(text: string, what: string): number {
  const value = Number(text);
  if (/^-?[0-9]+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new CommandError(`${what} ${JSON.stringify(text)} is no whole number`, EXIT.usage);
}

/** An id in hexadecimal digits, as it is printed. @returns decimal @throws CommandError */
export function idOf(text: string, what: string): string {
  if (/^[0-9a-fA-F]{1,16}$/.test(text)) return BigInt(`0x${text}`).toString();
  throw new CommandError(`bad ${what} ${JSON.stringify(text)}, expecting ID in Hex`, EXIT.usage);
}

/** @param id decimal; what is left out is zero */
export const hexOf = (id: string | undefined, digits = 1): string =>
  BigInt(id ?? 0)
    .toString(16)
    .padStart(digits, "0");
