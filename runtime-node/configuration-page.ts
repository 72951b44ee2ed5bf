/** docs/reference/configuration.md, made from the schema of the settings: `node runtime-node/configuration-page.ts` writes it anew. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SETTING_NAMES, type SettingMeta, type SettingName, defaultOf, metaOf, variableOf } from "./settings.ts";

export const CONFIGURATION_PAGE = fileURLToPath(new URL("../docs/reference/configuration.md", import.meta.url));

const HEAD = `# Configuration

<!-- Made from runtime-node/settings.ts by \`npm run docs:configuration\`; a test compares them. -->

\`quorate serve\` takes each setting as a flag, \`--name value\` or \`--name=value\`, and as an environment variable. A flag wins over a variable.
Names and meanings are those of [etcd](https://etcd.io/docs/v3.4/op-guide/configuration/) unless a setting is marked as ours. A value that cannot
be taken ends the command with exit code 2 and says what is wanted; so does an unknown flag, and a flag of etcd that has no effect here.
`;

/** The whole page. */
export function configurationPage(): string {
  const groups = new Map<SettingMeta["group"], SettingName[]>();
  for (const name of SETTING_NAMES) {
    const { group } = metaOf(name);
    groups.set(group, [...(groups.get(group) ?? []), name]);
  }
  const parts = [HEAD];
  for (const [group, names] of groups) parts.push(`## ${group}\n`, ...names.map(entry));
  return parts.join("\n");
}

function entry(name: SettingName): string {
  const { description, wants, ours } = metaOf(name);
  const value = defaultOf(name);
  return [
    `### \`--${name}\``,
    "",
    `${description}${ours === true ? " (Ours.)" : ""}`,
    "",
    `- Value: ${wants}`,
    `- Default: ${value === undefined ? "see above" : `\`${value}\``}`,
    `- Variable: \`${variableOf(name)}\``,
    "",
  ].join("\n");
}

if (import.meta.main) writeFileSync(CONFIGURATION_PAGE, configurationPage());
