/**
 * How a message of etcd's v3 API is described: one table a message, from which the JSON codec is built and, over gRPC, the protobuf
 * codec. Decoded messages are plain objects, so that one set of handlers serves both.
 *
 * What a decoded field holds, and its default (which an encoder leaves out):
 *   bytes                  a byte string, ""            bool                   false
 *   string                 text, ""                     enumeration            its number, 0; unknown numbers are kept, as in proto3
 *   int64, uint64, uint32, int32   a JS number, 0: for revisions, counts, seconds. Beyond 2^53 it is the nearest double, which is enough
 *                          to compare with anything that a store can hold
 *   int64Text, uint64Text  decimal text, "0": for ids, exact
 *   one (a message)        an object, null              many (repeated)        an array, []
 *   oneOf                  as above, or null when another member of the group, or none, is set: zero is not the same as unset
 *
 * Example: `{ key: bytes("key", 1), limit: int64("limit", 3) }` describes `{ key: Bytes; limit: number }`.
 * Source: names and numbers of etcd's rpc.proto; proto3 JSON mapping, https://protobuf.dev/programming-guides/json/.
 */
import type { Bytes } from "../../bytes/bytes.ts";

export type ScalarKind = "bytes" | "string" | "bool" | "int64" | "uint64" | "uint32" | "int32" | "int64Text" | "uint64Text";

/** A closed list of names for numbers from 0 on, without gaps. */
export interface EnumTable {
  /** As etcd's errors spell it. */
  readonly name: string;
  readonly values: readonly string[];
}

/**
 * Messages within messages (transactions within transactions) beyond this are refused: the default of protobuf's own readers. Without
 * a limit a body of 2 MiB could ask for a recursion of many thousands.
 */
export const MESSAGE_NESTING_MAX = 100;

export interface Field {
  /** The property of the decoded object. */
  readonly property: string;
  /** On the wire, as in the proto file. */
  readonly name: string;
  /** The other spelling that a JSON reader must take: underscores dropped, the next letter capital. */
  readonly jsonName: string;
  readonly number: number;
  readonly kind: ScalarKind | "enum" | "message";
  readonly repeated: boolean;
  /** Name of the group of which at most one is set, or null. */
  readonly oneOf: string | null;
  readonly enumeration: EnumTable | null;
  /** A function, because messages may contain each other. */
  readonly message: (() => MessageTable<never>) | null;
}

export interface MessageTable<T> {
  /** With its package: `etcdserverpb.RangeRequest`. */
  readonly name: string;
  /** In the order in which etcd writes them. */
  readonly fields: readonly Field[];
  /** Every property with its default. Frozen: spread it to make a new message. */
  readonly defaults: Readonly<T>;
}

/** A field without its property name; `takes` exists for the type checker alone: it ties the field to the property's type. */
export interface FieldSpec<V> extends Omit<Field, "property"> {
  takes?(value: V): void;
}

type Options = { readonly oneOf?: string };

/**
 * @param specs one for each property of T, in the order in which etcd writes them; the compiler checks that names and types agree
 */
export function message<T extends object>(name: string, specs: { readonly [P in keyof T]-?: FieldSpec<T[P]> }): MessageTable<T> {
  const entries = Object.entries(specs) as [string, FieldSpec<unknown>][];
  const fields = entries.map(([property, spec]): Field => ({ ...spec, property }));
  const defaults = Object.fromEntries(fields.map((field) => [field.property, defaultOf(field)]));
  return { name, fields, defaults: Object.freeze(defaults) as Readonly<T> };
}

/** What a decoder puts where the wire says nothing. */
export function defaultOf(field: Field): unknown {
  if (field.repeated) return NOTHING;
  if (field.oneOf !== null) return null;
  return zeroOf(field);
}

/** Of several members of a group that are set, the last one counts: before it is set, the others are unset. */
export function clearGroup(table: MessageTable<unknown>, group: string, out: Record<string, unknown>): void {
  for (const field of table.fields) if (field.oneOf === group) out[field.property] = null;
}

/** The zero of a field's type, apart from whether it is repeated or in a group. */
export function zeroOf(field: Field): unknown {
  switch (field.kind) {
    case "bytes":
    case "string":
      return "";
    case "bool":
      return false;
    case "int64Text":
    case "uint64Text":
      return "0";
    case "int64":
    case "uint64":
    case "uint32":
    case "int32":
    case "enum":
      return 0;
    case "message":
      return null;
  }
}

const NOTHING: readonly never[] = Object.freeze([]);

export const bytes = scalar<Bytes>("bytes");
export const string = scalar<string>("string");
export const bool = scalar<boolean>("bool");
export const int64 = scalar<number>("int64");
export const uint64 = scalar<number>("uint64");
export const uint32 = scalar<number>("uint32");
export const int32 = scalar<number>("int32");
export const int64Text = scalar<string>("int64Text");
export const uint64Text = scalar<string>("uint64Text");

/** An open enumeration: the decoded value is the number, known or not. */
export function enumeration(table: EnumTable, name: string, number: number): FieldSpec<number> {
  return { ...plain(name, number), kind: "enum", enumeration: table };
}

/** @param table a function, because messages may contain each other */
export function one<T>(table: () => MessageTable<T>, name: string, number: number, options: Options = {}): FieldSpec<T | null> {
  const lazy = table as unknown as () => MessageTable<never>;
  return { ...plain(name, number), kind: "message", message: lazy, oneOf: options.oneOf ?? null };
}

export function many<T>(table: () => MessageTable<T>, name: string, number: number): FieldSpec<readonly T[]> {
  return { ...one(table, name, number), repeated: true } as FieldSpec<readonly T[]>;
}

/** The repeated form of a scalar or an enumeration. */
export function repeated<V>(spec: FieldSpec<V>): FieldSpec<readonly V[]> {
  return { ...spec, repeated: true } as unknown as FieldSpec<readonly V[]>;
}

/** The same field as a member of a group of which at most one is set. */
export function oneOf<V>(group: string, spec: FieldSpec<V>): FieldSpec<V | null> {
  return { ...spec, oneOf: group } as FieldSpec<V | null>;
}

function scalar<V>(kind: ScalarKind) {
  return (name: string, number: number): FieldSpec<V> => ({ ...plain(name, number), kind });
}

function plain(name: string, number: number): Omit<Field, "property" | "kind"> {
  const jsonName = name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return { name, jsonName, number, repeated: false, oneOf: null, enumeration: null, message: null };
}
