/**
 * The command line: finds the command, reads its settings, runs it. What a person did wrong is told in one line, with exit code 2; what
 * went wrong while serving ends with 1.
 */
import { Command, CommanderError, Option } from "commander";
import { ConfigError, readSettings } from "./config.ts";
import { whyNotTaken } from "./etcd-flags.ts";
import { packageVersion } from "./package-version.ts";
import { SETTING_NAMES, type SettingName, defaultOf, isBoolean, metaOf, variableOf } from "./settings.ts";
import { snapshotCommand } from "./snapshot/snapshot-command.ts";

/** Of a wrong command line. */
const EXIT_USAGE = 2;

const EXAMPLES = `
Examples:
  quorate serve
      one member on 127.0.0.1:2379, with its data in ./quorate.data
  quorate serve --listen-client-urls http://0.0.0.0:2379 --data-dir /var/lib/quorate
  QUORATE_LOG_LEVEL=debug quorate serve --auto-compaction-retention=1h

  curl http://127.0.0.1:2379/v2/keys/greeting -XPUT -d value=hello
  curl http://127.0.0.1:2379/v2/keys/greeting
`;

/** @param args what follows the name of the command on the command line */
export async function main(args: readonly string[]): Promise<void> {
  // `quorate --help | head` closes the pipe early, which is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
  try {
    refuseFlagsOfEtcd(args);
    await createProgram().parseAsync(withDoubleDashes(args), { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
    else if (error instanceof ConfigError) {
      console.error(`quorate: ${error.message}`);
      process.exitCode = EXIT_USAGE;
    } else throw error;
  }
}

/** Go's flags may begin with one dash. */
function withDoubleDashes(args: readonly string[]): string[] {
  const names = new Set<string>(SETTING_NAMES);
  return args.map((arg) => (/^-[a-z]/.test(arg) && names.has(arg.slice(1).split("=")[0]!) ? "-" + arg : arg));
}

function createProgram(): Command {
  const program = new Command("quorate");
  program
    .description("A coordination store: etcd's guarantees and wire formats, reachable from anything that can fetch.")
    .version(packageVersion(), "-V, --version", "print the version")
    .exitOverride()
    .showHelpAfterError("(quorate --help, or quorate serve --help, tells what there is)")
    .addHelpText("after", EXAMPLES);
  program.addCommand(serveCommand());
  program.addCommand(snapshotCommand());
  return program;
}

function serveCommand(): Command {
  const command = new Command("serve").description("run a member").exitOverride().allowExcessArguments(false);
  command.configureHelp({ optionDescription: (option) => option.description });
  for (const name of SETTING_NAMES) command.addOption(optionOf(name));
  command.addHelpText("after", EXAMPLES);
  command.action(async () => {
    const flags = SETTING_NAMES.map((name) => [name, command.getOptionValue(attributeOf(name)) as unknown]);
    const settings = readSettings(Object.fromEntries(flags), process.env);
    const { serve } = await import("./serve.ts");
    await serve(settings);
  });
  return command;
}

/** commander's name for the value of an option. */
const attributeOf = (name: SettingName): string => new Option(`--${name}`).attributeName();

function optionOf(name: SettingName): Option {
  const { placeholder, description, group } = metaOf(name);
  const option = new Option(isBoolean(name) ? `--${name} [${placeholder}]` : `--${name} <${placeholder}>`, helpOf(name, description));
  option.helpGroup(`${group}:`);
  if (isBoolean(name)) option.preset("true");
  return option;
}

function helpOf(name: SettingName, description: string): string {
  const value = defaultOf(name);
  return `${description}${value === undefined ? "" : ` Default: ${value}.`} (${variableOf(name)})`;
}

/** @throws ConfigError for a flag of etcd that has no effect here, or not yet */
function refuseFlagsOfEtcd(argv: readonly string[]): void {
  for (const arg of argv) {
    const name = /^--?([a-z][a-z0-9-]*)/.exec(arg)?.[1];
    const reason = name === undefined ? undefined : whyNotTaken(name);
    if (reason !== undefined) throw new ConfigError(`--${name} is not taken: ${reason}`);
  }
}
