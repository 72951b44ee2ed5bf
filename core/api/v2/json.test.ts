import { describe, expect, test } from "vitest";
import { type Bytes, ascii } from "../../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../../bytes/utf8.ts";
import { encodeEvent, encodeNode, jsonString } from "./json.ts";

describe("jsonString()", () => {
  test("escapes as Go's encoder", () => {
    expect(jsonString(ascii('a"\\<b>&\n\r\t\b\f\0\x1f\x7f'))).toBe(
      '"a\\"\\\\\\u003cb\\u003e\\u0026\\n\\r\\t\\u0008\\u000c\\u0000\\u001f\x7f"',
    );
    expect(jsonString(utf8Encode("x\u2028y\u2029\u202a"))).toBe(`"x\\u2028y\\u2029${utf8Encode("\u202a")}"`);
  });

  test("leaves good UTF-8 as it is and replaces each broken byte", () => {
    for (const text of ["é", "日本", "😀", "\u{10ffff}", "\ud7ff", "\ue000"])
      expect(jsonString(utf8Encode(text))).toBe(`"${utf8Encode(text)}"`);
    expect(jsonString("\xc3(" as Bytes)).toBe('"\\ufffd("');
    expect(jsonString("\xe2\x80" as Bytes)).toBe('"\\ufffd\\ufffd"');
    expect(jsonString("\xed\xa0\x80" as Bytes)).toBe('"\\ufffd\\ufffd\\ufffd"'); // a surrogate
    expect(jsonString("\xc0\xaf\xf5\xff\xf0\x80\x80\x80" as Bytes)).toBe(`"${"\\ufffd".repeat(8)}"`);
  });

  test("gives what a JSON reader reads back, for all pairs of bytes", () => {
    for (let high = 0; high < 256; high++) {
      for (let low = 0; low < 256; low++) {
        const bytes = String.fromCharCode(high, low, 0x41) as Bytes;
        // Go marks each broken byte, TextDecoder each run that begins like a character.
        const once = (text: string) => text.replace(/\ufffd+/g, "\ufffd");
        expect(once(JSON.parse(utf8Decode(jsonString(bytes) as Bytes)) as string)).toBe(once(utf8Decode(bytes)));
      }
    }
  });
});

describe("encodeNode()", () => {
  const node = { path: ascii("/a"), value: ascii("1"), createdIndex: 2, modifiedIndex: 3, expiresAt: null };

  test("has etcd's order of fields and rounds a TTL up", () => {
    expect(encodeNode(node, 0)).toBe('{"key":"/a","value":"1","modifiedIndex":3,"createdIndex":2}');
    expect(encodeNode({ ...node, expiresAt: 10_001 }, 0)).toBe(
      '{"key":"/a","value":"1","expiration":"1970-01-01T00:00:10.001Z","ttl":11,"modifiedIndex":3,"createdIndex":2}',
    );
    expect(encodeNode({ ...node, value: null }, 0)).toBe('{"key":"/a","dir":true,"modifiedIndex":3,"createdIndex":2}');
  });

  test("leaves out a TTL of no seconds, and goes below zero toward zero", () => {
    expect(encodeNode({ ...node, expiresAt: 1000 }, 1020)).not.toContain("ttl");
    expect(encodeNode({ ...node, expiresAt: 1000 }, 2500)).toContain('"ttl":-1,');
  });

  test("the root has neither key nor indexes", () => {
    expect(encodeNode({ path: ascii("/"), value: null, createdIndex: 0, modifiedIndex: 0, expiresAt: null }, 0)).toBe('{"dir":true}');
  });

  test("the end of a directory is told by what it was", () => {
    const gone = { path: ascii("/d"), value: null, createdIndex: 2, modifiedIndex: 5, expiresAt: null };
    const event = { action: "delete", node: gone, prev: { ...gone, modifiedIndex: 2 } } as const;
    expect(encodeEvent(event, 0)).toBe(
      '{"action":"delete","node":{"key":"/d","dir":true,"modifiedIndex":5,"createdIndex":2},"prevNode":{"key":"/d","dir":true,"modifiedIndex":2,"createdIndex":2}}\n',
    );
    expect(encodeEvent({ ...event, prev: { ...event.prev, value: ascii("x") } }, 0)).toContain('"node":{"key":"/d","modifiedIndex":5,');
  });
});
