/** docs/reference/cli.md, made of the commands themselves: `node runtime-node/commands/cli-page.ts` writes it anew. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { CATALOGUE } from "./catalogue.ts";
import { ClientCommand } from "./client-command.ts";
import { globalOptions } from "./client-settings.ts";

export const CLI_PAGE = fileURLToPath(new URL("../../docs/reference/cli.md", import.meta.url));

const HEAD = `# The \`quorate\` command

<!-- Made from runtime-node/commands by \`npm run docs:cli\`; a test compares them. -->

Flags, output and exit codes of what \`etcdctl\` has are those of \`etcdctl\` 3.4: scripts work with the name changed. \`quorate COMMAND --help\` tells the same as this page.

Where it differs on purpose: \`endpoint health\` writes to standard output; \`lock\` ends as its command ends, and \`lock NAME\` is the lock of the client and of \`/v1/locks\`, while \`lock --etcd NAME\` is that of \`etcdctl\`; the form \`protobuf\` is not there; \`ETCDCTL_*\` variables are not read.
`;

const SETTINGS = `## Settings of all client commands

In rising order: the [context](#quorate-context), variables, flags. Flags may stand before or behind the name of the command.
`;

const EXITS = `## Exit codes

- 0: done
- 1: it could not be done: the store said no, was not reached, or what was held is lost
- 2: the name or the password is wrong, or the lease to be renewed is gone; of \`serve\` and \`snapshot\`: a wrong command line
- 3: what came in on standard input cannot be read
- 4: a form of output, an order or a consistency that this command does not have
- 5: the store ended a watch: the history that it wanted is compacted
- 128: a wrong command line
- 128 + N: ended by signal N while it waited for a lock or an office

\`lock\` and \`elect\` with a command end with the exit code of the command, or 128 and the number of the signal that ended it.
`;

/** The whole page. */
export async function cliPage(): Promise<string> {
  const parts = [HEAD, SETTINGS];
  parts.push(...globalOptions().map(({ flags, description }) => `- \`${flags}\`: ${description}`), "", EXITS);
  for (const [name, { load }] of Object.entries(CATALOGUE)) {
    if (name === "serve") parts.push("## `quorate serve`", "", "Runs a member. Its settings: [configuration.md](configuration.md).", "");
    else parts.push(...sectionOf((await load()).command(), ["quorate"]));
  }
  return `${parts.join("\n").trimEnd()}\n`;
}

function sectionOf(command: Command, above: readonly string[]): string[] {
  const path = [...above, command.name()];
  const { registeredArguments: args, options, commands } = command;
  const usage = [...path, ...args.map((arg) => (arg.required ? `<${arg.name()}>` : `[${arg.name()}${arg.variadic ? "..." : ""}]`))].join(
    " ",
  );
  const description = command.description();
  const lines = [`${"#".repeat(path.length)} \`${path.join(" ")}\``, "", `${description[0]!.toUpperCase()}${description.slice(1)}.`, ""];
  if (commands.length === 0) lines.push("```text", usage, "```", "");
  const entries = [
    ...args.filter((arg) => arg.description !== "").map((arg) => `- \`${arg.name()}\`: ${arg.description}`),
    ...options.map(({ flags, description: text, defaultValue }) => {
      return `- \`${flags}\`: ${text}${typeof defaultValue === "string" ? ` (default: ${defaultValue})` : ""}`;
    }),
  ];
  if (entries.length > 0) lines.push(...entries, "");
  const examples = command instanceof ClientCommand ? command.examples : [];
  if (examples.length > 0) lines.push("```text", ...examples.map((line) => `quorate ${line}`), "```", "");
  if (command instanceof ClientCommand && command.notes !== "") lines.push("```text", command.notes.trim(), "```", "");
  return [...lines, ...commands.flatMap((part) => sectionOf(part, path))];
}

if (import.meta.main) writeFileSync(CLI_PAGE, await cliPage());
