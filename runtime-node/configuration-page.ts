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

## A file of settings

\`--config-file FILE\` (or \`QUORATE_CONFIG_FILE\`) is YAML with the same names; flags and variables win over it. etcd's sections \`client-transport-security\` and \`peer-transport-security\` are taken too. A name that is none ends the command with the line and the nearest name that there is.

\`\`\`yaml
name: a
data-dir: /var/lib/quorate
listen-client-urls: [https://0.0.0.0:2379]
client-transport-security:
  cert-file: /etc/quorate/server.pem
  key-file: /etc/quorate/server.key
log-level: info
\`\`\`

\`quorate serve --print-config\` prints all settings that would be in force, as such a file. On SIGHUP the file and certificates are read anew: \`log-level\` counts at once, and the log names changed settings that count from the next start on. What cannot be taken is told in the log, and changes nothing.
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
