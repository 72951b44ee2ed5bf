import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeBase64 } from "../../bytes/base64.ts";
import { arbitraryMessage } from "../../../test/helpers/arbitrary-message.ts";
import { type Bytes, ascii } from "../../bytes/bytes.ts";
import { utf8Encode } from "../../bytes/utf8.ts";
import { isQuorateError } from "../../errors.ts";
import { MEMBER } from "./cluster-messages.ts";
import { jsonDecoder, jsonEncoder, quoteText } from "./json-codec.ts";
import { base64Fault, readExactly } from "./json-exact.ts";
import { MESSAGE_NESTING_MAX, type MessageTable } from "./message-table.ts";
import * as m from "./messages.ts";

const decodeRange = jsonDecoder(m.RANGE_REQUEST);

/** The message, or what is wrong. */
function outcome<T>(read: () => T): T | string {
  try {
    return read();
  } catch (error) {
    if (isQuorateError(error) && error.reason === "badJson") return error.message;
    throw error;
  }
}

const range = (body: string) => outcome(() => decodeRange(utf8Encode(body)));

const TABLES: readonly MessageTable<unknown>[] = [
  m.RANGE_REQUEST,
  m.RANGE_RESPONSE,
  m.PUT_REQUEST,
  m.TXN_REQUEST,
  m.TXN_RESPONSE,
  m.WATCH_REQUEST,
  m.WATCH_RESPONSE,
  m.LEASE_GRANT_RESPONSE,
  m.LEASE_TIME_TO_LIVE_RESPONSE,
  MEMBER,
] as unknown as MessageTable<unknown>[];

/** JSON values, right and wrong ones, for fields of any type. */
const NUMBERS = ["0", "-0", "1", "1.0", "1e2", "7", "-3", "9007199254740993", "18446744073709551615", "99999999999999999999"];
const TEXTS = ["", "5", " 5", "5 ", "05", "null", "1.5", "YQ==", "YQ", "Y\\u0051==", "ASCEND", "\\u0041SCEND", "NOPUT", "\\ud800", "é"];
const OTHERS = ["null", "true", "[]", "{}", "[97,256]", "[97]", '["YQ==",null]', "tru", "{", "[1,]", '"'];
const SCALARS = [...NUMBERS, ...TEXTS.map((text) => `"${text}"`), ...OTHERS];

describe("jsonEncoder() and jsonDecoder()", () => {
  it.each(TABLES.map((table) => [table.name, table] as const))("%s comes back as it was written", (_, table) => {
    const encode = jsonEncoder(table);
    const decode = jsonDecoder(table);
    fc.assert(
      fc.property(arbitraryMessage(table), (message) => {
        const text = encode(message);
        expect(decode(text)).toEqual(message);
        expect(readExactly(table, text)).toEqual(message);
      }),
      { numRuns: 200 },
    );
  });

  it.each(TABLES.map((table) => [table.name, table] as const))("%s is read alike by the fast and the exact way", (_, table) => {
    const names = table.fields.flatMap((field) => [field.name, field.jsonName, field.property]);
    const scalar = fc.constantFrom(...SCALARS);
    const member = fc.tuple(fc.constantFrom(...names, "other"), scalar).map(([name, value]) => `"${name}":${value}`);
    const object = fc.array(member, { maxLength: 4 }).map((members) => `{${members.join(",")}}`);
    const nested = fc.tuple(fc.constantFrom(...names), object, fc.boolean()).map(([name, inner, list]) => {
      return `{"${name}":${list ? `[${inner}]` : inner}}`;
    });
    const decode = jsonDecoder(table);
    fc.assert(
      fc.property(fc.oneof(object, nested, scalar), fc.constantFrom("", " ", "x", "{}"), (body, rest) => {
        const text = utf8Encode(body + rest);
        expect(outcome(() => decode(text))).toEqual(outcome(() => readExactly(table, text)));
      }),
      { numRuns: 2_000 },
    );
  });

  it("leaves out defaults, and writes zero where zero is set in a group", () => {
    expect(jsonEncoder(m.RANGE_RESPONSE)(m.RANGE_RESPONSE.defaults)).toBe("{}");
    const compare = { ...m.COMPARE.defaults, key: ascii("a"), version: 0, value: null };
    expect(jsonEncoder(m.COMPARE)(compare)).toBe('{"key":"YQ==","version":"0"}');
  });

  it("writes fields in the order of etcd, whatever the order of the object", () => {
    const kv = { lease: "7", value: ascii("v"), version: 1, modRevision: 3, createRevision: 2, key: ascii("k") };
    expect(jsonEncoder(m.KEY_VALUE)(kv)).toBe(
      '{"key":"aw==","create_revision":"2","mod_revision":"3","version":"1","value":"dg==","lease":"7"}',
    );
    expect(jsonEncoder(m.KEY_VALUE)({ ...kv, key: ascii("") })).toBe(
      '{"create_revision":"2","mod_revision":"3","version":"1","value":"dg==","lease":"7"}',
    );
  });

  it("writes the header of each member, not that of the last one seen", () => {
    const encode = jsonEncoder(m.PUT_RESPONSE);
    const header = { clusterId: "1", memberId: "2", revision: 3, raftTerm: 4 };
    const text = (ids: string) => `{"header":{${ids},"revision":"3","raft_term":"4"}}`;
    expect(encode({ header, prevKv: null })).toBe(text('"cluster_id":"1","member_id":"2"'));
    expect(encode({ header: { ...header, memberId: "5" }, prevKv: null })).toBe(text('"cluster_id":"1","member_id":"5"'));
    expect(encode({ header: { ...header, clusterId: "6" }, prevKv: null })).toBe(text('"cluster_id":"6","member_id":"2"'));
  });
});

