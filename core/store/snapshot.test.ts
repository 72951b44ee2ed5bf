import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { likelyCommand as command } from "../../test/helpers/likely-command.ts";
import { rangeOf } from "../../test/contract/version-store-port.ts";
import type { Bytes } from "../bytes/bytes.ts";
import { crc32 } from "../bytes/crc32.ts";
import { isQuorateError } from "../errors.ts";
import type { Command, CommandBody } from "./command.ts";
import { SNAPSHOT_CHUNK_BYTES } from "./snapshot.ts";
import { StateMachine } from "./state-machine.ts";

const b = (text: string) => text as Bytes;
const QUOTA = { quotaBytes: 1e9 };
const NO_CONDITION = { recursive: false, refresh: false, prevValue: null, prevIndex: null, prevExist: null } as const;

function run(bodies: readonly CommandBody[], state = new StateMachine(QUOTA)): StateMachine {
  for (const body of bodies) {
    state.apply({ ...body, time: 1000 + state.appliedIndex * 7 } as Command, { index: state.appliedIndex + 1, term: 2 });
  }
  return state;
}

function write(state: StateMachine): Uint8Array {
  const frozen = state.freeze({ clusterId: "14841639068965178418", index: state.appliedIndex, term: 2 });
  const chunks = [...frozen.chunks()];
  frozen.release();
  for (const chunk of chunks) expect(chunk.length).toBeLessThanOrEqual(SNAPSHOT_CHUNK_BYTES);
  return new Uint8Array(Buffer.concat(chunks)); // a Buffer's slice would share its memory
}

