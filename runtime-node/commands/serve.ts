/** `quorate serve`: the settings of a member as flags, and the member. */
import { Command, Option } from "commander";
import { ConfigError, readSettings } from "../config.ts";
import { whyNotTaken } from "../etcd-flags.ts";
import { SETTING_NAMES, type SettingName, defaultOf, isBoolean, metaOf, variableOf } from "../settings.ts";

export const SERVE_EXAMPLES = `
Examples:
  quorate serve
      one member on 127.0.0.1:2379, with its data in ./quorate.data
  quorate serve --listen-client-urls http://0.0.0.0:2379 --data-dir /var/lib/quorate
  QUORATE_LOG_LEVEL=debug quorate serve --auto-compaction-retention=1h
`;

export function command(): Command {
  const command = new Command("serve").description("run a member").exitOverride().allowExcessArguments(false);
  command.configureHelp({ optionDescription: (option) => option.description });
  for (const name of SETTING_NAMES) command.addOption(optionOf(name));
  command.addHelpText("after", SERVE_EXAMPLES);
  command.action(async () => {
    const flags = SETTING_NAMES.map((name) => [name, command.getOptionValue(attributeOf(name)) as unknown]);
    const settings = readSettings(Object.fromEntries(flags), process.env);
    const { serve } = await import("../serve.ts");
    await serve(settings);
  });
  return command;
}

/** Go's flags may begin with one dash. @throws ConfigError for a flag of etcd that has no effect here, or not yet */
export function serveArguments(args: readonly string[]): string[] {
  const names = new Set<string>(SETTING_NAMES);
  for (const arg of args) {
    const name = /^--?([a-z][a-z0-9-]*)/.exec(arg)?.[1];
    const reason = name === undefined ? undefined : whyNotTaken(name);
    if (reason !== undefined) throw new ConfigError(`--${name} is not taken: ${reason}`);
  }
  return args.map((arg) => (/^-[a-z]/.test(arg) && names.has(arg.slice(1).split("=")[0]!) ? "-" + arg : arg));
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
