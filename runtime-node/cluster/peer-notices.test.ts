import { describe, expect, test } from "vitest";
import { peerNotices } from "./peer-notices.ts";

function setup() {
  const said: unknown[] = [];
  let now = 0;
  const notices = peerNotices(
    (level, message, details) => said.push([level, message, details]),
    () => now,
  );
  return { said, notices, pass: (ms: number) => (now += ms) };
}

describe("peerNotices()", () => {
  test("names who was turned away once a second, each address by itself, and counts what it left out", () => {
    const { said, notices, pass } = setup();
    for (let n = 0; n < 50; n++) notices.onRefused({ remote: "10.0.0.1", member: String(n), reason: "another cluster" });
    notices.onRefused({ remote: "10.0.0.2", reason: "no hello" });
    pass(1000);
    notices.onRefused({ remote: "10.0.0.1", member: "7", reason: "no hello" });
    notices.onRefused({ remote: "10.0.0.1", member: "8", reason: "no hello" });
    const text = "a connection between members was turned away";
    expect(said).toEqual([
      ["warn", text, { remote: "10.0.0.1", member: "0", reason: "another cluster" }],
      ["warn", text, { remote: "10.0.0.2", reason: "no hello" }],
      ["warn", text, { remote: "10.0.0.1", member: "7", reason: "no hello", leftOut: 49 }],
    ]);
  });

  test("remembers a bounded number of addresses", () => {
    const { said, notices } = setup();
    for (let n = 0; n < 1001; n++) notices.onRefused({ remote: `address ${n}`, reason: "no hello" });
    notices.onRefused({ remote: "address 1", reason: "no hello" }); // still known
    expect(said).toHaveLength(1001);
    notices.onRefused({ remote: "address 0", reason: "no hello" });
    expect(said).toHaveLength(1002);
  });

  test("says when a peer is reached, and why it is not", () => {
    const { said, notices } = setup();
    const peer = { id: "5", urls: ["https://b:2380"] };
    notices.onPeer(peer, "certificate has expired");
    notices.onPeer(peer, null);
    expect(said).toEqual([
      ["warn", "no connection to member 5: certificate has expired", { urls: ["https://b:2380"] }],
      ["info", "connected to member 5", { urls: ["https://b:2380"] }],
    ]);
  });
});