/** Each line as etcd 3.4.23 answered it. */
describe("jsonDecoder() of a range request", () => {
  const a = { ...m.RANGE_REQUEST.defaults, key: "a" };

  it.each<[string, object]>([
    ["", m.RANGE_REQUEST.defaults],
    [" \n", m.RANGE_REQUEST.defaults],
    ["null", m.RANGE_REQUEST.defaults],
    ["{} trailing", m.RANGE_REQUEST.defaults],
    ['{"key":"YQ=="}}}', a],
    ['{"key":"x","key":"YQ=="}', a],
    ['{"range_end":"%","rangeEnd":"","key":"YQ=="}', a],
    ['{"RangeEnd":"%","KEY":"%","key":"YQ=="}', a],
    ['{"key":[97]}', a],
    ['{"key":[null]}', { ...a, key: "\0" }],
    ['{"key":"YQ==\\n"}', a],
    ['{"key":"YQ=\\u003d"}', a],
    ['{"k\\u0065y":"YR=="}', a],
    ['{"key":"YQ==","limit":9223372036854775807}', { ...a, limit: 2 ** 63 }],
    ['{"key":"YQ==","limit":"-9223372036854775808"}', { ...a, limit: -(2 ** 63) }],
    ['{"key":"YQ==","limit":" 5 "}', { ...a, limit: 5 }],
    ['{"key":"YQ==","limit":"null","keys_only":null,"sort_order":null}', a],
    ['{"key":"YQ==","sort_order":7,"sort_target":"MOD"}', { ...a, sortOrder: 7, sortTarget: 3 }],
    ['{"key":"YQ==","x":1e999,"":[{"y":"\\u0001"}]}', a],
  ])("%s is taken", (body, message) => {
    expect(range(body)).toEqual(message);
  });

  it.each<[string, string]>([
    ["[]", "json: cannot unmarshal array into Go value of type map[string]json.RawMessage"],
    ["5", "json: cannot unmarshal number into Go value of type map[string]json.RawMessage"],
    ['{"key":', "unexpected EOF"],
    ['{"key":"YQ=="', "unexpected EOF"],
    ["not json", "invalid character 'o' in literal null (expecting 'u')"],
    ['{"key":"YQ==",}', "invalid character '}' looking for beginning of object key string"],
    ['{"key":"YQ==" "x":1}', "invalid character '\"' after object key:value pair"],
    ["{'key':1}", "invalid character '\\'' looking for beginning of object key string"],
    ["\f{}", "invalid character '\\f' looking for beginning of value"],
    ["\ufeff{}", "invalid character 'ï' looking for beginning of value"],
    ['{"x":"\u0001"}', "invalid character '\\x01' in string literal"],
    ['{"x":[01]}', "invalid character '1' after array element"],
    ['{"x":1.e5}', "invalid character 'e' after decimal point in numeric literal"],
    ['{"x":"\\q"}', "invalid character 'q' in string escape code"],
    ['{"x":-}', "invalid character '}' in numeric literal"],
    ['{"x":"\\u12"}', "invalid character '\"' in \\u hexadecimal character escape"],
    ['{"key":5}', "json: cannot unmarshal number into Go value of type []uint8"],
    ['{"key":["YQ=="]}', "json: cannot unmarshal string into Go value of type uint8"],
    ['{"key":[256]}', "json: cannot unmarshal number 256 into Go value of type uint8"],
    ['{"key":"YQ"}', "illegal base64 data at input byte 0"],
    ['{"key":"Y-_="}', "illegal base64 data at input byte 1"],
    ['{"key":"YQ==    "}', "illegal base64 data at input byte 4"],
    ['{"key":" YWI"}', "illegal base64 data at input byte 0"],
    ['{"keys_only":"true"}', "json: cannot unmarshal string into Go value of type bool"],
    ['{"limit":1.5}', "json: cannot unmarshal number 1.5 into Go value of type int64"],
    ['{"limit":1.0}', "json: cannot unmarshal number 1.0 into Go value of type int64"],
    ['{"limit":1e2}', "json: cannot unmarshal number 1e2 into Go value of type int64"],
    ['{"limit":9223372036854775808}', "json: cannot unmarshal number 9223372036854775808 into Go value of type int64"],
    ['{"limit":true}', "json: cannot unmarshal bool into Go value of type int64"],
    ['{"limit":"two"}', "invalid character 'w' in literal true (expecting 'r')"],
    ['{"limit":""}', "unexpected end of JSON input"],
    ['{"limit":"-"}', "invalid character ' ' in numeric literal"],
    ['{"limit":"005"}', "invalid character '0' after top-level value"],
    ['{"limit":"\\u0035"}', "invalid character '\\\\' looking for beginning of value"],
    ['{"limit":"[]"}', "json: cannot unmarshal array into Go value of type int64"],
    ['{"sort_order":"SIDE"}', 'unknown value "SIDE" for enum etcdserverpb.RangeRequest_SortOrder'],
    ['{"sort_order":"\\u0041SCEND"}', 'unknown value "\\\\u0041SCEND" for enum etcdserverpb.RangeRequest_SortOrder'],
    ['{"sort_order":1.5}', "json: cannot unmarshal number 1.5 into Go value of type etcdserverpb.RangeRequest_SortOrder"],
    ['{"sort_order":3000000000}', "json: cannot unmarshal number 3000000000 into Go value of type etcdserverpb.RangeRequest_SortOrder"],
    ['{"keys_only":1,"key":5}', "json: cannot unmarshal number into Go value of type []uint8"], // in the order of the fields
  ])("%s is refused", (body, message) => {
    expect(range(body)).toBe(message);
  });

  it("numbers of lease ids are exact beyond 2^53", () => {
    const decode = jsonDecoder(m.PUT_REQUEST);
    expect(decode(ascii('{"lease":9007199254740993}')).lease).toBe("9007199254740993");
    expect(decode(ascii('{"lease":"-9223372036854775808"}')).lease).toBe("-9223372036854775808");
    expect(decode(ascii('{"lease":-0}')).lease).toBe("0");
  });

  it("a JSON null sets a scalar of a group to zero, and unsets a message", () => {
    const compare = jsonDecoder(m.COMPARE)(ascii('{"key":"YQ==","version":null}'));
    expect(compare).toMatchObject({ version: 0, value: null });
    expect(jsonDecoder(m.REQUEST_OP)(ascii('{"request_put":null}'))).toEqual(m.REQUEST_OP.defaults);
  });

  it("faults in groups are told after those in other fields", () => {
    const body = '{"version":1.5,"range_end":5}';
    expect(outcome(() => jsonDecoder(m.COMPARE)(ascii(body)))).toBe("json: cannot unmarshal number into Go value of type []uint8");
  });

  it("messages nested too deep are refused, not recursed into", () => {
    const nested = (depth: number) => '{"success":[{"request_txn":'.repeat(depth) + "{}" + "}]}".repeat(depth);
    const decode = jsonDecoder(m.TXN_REQUEST);
    expect(decode(ascii(nested(MESSAGE_NESTING_MAX / 2 - 1))).success).toHaveLength(1);
    expect(outcome(() => decode(ascii(nested(MESSAGE_NESTING_MAX / 2))))).toContain("nested deeper");
    expect(outcome(() => decode(ascii(nested(20_000))))).toContain("exceeded max depth");
  });
});

