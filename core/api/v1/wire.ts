/**
 * Keys, values and transactions as JSON that people can read and write. A byte string is text where it is UTF-8, and `{"base64": "…"}`
 * otherwise; what is sent may always be either. A value may also be `{"json": …}`.
 */
import { z } from "zod";
import { decodeBase64, encodeBase64 } from "../../bytes/base64.ts";
import { type Bytes, EMPTY, ZERO, prefixEnd } from "../../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../../bytes/utf8.ts";
import {
  type Compare,
  type KeyRange,
  type KeyValue,
  NO_LEASE,
  type Operation as StoreOperation,
  type OperationResult,
  type RangeRequest,
  type TxnRequest,
  type TxnResult,
} from "../../store/command.ts";
import { contentTypeField, leaseParam } from "./fields.ts";

const base64 = z.strictObject({
  base64: z.string().refine((text) => decodeBase64(text) !== undefined, "must be padded standard base64"),
});
type Text = string | { readonly base64: string };

const fromText = (text: Text): Bytes => (typeof text === "string" ? utf8Encode(text) : decodeBase64(text.base64)!);

/** Bytes, as they come in. */
export const bytesField = z.union([z.string(), base64]).transform(fromText).meta({ description: 'Text, or {"base64": "…"}.' });

export const valueField = z
  .union([z.string(), base64, z.strictObject({ json: z.json() })])
  .transform((value) => (typeof value === "object" && "json" in value ? utf8Encode(JSON.stringify(value.json)) : fromText(value)))
  .meta({ description: 'Text, {"base64": "…"}, or {"json": …}.' });

/** Bytes, as they go out. */
export const bytesOut = z.union([z.string(), z.object({ base64: z.string() })]);

/** Text where that can be read back as the same bytes. */
export function bytesToJson(value: Bytes): z.infer<typeof bytesOut> {
  const text = utf8Decode(value);
  return utf8Encode(text) === value ? text : { base64: encodeBase64(value) };
}

export const keyValueOut = z.object({
  key: bytesOut,
  value: bytesOut.optional().describe("Left out where only keys were asked for."),
  createRevision: z.int(),
  modRevision: z.int(),
  version: z.int(),
  lease: z.string().optional(),
  contentType: z.string().optional().describe("As it was told when the value was put."),
});

export function keyValueToJson(
  { key, value, createRevision, modRevision, version, lease, contentType }: KeyValue,
  keysOnly = false,
): z.infer<typeof keyValueOut> {
  return {
    key: bytesToJson(key),
    ...(keysOnly ? {} : { value: bytesToJson(value) }),
    createRevision,
    modRevision,
    version,
    ...(lease === NO_LEASE ? {} : { lease }),
    ...(contentType === undefined ? {} : { contentType }),
  };
}

const keysShape = {
  key: bytesField.optional().describe("One key."),
  prefix: bytesField.optional().describe("All keys that begin so."),
  from: bytesField.optional().describe("All keys from this one on, before `to`."),
  to: bytesField.optional(),
};
const ONE_OF = "must have exactly one of key, prefix and from";

export interface Keys {
  readonly key?: Bytes | undefined;
  readonly prefix?: Bytes | undefined;
  readonly from?: Bytes | undefined;
  readonly to?: Bytes | undefined;
}

/** One of them is given. */
export const isOne = ({ key, prefix, from, to }: Keys): boolean =>
  [key, prefix, from].filter((one) => one !== undefined).length === 1 && (to === undefined || from !== undefined);

/** The range that the fields name. An empty prefix is everything. */
export function rangeIn({ key, prefix, from, to }: Keys): KeyRange {
  if (key !== undefined) return { key, end: EMPTY };
  if (prefix !== undefined) return prefix === EMPTY ? { key: ZERO, end: ZERO } : { key: prefix, end: prefixEnd(prefix) };
  return { key: from === EMPTY ? ZERO : from!, end: to ?? ZERO };
}

const revision = z.int().min(0);

const compareIn = z
  .strictObject({
    ...keysShape,
    target: z.enum(["exists", "createRevision", "modRevision", "version", "value", "lease"]).default("exists"),
    is: z.enum(["equal", "notEqual", "greater", "less"]).default("equal"),
    than: z.union([z.boolean(), z.int(), z.string(), base64, z.strictObject({ json: z.json() })]).default(true),
  })
  .refine(isOne, ONE_OF)
  .transform((compare, context): Compare => {
    const range = rangeIn(compare);
    const { target, is: operator, than } = compare;
    const wrong = (what: string): never => {
      context.addIssue({ code: "custom", path: ["than"], message: `must be ${what}, for the target ${target}` });
      return z.NEVER;
    };
    switch (target) {
      case "exists":
        if (typeof than !== "boolean" || operator !== "equal") return wrong("true or false, with is equal");
        return { ...range, target: "create", operator: than ? "greater" : "equal", value: 0 };
      case "value": {
        const value = valueField.safeParse(than);
        return value.success ? { ...range, target, operator, value: value.data } : wrong("a value");
      }
      case "lease":
        if (typeof than !== "string" || !/^\d{1,19}$/.test(than)) return wrong("a lease id in decimal");
        return { ...range, target, operator, value: than as Bytes };
      default: {
        if (typeof than !== "number") return wrong("a number");
        const of = target === "createRevision" ? "create" : target === "modRevision" ? "mod" : "version";
        return { ...range, target: of, operator, value: than };
      }
    }
  });

