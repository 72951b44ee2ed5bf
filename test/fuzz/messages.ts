/** Protobuf messages of any table, right and wrong. */
import type { Field, MessageTable } from "../../core/api/v3/message-table.ts";
import { protobufEncoder } from "../../core/api/v3/protobuf-codec.ts";
import type { Method } from "../../core/api/v3/services.ts";
import type { Random } from "../differential/random.ts";
import { mutated, randomBytes } from "./attack.ts";

const TEXTS = ["", "a", "b", "a/", "\0", "root", "http://127.0.0.1:1", "x".repeat(300)];
const NUMBERS = [0, 1, 2, 3, 100, -1, 2 ** 31, 2 ** 53 - 1, -(2 ** 53 - 1)];
const IDS = ["0", "1", "1001", "-5", "9223372036854775807", "18446744073709551615"];

/** Bytes that are a message of the table, or nearly one. */
export function fuzzed(random: Random, table: Method["request"]): Buffer {
  if (random.chance(5)) return randomBytes(random, random.int(100));
  const erased = table as MessageTable<unknown>;
  const bytes = Buffer.from(protobufEncoder(erased)(messageOf(random, erased, 4)), "latin1");
  return random.chance(50) ? mutated(random, bytes) : bytes;
}

/** @param depth of messages within it */
export function messageOf(random: Random, table: MessageTable<unknown>, depth: number): unknown {
  const message: Record<string, unknown> = { ...(table.defaults as object) };
  for (const field of table.fields) {
    if (!random.chance(60)) continue;
    if (field.oneOf !== null && table.fields.some((other) => other.oneOf === field.oneOf && message[other.property] !== null)) continue;
    message[field.property] = field.repeated
      ? Array.from({ length: random.int(4) }, () => valueOf(random, field, depth)).filter((value) => value !== null)
      : valueOf(random, field, depth);
  }
  return message;
}

function valueOf(random: Random, field: Field, depth: number): unknown {
  switch (field.kind) {
    case "bytes":
    case "string":
      return random.pick(TEXTS);
    case "bool":
      return random.chance(50);
    case "int64Text":
    case "uint64Text":
      return random.pick(IDS);
    case "enum":
      return random.int(field.enumeration!.values.length + 1);
    case "message":
      return depth === 0 ? null : messageOf(random, field.message!() as MessageTable<unknown>, depth - 1);
    case "int64":
    case "uint64":
    case "uint32":
    case "int32":
      return random.pick(NUMBERS);
  }
}
