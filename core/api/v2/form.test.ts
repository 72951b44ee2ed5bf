import { describe, expect, test } from "vitest";
import { ascii } from "../../bytes/bytes.ts";
import { parseForm, unescape } from "./form.ts";

const FORM = "application/x-www-form-urlencoded";
const parse = (query: string, body = "", type = FORM, method = "PUT") => parseForm(method, query, type, ascii(body));

describe("parseForm()", () => {
  test("takes the body first, then the query; the first of a name counts", () => {
    expect(parse("value=q&ttl=5", "value=b&value=c").fields).toEqual({ value: "b", ttl: "5" });
    expect(parse("value=q&value=r").fields).toEqual({ value: "q" });
  });

  test("decodes names and values to bytes", () => {
    expect(parse("%76alue=a+b%20%C3%A9%2B").fields).toEqual({ value: "a b \xc3\xa9+" });
    expect(parse("", "value=%ff%00=x&dir").fields).toEqual({ value: "\xff\0=x", dir: "" });
  });

  test("leaves out what it does not know, and empty pairs", () => {
    expect(parse("&&junk=1&toString=2&=3&").fields).toEqual({});
  });

  test("reads a body of PUT and POST only, and of the form type only", () => {
    expect(parse("", "value=1", FORM, "DELETE").fields).toEqual({});
    expect(parse("", "value=1", FORM, "POST").fields).toEqual({ value: "1" });
    expect(parseForm("PUT", "", undefined, ascii("value=1")).fields).toEqual({});
    expect(parse("", "value=%zz", "text/plain")).toEqual({ fields: {}, fault: null });
    expect(parse("", "value=1", "Application/X-WWW-Form-Urlencoded; charset=utf-8").fields).toEqual({ value: "1" });
  });

  test.each([
    ["a=%zz", "", 'invalid URL escape "%zz"'],
    ["a=%z", "", 'invalid URL escape "%z"'],
    ["a=%", "", 'invalid URL escape "%"'],
    ["a=%41%1%23", "", 'invalid URL escape "%1%"'],
    ['a=%"x', "", 'invalid URL escape "%\\"x"'],
    ["a=%zz", "b=%zx", 'invalid URL escape "%zx"'],
    ["a=1;b=2", "", "invalid semicolon separator in query"],
    ["a=%zz&b;c", "", "invalid semicolon separator in query"],
  ])("names the fault of query %j and body %j", (query, body, fault) => {
    expect(parse(query, body).fault).toBe(fault);
  });

  test.each([
    [";", "mime: no media type"],
    ["text", null],
    ["text plain", "mime: expected slash in first token"],
    ["text/", "mime: expected token after slash"],
    ["text/plain/x", "mime: unexpected content after media subtype"],
    [`${FORM}; a`, "mime: invalid media parameter"],
    [`${FORM}; a=1; A=2`, "mime: duplicate parameter name"],
    [`${FORM};`, null],
    [`${FORM}; a="x\\"y"; b=1`, null],
  ])("names the fault of content type %j", (type, fault) => {
    expect(parse("", "", type).fault).toBe(fault);
  });
});

test("unescape() takes a plus for a space only where it is told", () => {
  expect(unescape("a+b%2f", true)).toBe("a b/");
  expect(unescape("a+b%2F", false)).toBe("a+b/");
  expect(unescape("%4", false)).toBeUndefined();
});
