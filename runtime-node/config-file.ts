/**
 * A file of settings, YAML: the names are those of the flags, a list may be written as one. What stands under etcd's
 * `client-transport-security` and `peer-transport-security` means the flags of TLS.
 */
import { readFileSync } from "node:fs";
import { closest } from "fastest-levenshtein";
import { LineCounter, isMap, isScalar, isSeq, parseDocument } from "yaml";
import { ConfigError, type FileSettings } from "./config.ts";
import { SETTING_NAMES, type SettingName } from "./settings.ts";

/** etcd's sections, and what their names have before them as flags. */
const SECTIONS: Readonly<Record<string, string>> = { "client-transport-security": "", "peer-transport-security": "peer-" };

/** @throws ConfigError that names the file, the line, and for an unknown key the nearest that there is */
export function readConfigFile(path: string): FileSettings {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(`--config-file ${path} cannot be read: ${(error as Error).message}`);
  }
  return parseConfig(text, path);
}

/** @param path for messages */
export function parseConfig(text: string, path: string): FileSettings {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number | undefined): string => (offset === undefined ? path : `${path} line ${lines.linePos(offset).line}`);
  const [broken] = document.errors;
  if (broken !== undefined) throw new ConfigError(`${place(broken.pos[0])}: ${broken.message}`);
  const values: Partial<Record<SettingName, string>> = {};
  const places = new Map<SettingName, string>();
  const take = (map: unknown, prefix: string, inSection: boolean): void => {
    if (!isMap(map)) throw new ConfigError(`${path}: wanted are lines such as data-dir: /var/lib/quorate`);
    for (const { key, value } of map.items) {
      const name = isScalar(key) ? String(key.value) : "";
      const at = place(isScalar(key) ? key.range?.[0] : undefined);
      if (!inSection && SECTIONS[name] !== undefined) {
        take(value, SECTIONS[name], true);
        continue;
      }
      const setting = nameOf(`${prefix}${name}`, name, at);
      values[setting] = valueOf(value, `${at}: ${name}`);
      places.set(setting, `${at}: ${name}`);
    }
  };
  if (document.contents !== null) take(document.contents, "", false);
  return { values, places };
}

function nameOf(name: string, written: string, at: string): SettingName {
  const found = SETTING_NAMES.find((one) => one === name);
  if (found !== undefined) return found;
  throw new ConfigError(`${at}: ${written} is no setting; did you mean ${closest(name, SETTING_NAMES)}?`);
}

/** @throws ConfigError for what no flag could say */
function valueOf(value: unknown, what: string): string {
  if (isScalar(value) && value.value !== null) return String(value.value);
  if (isSeq(value) && value.items.length > 0) return value.items.map((item) => valueOf(item, what)).join(",");
  throw new ConfigError(`${what} has no value: wanted is a text, a number, true or false, or a list of such`);
}