describe("base64Fault()", () => {
  it.each([
    ["YQ=", 3],
    ["YWI", 0],
    ["YWJjZ", 4],
    ["YWJjZA", 4],
    ["YWJjZA=", 7],
    ["YWJjZA===", 8],
    ["YWJjZA=x", 6],
    ["YW=j", 2],
    ["YQ==YQ==", 4],
    ["Y Q==", 1],
    ["====", 0],
    ["YQ\n=%", 3],
  ])("%j stops at byte %i", (text, at) => {
    expect(base64Fault(text as Bytes)).toBe(at);
  });
});

describe("quoteText()", () => {
  it("escapes as Go does", () => {
    expect(quoteText('<a href="x">&\b\f\n\\b\u2028é\ud800')).toBe(
      utf8Encode('"\\u003ca href=\\"x\\"\\u003e\\u0026\\u0008\\u000c\\n\\\\b\\u2028é\ufffd"'),
    );
  });

  it("can be read back, for any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(jsonDecoder(MEMBER)(`{"name":${quoteText(text)}}` as Bytes).name).toBe(text);
      }),
    );
  });
});

it("bytes of every value survive", () => {
  const all = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code)) as Bytes;
  expect(decodeRange(`{"key":"${encodeBase64(all)}"}` as Bytes).key).toBe(all);
});
