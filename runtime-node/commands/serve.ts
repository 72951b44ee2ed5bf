/** `quorate serve`: the settings of a member as flags, and the member. */
import { Command, Option } from "commander";
import { ConfigError, readSettings } from "../config.ts";
import { whyNotTaken } from "../etcd-flags.ts";
import { SETTING_NAMES, type SettingName, type Settings, defaultOf, isBoolean, metaOf, variableOf } from "../settings.ts";

export const SERVE_EXAMPLES = `
Examples:
  quorate serve
      one member on 127.0.0.1:2379, with its data in ./quorate.data
  quorate serve --listen-client-urls http://0.0.0.0:2379 --data-dir /var/lib/quorate
  QUORATE_LOG_LEVEL=debug quorate serve --auto-compaction-retention=1h
  quorate serve --config-file /etc/quorate.yaml
`;

export function command(): Command {
  const command = new Command("serve").description("run a member").exitOverride().allowExcessArguments(false);
  command.configureHelp({ optionDescription: (option) => option.description });
  command.option("--config-file <FILE>", "Settings as YAML; flags and variables win over it. (QUORATE_CONFIG_FILE)");
  command.option("--print-config", "Print all settings as such a file, and end.");
  for (const name of SETTING_NAMES) command.addOption(optionOf(name));
  command.addHelpText("after", SERVE_EXAMPLES);
  command.action(async () => {
    const flags = SETTING_NAMES.map((name) => [name, command.getOptionValue(attributeOf(name)) as unknown]);
    const path = (command.getOptionValue("configFile") as string | undefined) ?? process.env["QUORATE_CONFIG_FILE"];
    const file = path === undefined || path === "" ? undefined : (await import("../config-file.ts")).readConfigFile;
    const read = (): Settings => readSettings(Object.fromEntries(flags), process.env, file?.(path!));
    const settings = read();
    if (command.getOptionValue("printConfig") === true) return printConfig(settings);
    const { serve } = await import("../serve.ts");
    await serve(settings, read);
  });
  return command;
}

/** What would be in force, as a file that says the same. */
async function printConfig(settings: Settings): Promise<void> {
  const { stringify } = await import("yaml");
  process.stdout.write(stringify(settings));
}

/** Go's flags may begin with one dash. @throws ConfigError for a flag of etcd that has no effect here, or not yet */
export function serveArguments(args: readonly string[]): string[] {
  const names = new Set<string>([...SETTING_NAMES, "config-file"]);
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
