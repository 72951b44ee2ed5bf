import { describe, expect, test } from "vitest";
import { readPeerUrls } from "./peer-urls.ts";

/** As etcd 3.4.23 takes them, asked through `PUT /v2/members/ID`. */
const TAKEN: readonly (readonly [text: string, kept: string])[] = [
  ["http://127.0.0.1:2380", "http://127.0.0.1:2380"],
  [" https://host:2380\n", "https://host:2380"],
  ["HTTP://Host:1", "http://Host:1"],
  ["http://:2380", "http://:2380"],
  ["http://127.0.0.1:", "http://127.0.0.1:"],
  ["http://127.0.0.1:99999", "http://127.0.0.1:99999"],
  ["http://[::1]:2380", "http://[::1]:2380"],
  ["http://user@127.0.0.1:2380", "http://user@127.0.0.1:2380"],
  ["http://127.0.0.1:2380?x=1", "http://127.0.0.1:2380?x=1"],
  ["http://127.0.0.1:2380#f", "http://127.0.0.1:2380#f"],
  ["unix://127.0.0.1:2380", "unix://127.0.0.1:2380"],
];

const REFUSED: readonly (readonly [text: string, fault: string])[] = [
  ["", "URL scheme must be http, https, unix, or unixs: "],
  ["localhost", "URL scheme must be http, https, unix, or unixs: localhost"],
  ["localhost:2380", "URL scheme must be http, https, unix, or unixs: localhost:2380"],
  ["ftp://a:1", "URL scheme must be http, https, unix, or unixs: ftp://a:1"],
  ["http://127.0.0.1", 'URL address does not have the form "host:port": http://127.0.0.1'],
  ["unix:///tmp/x", 'URL address does not have the form "host:port": unix:///tmp/x'],
  ["http://::1:2380", 'URL address does not have the form "host:port": http://::1:2380'],
  ["http://127.0.0.1:1/path", "URL must not contain a path: http://127.0.0.1:1/path"],
  ["http://127.0.0.1:1/", "URL must not contain a path: http://127.0.0.1:1/"],
  ["127.0.0.1:2380", 'parse "127.0.0.1:2380": first path segment in URL cannot contain colon'],
  ["://x:1", 'parse "://x:1": missing protocol scheme'],
  ["http://127.0.0.1:abc", 'parse "http://127.0.0.1:abc": invalid port ":abc" after host'],
  ["http://127.0.0.1:-1", 'parse "http://127.0.0.1:-1": invalid port ":-1" after host'],
  ["http://[::1:2380", "parse \"http://[::1:2380\": missing ']' in host"],
  ["http://[::1]x:2380", 'parse "http://[::1]x:2380": invalid port "x:2380" after host'],
  ["http://a b:1", 'parse "http://a b:1": invalid character " " in host name'],
  ["http://%zz:1", 'parse "http://%zz:1": invalid URL escape "%zz"'],
  ["http://ex%41mple:80", 'parse "http://ex%41mple:80": invalid URL escape "%41"'],
  ["http://a\u0001:1", 'parse "http://a\\u0001:1": net/url: invalid control character in URL'],
];

describe("readPeerUrls()", () => {
  test.each(TAKEN)("takes %j", (text, kept) => expect(readPeerUrls([text])).toEqual({ urls: [kept] }));
  test.each(REFUSED)("refuses %j", (text, fault) => expect(readPeerUrls(["http://a:1", text])).toEqual({ fault }));
  test("wants one at least, and sorts them", () => {
    expect(readPeerUrls([])).toEqual({ fault: "no valid URLs given" });
    expect(readPeerUrls(["http://b:1", "http://a:1"])).toEqual({ urls: ["http://a:1", "http://b:1"] });
  });
});
