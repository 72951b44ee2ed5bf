/**
 * `quorate completion`: what a shell has to know to complete names of commands and flags, made of the commands themselves. Nothing of
 * Quorate runs while one types.
 */
import type { Command } from "commander";
import { newCommand, told } from "./client-command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";

export function command(): Command {
  const command = newCommand("completion", "print what a shell needs to complete commands and flags", [
    "completion bash > /etc/bash_completion.d/quorate",
    "completion zsh > ~/.quorate.zsh      and: source ~/.quorate.zsh",
    "completion fish > ~/.config/fish/completions/quorate.fish",
  ]);
  command.argument("<shell>", "bash, zsh or fish");
  return command.action(() =>
    told(async () => {
      const { programWithAll } = await import("../main.ts");
      const nodes = nodesOf(await programWithAll());
      const [shell] = command.args;
      if (shell === "bash") return console.log(bash(nodes));
      if (shell === "zsh") return console.log(`autoload -U +X bashcompinit && bashcompinit\n${bash(nodes)}`);
      if (shell === "fish") return console.log(fish(nodes));
      throw new CommandError(`${JSON.stringify(shell)} is no shell that is known here: bash, zsh or fish`, EXIT.usage);
    }),
  );
}

interface Node {
  /** Names from the program on, without its own. */
  readonly path: readonly string[];
  readonly parts: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly { readonly long: string; readonly description: string }[];
}

function nodesOf(command: Command, path: readonly string[] = [], above: Node["flags"] = []): Node[] {
  const own = command.options.flatMap(({ long, description }) => (!long ? [] : [{ long, description: description ?? "" }]));
  const flags = [...own, ...above];
  const parts = command.commands.map((part) => ({ name: part.name(), description: part.description() }));
  // Of the program itself only --help and --version: the others are those of the commands.
  const passedOn = path.length === 0 ? own.filter(({ long }) => long !== "--version") : flags;
  return [{ path, parts, flags }, ...command.commands.flatMap((part) => nodesOf(part, [...path, part.name()], passedOn))];
}

function bash(nodes: readonly Node[]): string {
  const cases = nodes.map(({ path, parts, flags }) => {
    const words = [...parts.map(({ name }) => name), ...flags.map(({ long }) => long), "--help"];
    return `    "${path.join(" ")}") words="${words.join(" ")}" ;;`;
  });
  const paths = nodes.map(({ path }) => `"${path.join(" ")}"`).join("|");
  return `# quorate: names of commands and flags
_quorate() {
  local path="" word next words=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${path:+$path }$word"
    case "$next" in ${paths}) path="$next" ;; esac
  done
  case "$path" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _quorate quorate`;
}

function fish(nodes: readonly Node[]): string {
  const quoted = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;
  const lines = nodes.flatMap(({ path, parts, flags }) => {
    const seen = path.map((name) => `__fish_seen_subcommand_from ${name}`).join("; and ");
    const when = path.length === 0 ? "__fish_use_subcommand" : seen;
    const begin = `complete -c quorate -n ${quoted(when)}`;
    return [
      ...parts.map(({ name, description }) => `${begin} -f -a ${name} -d ${quoted(description)}`),
      ...flags.map(({ long, description }) => `${begin} -l ${long.slice(2)} -d ${quoted(description)}`),
    ];
  });
  return `# quorate: names of commands and flags\n${lines.join("\n")}`;
}
