/**
 * Values with a type: how they are written as bytes and read again. A schema of any library that speaks Standard Schema (zod, valibot,
 * arktype …; https://standardschema.dev) checks what is written and what is read.
 */
import { type Bytes, fromUint8Array, toUint8Array } from "../core/bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../core/bytes/utf8.ts";
import { errBadValue } from "../core/errors.ts";

export interface Codec<T, In = T> {
  /** @throws QuorateError badValue */
  encode(value: In): Bytes | Promise<Bytes>;
  /** @throws QuorateError badValue */
  decode(value: Bytes): T | Promise<T>;
}

/** One that needs no waiting: its bytes can be given to any recipe that takes some. */
export interface SyncCodec<T> extends Codec<T> {
  encode(value: T): Bytes;
  decode(value: Bytes): T;
}

/** The part of Standard Schema that is used. */
export interface StandardSchema<In = unknown, Out = In> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    validate(value: unknown): SchemaResult<Out> | Promise<SchemaResult<Out>>;
    readonly types?: { readonly input: In; readonly output: Out } | undefined;
  };
}

type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[] };

export const text: SyncCodec<string> = { encode: utf8Encode, decode: utf8Decode };

export const bytes: SyncCodec<Uint8Array> = { encode: fromUint8Array, decode: toUint8Array };

/** JSON; with a schema, a value is checked before it is written, and what the schema makes of it is what is read. */
export function json<T = unknown>(): SyncCodec<T>;
export function json<In, Out>(schema: StandardSchema<In, Out>): Codec<Out, In>;
export function json(schema?: StandardSchema): Codec<unknown> {
  if (schema === undefined) return { encode: writeJson, decode: readJson };
  return {
    encode: async (value) => {
      await checked(schema, value);
      return writeJson(value);
    },
    decode: async (value) => checked(schema, readJson(value)),
  };
}

function writeJson(value: unknown): Bytes {
  const written = JSON.stringify(value) as string | undefined;
  if (written === undefined) throw errBadValue(`a value of type ${typeof value} cannot be written as JSON`);
  return utf8Encode(written);
}

function readJson(value: Bytes): unknown {
  try {
    return JSON.parse(utf8Decode(value));
  } catch (error) {
    throw errBadValue("the value is no JSON", error);
  }
}

async function checked(schema: StandardSchema, value: unknown): Promise<unknown> {
  const result = await schema["~standard"].validate(value);
  if (result.issues === undefined) return result.value;
  const said = result.issues.map(({ message, path = [] }) => (path.length === 0 ? message : `${path.map(segment).join(".")}: ${message}`));
  throw errBadValue(`the value does not fit its schema: ${said.join("; ")}`);
}

function segment(step: unknown): string {
  return String(typeof step === "object" && step !== null && "key" in step ? step.key : step);
}