async function* inPieces(data: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

async function read(data: Uint8Array, size = 1000): Promise<StateMachine> {
  const state = new StateMachine(QUOTA);
  await state.restore(inPieces(data, size));
  return state;
}

/** Everything a reader can see. */
function look(state: StateMachine) {
  const revisions = [];
  for (let revision = Math.max(1, state.compactedRevision); revision <= state.revision; revision++) {
    revisions.push(state.range(rangeOf("\0", "\0", { revision })), state.range(rangeOf("\0", "\0", { revision, countOnly: true })));
  }
  const watcher = state.watch({
    key: b("\0"),
    end: b("\0"),
    startRevision: Math.max(1, state.compactedRevision),
    noPut: false,
    noDelete: false,
    prevKv: true,
    onReady: () => {},
  });
  const history = [];
  for (let taken = watcher.take(1e9); taken !== undefined; taken = watcher.take(1e9)) history.push(taken);
  watcher.close();
  return {
    revisions,
    history,
    numbers: [
      state.revision,
      state.compactedRevision,
      state.clockMs,
      state.appliedIndex,
      state.hash(),
      state.keyCount(),
      state.sizeInUseBytes(),
    ],
    leases: [...state.leaseTable.all()].map(({ id, ttlSeconds, remainingMs, v2: expiry }) => {
      return { id, ttlSeconds, remainingMs, expiry, keys: state.leaseTable.keys(id) };
    }),
    alarms: state.alarms(),
    tree: ["/", "/d", "/d/x", "/e"].map((path) => [state.v2.node(b(path)), state.v2.children(b(path))]),
  };
}

describe("a snapshot", () => {
  test("gives back the state: every range at every revision, leases, alarms, history; and goes on from there", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(command, { maxLength: 40 }),
        fc.array(command, { maxLength: 10 }),
        fc.integer({ min: 1, max: 3000 }),
        async (log, more, size) => {
          const state = run(log);
          const data = write(state);
          const other = await read(data, size);
          expect(other.check()).toEqual([]);
          expect(look(other)).toEqual(look(state));
          expect(write(other)).toEqual(data);
          run(more, state);
          run(more, other);
          for (const one of [state, other]) while (!one.compactStep(3));
          expect(look(other)).toEqual(look(state));
          expect([other.sizeBytes(), other.check(), state.check()]).toEqual([state.sizeBytes(), [], []]);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("is that of the moment it was frozen, whatever happens while it is written", async () => {
    const puts = (round: number, count: number) =>
      Array.from({ length: count }, (_, at): CommandBody => ({ kind: "put", key: b(`key ${at % 300}`), value: b(`${round} `.repeat(2000)), lease: "0", prevKv: false, ignoreValue: false, ignoreLease: false })); // prettier-ignore
    const state = run([...puts(1, 900), { kind: "compact", revision: 800 }]);
    const seen = look(state);
    const frozen = state.freeze({ clusterId: "1", index: state.appliedIndex, term: 2 });
    const chunks: Uint8Array[] = [];
    let round = 2;
    for (const chunk of frozen.chunks()) {
      chunks.push(chunk);
      run(puts(round++, 200), state);
      run(
        [
          { kind: "delete", key: b("key 1"), end: b("key 3"), prevKv: false },
          { kind: "compact", revision: state.revision - 50 },
        ],
        state,
      );
      expect(state.compactStep(1e9)).toBe(true);
    }
    frozen.release();
    expect(chunks.length).toBeGreaterThan(3);
    expect(look(await read(Buffer.concat(chunks)))).toEqual(seen);
    const held = state.sizeBytes();
    state.compactStep(1e9);
    expect(state.sizeBytes()).toBeLessThan(held);
    expect(state.check()).toEqual([]);
  });

  test("takes values larger than a chunk, and one key with many versions, in several frames", async () => {
    const big = b("v".repeat(700_000));
    const one = (key: string, text: Bytes): CommandBody => ({ kind: "put", key: b(key), value: text, lease: "0", prevKv: false, ignoreValue: false, ignoreLease: false }); // prettier-ignore
    const state = run([
      one("a", big),
      one("b", big),
      ...Array.from({ length: 3000 }, (_, at) => one("hot", b(`${at}`.repeat(30)))),
      one("z", b("1")),
    ]);
    const other = await read(write(state), 100_000);
    expect([other.hash(), other.check()]).toEqual([state.hash(), []]);
    expect(other.range(rangeOf("hot", "", { revision: 1500 }))).toEqual(state.range(rangeOf("hot", "", { revision: 1500 })));
  });

  test("of a state whose revision was raised", async () => {
    const state = run([{ kind: "put", key: b("a"), value: b("1"), lease: "0", prevKv: false, ignoreValue: false, ignoreLease: false }]);
    state.raiseRevision(5000);
    const other = await read(write(state));
    expect(look(other)).toEqual(look(state));
    expect(other.check()).toEqual([]);
  });

  test("replaces a state that is there, and its watches go on", async () => {
    const one = (key: string): CommandBody => ({ kind: "put", key: b(key), value: b("1"), lease: "0", prevKv: false, ignoreValue: false, ignoreLease: false }); // prettier-ignore
    const ahead = run([one("a"), one("b"), one("c")]);
    const behind = run([one("a")]);
    const heard: string[] = [];
    behind.onLeases({ granted: () => {}, revoked: () => {}, checkpointed: () => {}, reset: () => heard.push("reset") });
    let ready = 0;
    const watcher = behind.watch({
      key: b("\0"),
      end: b("\0"),
      startRevision: 0,
      noPut: false,
      noDelete: false,
      prevKv: false,
      onReady: () => ready++,
    });
    await behind.restore(inPieces(write(ahead), 100));
    behind.flush();
    expect([behind.hash() === ahead.hash(), heard, ready]).toEqual([true, ["reset"], 1]);
    expect(watcher.take(1e6)).toMatchObject({ revision: 4, events: [{ kv: { key: "b" } }, { kv: { key: "c" } }] });
  });
});

function framesOf(data: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += frames.at(-1)!.length) {
    frames.push(data.slice(at, at + 9 + new DataView(data.buffer, data.byteOffset).getUint32(at + 1)));
  }
  return frames;
}

/** Makes the CRCs of changed frames right again, and the trailer's. */
function seal(frames: readonly Uint8Array[]): Uint8Array {
  let hash = 0;
  frames.forEach((frame, at) => {
    const view = new DataView(frame.buffer);
    // The trailer ends with the hash over the CRCs, five bytes when it is large.
    if (at === frames.length - 1) view.setUint32(frame.length - 4, hash);
    view.setUint32(5, crc32(frame.subarray(9), crc32(frame.subarray(0, 1))));
    hash = crc32(frame.subarray(5, 9), hash);
  });
  return new Uint8Array(Buffer.concat(frames));
}

describe("a damaged snapshot", () => {
  const state = run([
    { kind: "leaseGrant", id: "7", ttlSeconds: 60 },
    { kind: "put", key: b("a"), value: b("1"), lease: "7", prevKv: false, ignoreValue: false, ignoreLease: false },
    { kind: "v2", method: "put", path: b("/d"), dir: false, value: b("2"), ttlSeconds: 5, ...NO_CONDITION },
  ]);
  const good = write(state);

  const faultOf = async (data: Uint8Array): Promise<string> => {
    const fresh = new StateMachine(QUOTA);
    try {
      await fresh.restore(inPieces(data, 64));
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      expect([fresh.revision, fresh.keyCount()]).toEqual([1, 0]); // nothing was taken over
      return error.message;
    }
    return "none";
  };

  test("is refused for any flipped byte, and for any cut", async () => {
    expect(await faultOf(good)).toBe("none");
    for (let at = 0; at < good.length; at++) {
      const bad = good.slice();
      bad[at]! ^= 1 << (at % 8);
      expect(await faultOf(bad)).toMatch(/^malformed data|written by a newer release/);
      expect(await faultOf(good.subarray(0, at))).toMatch(/^malformed data/);
    }
  });

  test("is refused for frames left out, repeated or put behind", async () => {
    const frames: Uint8Array[] = [];
    for (let at = 0; at < good.length;) {
      const length = 9 + new DataView(good.buffer, good.byteOffset).getUint32(at + 1);
      frames.push(good.subarray(at, at + length));
      at += length;
    }
    expect(frames.length).toBe(6);
    for (let at = 0; at < frames.length; at++) {
      expect(await faultOf(Buffer.concat(frames.toSpliced(at, 1)))).toMatch(/^malformed data/);
      expect(await faultOf(Buffer.concat(frames.toSpliced(at, 0, frames[at]!)))).toMatch(/^malformed data/);
      if (at > 0)
        expect(await faultOf(Buffer.concat([...frames.toSpliced(at, 1), frames[at]!]))).toMatch(at === 5 ? "none" : /^malformed data/);
    }
    expect(await faultOf(Buffer.concat([good, good]))).toMatch(/^malformed data/);
  });

  test("is refused when its parts do not fit together, even with every CRC right", async () => {
    expect(await faultOf(seal(framesOf(good)))).toBe("none");
    const header = framesOf(good);
    header[0]![header[0]!.length - 1]! ^= 1; // the hash of the state
    expect(await faultOf(seal(header))).toContain("the state hashes to");
    const text = Buffer.from(good).toString("latin1");
    const change = (from: string, to: string) => seal(framesOf(new Uint8Array(Buffer.from(text.replace(from, to), "latin1"))));
    expect(await faultOf(change("\xc4\x01a\x02", "\xc4\x01z\x02"))).toContain("the state hashes to");
    expect(await faultOf(change("\xc4\x01a\x02", "\xc4\x01a\x09"))).toContain("a version of revision 9");
    expect(await faultOf(change("\xc4\x011\xc4\x017", "\xc4\x011\xc4\x018"))).toContain("a live key with lease 8");
    expect(await faultOf(change("\xc4\x017\x3c", "\xc4\x010\x3c"))).toContain("malformed data: lease 0");
  });
});

test("the worked example of docs/formats/snapshot.md", () => {
  const state = run([
    { kind: "leaseGrant", id: "7", ttlSeconds: 60 },
    { kind: "put", key: b("foo"), value: b("bar"), lease: "7", prevKv: false, ignoreValue: false, ignoreLease: false },
    {
      kind: "txn",
      compare: [],
      failure: [],
      success: [
        { op: "put", key: b("z"), value: b("1"), lease: "0", prevKv: false, ignoreValue: false, ignoreLease: false },
        { op: "delete", key: b("foo"), end: b(""), prevKv: false },
      ],
    },
  ]);
  const data = write(state);
  const frames = [
    "010000002a93e95352c40451534e5001c4143134383431363339303638393635313738343138030203ff02cd03f6ce9d9f359d",
    "0200000006adf97257c401373cc0c0",
    "03000000004b0bbe37",
    "040000001d93dd20a5c403666f6f020100c403626172c40137c00300c4017a030100c40131c0",
    "0500000009196bd53ccd03efc007920100c0",
    "060000000a38e35ab00503020100ce31b3e7a7",
  ];
  expect(Buffer.from(data).toString("hex")).toBe(frames.join(""));
});
