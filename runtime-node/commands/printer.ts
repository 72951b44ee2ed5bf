/**
 * How answers are shown: `simple` for people and pipes, `json` as Go prints etcd's messages, `table`, and `fields`, one a line. A command
 * says how its answer looks in each form that it has; a form that it has not ends it.
 *
 * Everything is written as byte strings: keys and values go out as they are.
 */
import { type Bytes, toUint8Array } from "../../core/bytes/bytes.ts";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import type { ClientSettings, Format } from "./client-settings.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { goJson } from "./go-json.ts";
import { tableOf } from "./table.ts";

/** A field of the form `fields`: its name and how its value is written. */
export type FieldLine = readonly [name: string, value: string];

export interface Table {
  readonly heads: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** An answer in all forms that it has. */
export interface Shown {
  readonly simple: () => Bytes | string;
  /** As the gateway has it. */
  readonly json: () => unknown;
  readonly fields?: () => readonly FieldLine[];
  readonly table?: () => Table;
}

export class Printer {
  readonly format: Format;
  readonly hex: boolean;

  constructor({ writeOut, hex }: Pick<ClientSettings, "writeOut" | "hex">) {
    this.format = writeOut;
    this.hex = hex;
  }

  /** @throws CommandError for a form that this answer does not have */
  show({ simple, json, fields, table }: Shown): void {
    switch (this.format) {
      case "simple":
        return this.write(simple());
      case "json":
        return this.write(utf8Encode(`${goJson(json())}\n`));
      case "fields":
        if (fields === undefined) break;
        return this.write(utf8Encode(fields().map(fieldLine).join("")));
      case "table":
        if (table === undefined) break;
        return this.write(utf8Encode(`${tableOf(table())}\n`));
    }
    throw new CommandError(`${this.format} not supported as output format`, EXIT.unsupported);
  }

  /** Byte strings as they are; text of ASCII. */
  write(bytes: Bytes | string): void {
    if (bytes !== "") process.stdout.write(toUint8Array(bytes as Bytes));
  }

  /** Key or value, for the form `simple`. */
  bytes(base64: string | undefined): Bytes {
    const bytes = bytesOf(base64);
    return this.hex ? (bytes.replace(/[^]/g, (one) => `\\x${one.charCodeAt(0).toString(16).padStart(2, "0")}`) as Bytes) : bytes;
  }
}

function fieldLine([name, value]: FieldLine): string {
  return name === "" ? `${value}\n` : `"${name}" : ${value}\n`;
}

/** Of the gateway's base64; what is left out is empty. */
export function bytesOf(base64: string | undefined): Bytes {
  return Buffer.from(base64 ?? "", "base64").toString("latin1") as Bytes;
}

/** Of what stood on the command line. */
export function base64Of(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}
