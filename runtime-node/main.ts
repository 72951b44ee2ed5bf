/**
 * The command line: finds the command, loads it, runs it. What a person did wrong is told in one line; docs/reference/cli.md has the exit
 * codes.
 */
import { Command, CommanderError, type Option } from "commander";
import { CATALOGUE } from "./commands/catalogue.ts";
import { globalOptions } from "./commands/client-settings.ts";
import { EXIT } from "./commands/exit-codes.ts";
import { ConfigError } from "./config.ts";
import { packageVersion } from "./package-version.ts";

/** Of a wrong command line of what runs on a member's host; etcdctl's is another for the commands that it has. */
const EXIT_USAGE = 2;

const EXAMPLES = `
Examples:
  quorate serve
      one member on 127.0.0.1:2379, with its data in ./quorate.data
  quorate put greeting hello
  quorate get greeting
  quorate watch --prefix config/ -- ./reload.sh

  curl http://127.0.0.1:2379/v2/keys/greeting -XPUT -d value=hello
  curl http://127.0.0.1:2379/v2/keys/greeting

quorate COMMAND --help tells more of each.`;

/** @param args what follows the name of the command on the command line */
export async function main(args: readonly string[]): Promise<void> {
  // `quorate --help | head` closes the pipe early, which is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
  const name = nameIn(args);
  const onCluster = name !== undefined && CATALOGUE[name]?.onCluster === true;
  try {
    const program = await programFor(name);
    await program.parseAsync(await argumentsFor(name, args, program), { from: "user" });
  } catch (error) {
    const usage = onCluster ? EXIT.usage : EXIT_USAGE;
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : usage;
    else if (error instanceof ConfigError) {
      console.error(`quorate: ${error.message}`);
      process.exitCode = EXIT_USAGE;
    } else throw error;
  }
}

/** The program with the named command; with the names of the others, but not their modules. */
export async function programFor(name: string | undefined): Promise<Command> {
  const program = new Command("quorate");
  program
    .description("A coordination store: etcd's guarantees and wire formats, reachable from anything that can fetch.")
    .version(packageVersion(), "-V, --version", "print the version")
    .exitOverride()
    .showHelpAfterError(`(quorate --help, or quorate ${name ?? "serve"} --help, tells what there is)`)
    .addHelpText("after", EXAMPLES);
  for (const [key, entry] of Object.entries(CATALOGUE)) {
    if (key !== name) program.addCommand(new Command(key).description(entry.summary));
    else {
      program.addCommand((await entry.load()).command());
      if (entry.onCluster === true) for (const option of globalOptions()) program.addOption(option.helpGroup("Cluster:"));
    }
  }
  return program;
}

/** The program with every command, loaded: for what is made of all of them. */
export async function programWithAll(): Promise<Command> {
  const program = new Command("quorate");
  for (const { onCluster, load } of Object.values(CATALOGUE)) {
    const command = (await load()).command();
    if (onCluster === true) for (const option of globalOptions()) command.addOption(option);
    program.addCommand(command);
  }
  return program;
}

/** The first word that is no flag, nor the value of one that every client command has. */
function nameIn(args: readonly string[]): string | undefined {
  const withValue = new Set(globalOptions().flatMap(({ required, long, short }) => (required ? [long, short] : [])));
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    if (!arg.startsWith("-")) return arg;
    if (withValue.has(arg)) at++;
  }
  return undefined;
}

async function argumentsFor(name: string | undefined, args: readonly string[], program: Command): Promise<string[]> {
  if (name === "serve") return (await import("./commands/serve.ts")).serveArguments(args);
  return name !== undefined && CATALOGUE[name]?.onCluster === true ? asGoHasThem(args, program) : [...args];
}

/** Go's flags may be written `--prefix=true`, `--prefix=false` and `-w=json`. */
function asGoHasThem(args: readonly string[], program: Command): string[] {
  const all = (command: Command): readonly Option[] => [...command.options, ...command.commands.flatMap(all)];
  const options = all(program);
  const marks = new Set(options.flatMap((option) => (option.isBoolean() || option.negate ? [option.long] : [])));
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  const written = own.flatMap((arg) => {
    const [, name, value] = /^--([a-z0-9-]+)=(true|false)$/.exec(arg) ?? [];
    if (name !== undefined && marks.has(`--${name}`)) {
      if (value === "true") return [`--${name}`];
      return marks.has(`--no-${name}`) ? [`--no-${name}`] : [];
    }
    return [arg.replace(/^-([a-z])=/, "-$1")];
  });
  return end < 0 ? written : [...written, ...args.slice(end)];
}