const sort = z.strictObject({
  by: z.enum(["key", "version", "createRevision", "modRevision", "value"]).default("key"),
  order: z.enum(["ascend", "descend"]).default("ascend"),
});
const SORT_TARGETS = { key: "key", version: "version", createRevision: "create", modRevision: "mod", value: "value" } as const;

const getIn = z
  .strictObject({
    op: z.literal("get"),
    ...keysShape,
    revision: revision.default(0),
    limit: z.int().min(0).default(0),
    sort: sort.optional(),
    keysOnly: z.boolean().default(false),
    countOnly: z.boolean().default(false),
    minModRevision: revision.default(0),
    maxModRevision: revision.default(0),
    minCreateRevision: revision.default(0),
    maxCreateRevision: revision.default(0),
  })
  .refine(isOne, ONE_OF)
  .transform(({ op: _, key, prefix, from, to, sort: by, ...rest }): { op: "range" } & RangeRequest => ({
    op: "range",
    ...rangeIn({ key, prefix, from, to }),
    ...rest,
    sortTarget: SORT_TARGETS[by?.by ?? "key"],
    sortOrder: by?.order ?? "none",
  }));

const leaseIn = leaseParam.optional().transform((lease) => lease ?? NO_LEASE);

const putIn = z
  .strictObject({
    op: z.literal("put"),
    key: bytesField,
    value: valueField.optional().describe("Left out: the value stays as it is."),
    lease: leaseIn,
    keepLease: z.boolean().default(false).describe("The lease stays as it is."),
    prev: z.boolean().default(false).describe("Answer with what was there before."),
    contentType: contentTypeField.optional(),
  })
  .transform(({ key, value, lease, keepLease, prev, contentType }): StoreOperation => ({
    op: "put",
    key,
    value: value ?? EMPTY,
    lease,
    prevKv: prev,
    ignoreValue: value === undefined,
    ignoreLease: keepLease,
    ...(contentType === undefined ? {} : { contentType: contentType as Bytes }),
  }));

const appendIn = z
  .strictObject({
    op: z.literal("append"),
    prefix: bytesField,
    suffix: bytesField.default(EMPTY),
    value: valueField,
    lease: leaseIn,
    contentType: contentTypeField.optional(),
  })
  .transform(({ contentType, ...append }): StoreOperation =>
    contentType === undefined ? append : { ...append, contentType: contentType as Bytes },
  );

const deleteIn = z
  .strictObject({ op: z.literal("delete"), ...keysShape, prev: z.boolean().default(false) })
  .refine(isOne, ONE_OF)
  .transform(({ prev, ...keys }): StoreOperation => ({ op: "delete", ...rangeIn(keys), prevKv: prev }));

interface TxnIn {
  readonly compare?: readonly z.input<typeof compareIn>[] | undefined;
  readonly success?: readonly OperationIn[] | undefined;
  readonly failure?: readonly OperationIn[] | undefined;
}
export type OperationIn =
  | z.input<typeof getIn>
  | z.input<typeof putIn>
  | z.input<typeof appendIn>
  | z.input<typeof deleteIn>
  | ({ readonly op: "txn" } & TxnIn);

const txnShape = {
  compare: z.array(compareIn).default([]).describe("All must hold; none: they do."),
  success: z.array(z.lazy((): z.ZodType<StoreOperation, OperationIn> => operationIn)).default([]),
  failure: z.array(z.lazy((): z.ZodType<StoreOperation, OperationIn> => operationIn)).default([]),
};
const nestedIn = z.strictObject({ op: z.literal("txn"), ...txnShape }).transform((txn): StoreOperation => txn);

/** One operation of a transaction. */
export const operationIn: z.ZodType<StoreOperation, OperationIn> = z.discriminatedUnion("op", [getIn, putIn, appendIn, deleteIn, nestedIn]);

export const txnIn: z.ZodType<TxnRequest, TxnIn> = z.strictObject(txnShape);

export const resultOut = z.looseObject({ op: z.enum(["get", "put", "append", "delete", "txn"]) });

export const txnOut = z.object({ succeeded: z.boolean(), results: z.array(resultOut), revision: z.int() });

export function resultToJson(result: OperationResult, asked: StoreOperation): z.infer<typeof resultOut> {
  switch (result.op) {
    case "range": {
      const keysOnly = asked.op === "range" && asked.keysOnly;
      return { op: "get", kvs: result.kvs.map((kv) => keyValueToJson(kv, keysOnly)), count: result.count, more: result.more };
    }
    case "put":
      return { op: "put", ...(result.prev === null ? {} : { prev: keyValueToJson(result.prev) }) };
    case "append":
      return { op: "append", key: bytesToJson(result.key) };
    case "delete":
      return {
        op: "delete",
        deleted: result.deleted,
        ...(asked.op === "delete" && asked.prevKv ? { prev: result.prev.map((kv) => keyValueToJson(kv)) } : {}),
      };
    case "txn":
      return { op: "txn", ...txnToJson(result, asked as TxnRequest) };
  }
}

export function txnToJson(result: TxnResult, asked: TxnRequest): { succeeded: boolean; results: z.infer<typeof resultOut>[] } {
  const operations = result.succeeded ? asked.success : asked.failure;
  return { succeeded: result.succeeded, results: result.responses.map((response, at) => resultToJson(response, operations[at]!)) };
}
