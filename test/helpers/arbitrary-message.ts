/** Messages of any table, for properties of the codecs. */
import fc from "fast-check";
import type { Field, MessageTable } from "../../core/api/v3/message-table.ts";

/** A value of a field's type, drawn so that defaults and extremes are frequent. */
function arbitraryOf(field: Field, depth: number): fc.Arbitrary<unknown> {
  const single = (): fc.Arbitrary<unknown> => {
    switch (field.kind) {
      case "bytes":
        return fc.uint8Array({ maxLength: 8 }).map((bytes) => String.fromCharCode(...bytes));
      case "string":
        return fc.string({ unit: "binary", maxLength: 8 });
      case "bool":
        return fc.boolean();
      case "int64":
        return fc.maxSafeInteger();
      case "uint64":
        return fc.maxSafeNat();
      case "uint32":
        return fc.nat(2 ** 32 - 1);
      case "int32":
        return fc.integer();
      case "int64Text":
        return fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(String);
      case "uint64Text":
        return fc.bigInt(0n, 2n ** 64n - 1n).map(String);
      case "enum":
        return fc.oneof(fc.nat(field.enumeration!.values.length - 1), fc.integer());
      case "message":
        return arbitraryMessage(field.message!() as MessageTable<unknown>, depth - 1);
    }
  };
  if (field.repeated) return depth === 0 ? fc.constant([]) : fc.array(single(), { maxLength: 3 });
  if (field.kind === "message") return depth === 0 ? fc.constant(null) : fc.option(single(), { nil: null });
  return single();
}

/** At most one member of a group is set. @param depth of messages within messages */
export function arbitraryMessage<T>(table: MessageTable<T>, depth = 4): fc.Arbitrary<T> {
  const plain = table.fields.filter((field) => field.oneOf === null);
  const grouped = table.fields.filter((field) => field.oneOf !== null);
  const parts: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of plain) parts[field.property] = arbitraryOf(field, depth);
  const chosen = grouped.length === 0 ? fc.constant(null) : fc.option(fc.nat(grouped.length - 1), { nil: null });
  return fc.tuple(fc.record(parts), chosen).chain(([values, which]) => {
    const base = { ...(table.defaults as object), ...values };
    if (which === null) return fc.constant(base as T);
    const field = grouped[which]!;
    return arbitraryOf(field, depth).map((value) => ({ ...base, [field.property]: value }) as T);
  });
}
