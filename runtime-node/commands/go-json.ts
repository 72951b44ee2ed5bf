/**
 * Messages of the gateway as Go prints the same messages: 64-bit numbers as numbers, enumerations as numbers, and what Go's names for the
 * fields of a `oneof` are. Source: what etcdctl 3.4 prints with `-w json`; a test compares the two.
 */

/** Fields of 64 bits, which the gateway writes as texts. */
const NUMBERS = new Set(
  "cluster_id member_id revision raft_term create_revision mod_revision version lease count deleted ID TTL id ttl granted-ttl"
    .split(" ")
    .concat("memberID leader raftIndex raftTerm raftAppliedIndex dbSize dbSizeInUse compact_revision CompactRevision term".split(" ")),
);

const ENUMS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  type: { PUT: 0, DELETE: 1 },
  permType: { READ: 0, WRITE: 1, READWRITE: 2 },
  alarm: { NONE: 0, NOSPACE: 1, CORRUPT: 2 },
};

const ONE_OF: Readonly<Record<string, string>> = {
  response_range: "ResponseRange",
  response_put: "ResponsePut",
  response_delete_range: "ResponseDeleteRange",
  response_txn: "ResponseTxn",
};

/** The text, without a line end. */
export function goJson(value: unknown, name = ""): string {
  if (Array.isArray(value)) return `[${value.map((one) => goJson(one, name)).join(",")}]`;
  if (typeof value === "object" && value !== null) return objectOf(value);
  if (typeof value === "string") {
    if (NUMBERS.has(name) && /^-?[0-9]+$/.test(value)) return value;
    const number = ENUMS[name]?.[value];
    if (number !== undefined) return String(number);
  }
  return escaped(JSON.stringify(value ?? null));
}

function objectOf(value: object): string {
  const parts = Object.entries(value).flatMap(([key, one]) => {
    const wrapped = ONE_OF[key];
    if (wrapped !== undefined) return [`"Response":{"${wrapped}":${goJson(one)}}`];
    // The first of an enumeration is left out.
    if (one === undefined || (typeof one === "string" && ENUMS[key]?.[one] === 0)) return [];
    return [`${JSON.stringify(key)}:${goJson(one, key)}`];
  });
  return `{${parts.join(",")}}`;
}

/** Go's encoder leaves no character that means something in HTML. */
function escaped(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
