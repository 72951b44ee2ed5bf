/** What every transport between members must do; run by each implementation's own test file. */
import { afterEach, describe, expect, test } from "vitest";
import { QuorateError, errNotLeader } from "../../core/errors.ts";
import type { PeerClaim, PeerRefusal, Transport, TransportHost } from "../../core/replica/transport-port.ts";

export interface TransportUnderTest {
  readonly transport: Transport;
  /** Where others reach it; known after `start`. */
  address(): { id: string; urls: string[] };
}

/** Collects what a transport hands over. */
export class RecordingHost implements TransportHost {
  readonly messages: { from: string; message: unknown }[] = [];
  readonly lost: string[] = [];
  readonly ended: string[] = [];
  readonly refusals: (PeerRefusal & { readonly by: string })[] = [];
  /** Whom it lets in: everybody, until a test says otherwise. */
  judge: (peer: PeerClaim) => PeerRefusal | null = () => null;
  readonly snapshots = new Map<string, Uint8Array[]>();
  answer: (from: string, request: unknown) => Promise<unknown> = async (_from, request) => ({ echo: request });
  #changed = () => {};

  message(from: string, message: unknown): boolean {
    if (message === "nonsense") return false;
    this.messages.push({ from, message });
    this.#changed();
    return true;
  }
  call(from: string, request: unknown): Promise<unknown> {
    return this.answer(from, request);
  }
  greet() {
    return { clusterId: "7", members: [{ id: "1", name: "one" }], configIndex: 4 };
  }
  admit(peer: PeerClaim): PeerRefusal | null {
    return this.judge(peer);
  }
  turnedAway(by: string, refusal: PeerRefusal): void {
    this.refusals.push({ by, ...refusal });
    this.#changed();
  }
  async *readSnapshot(id: string, offset: number): AsyncIterable<Uint8Array> {
    const chunks = this.snapshots.get(id);
    if (chunks === undefined) throw new QuorateError("notFound", "notFound", `no snapshot ${id}`);
    const [first] = chunks;
    for (const chunk of chunks.slice(offset / (first?.length ?? 1))) yield chunk; // all of one length in these tests
  }
  unreachable(peer: string): void {
    this.lost.push(peer);
    this.#changed();
  }
  gone(peer: string): void {
    this.ended.push(peer);
    this.#changed();
  }
  /** Resolves when the condition holds, looked at after each change. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#changed = resolve));
  }
}

/**
 * @param make a transport of cluster "7" that is not started
 */
export function transportContract(name: string, make: (id: string) => TransportUnderTest): void {
  describe(`${name}: transport contract`, () => {
    const running: Transport[] = [];
    afterEach(async () => {
      await Promise.all(running.splice(0).map((transport) => transport.stop()));
    });

    async function start(id: string) {
      const host = new RecordingHost();
      const made = make(id);
      await made.transport.start(host);
      await made.transport.listen();
      running.push(made.transport);
      return { ...made, host };
    }

    async function pair() {
      const [a, b] = [await start("1"), await start("2")];
      a.transport.setPeers([b.address()]);
      b.transport.setPeers([a.address()]);
      await connected(a.transport, "2");
      await connected(b.transport, "1");
      return [a, b] as const;
    }

    async function connected(transport: Transport, peer: string) {
      await expect.poll(() => transport.stats().find((stats) => stats.peer === peer)?.connected, { timeout: 5_000 }).toBe(true);
    }

    test("send() delivers messages in order, with bytes, and names the sender", async () => {
      const [a, b] = await pair();
      for (let n = 0; n < 500; n++) a.transport.send("2", { n, data: new Uint8Array([n & 255, 0, 255]) });
      await b.host.until(() => b.host.messages.length === 500);
      expect(b.host.messages.map((m) => (m.message as { n: number }).n)).toEqual(Array.from({ length: 500 }, (_, n) => n));
      expect(b.host.messages[7]!.from).toBe("1");
      expect([...(b.host.messages[7]!.message as { data: Uint8Array }).data]).toEqual([7, 0, 255]);
    });

    test("send() to nobody tells that the peer is unreachable", async () => {
      const a = await start("1");
      a.transport.send("9", { n: 1 });
      expect(a.host.lost).toContain("9");
    });

    test("call() brings the answer, and an error with its code, reason and details", async () => {
      const [a, b] = await pair();
      expect(await a.transport.call("2", { ask: "x" }, 5_000)).toEqual({ echo: { ask: "x" } });
      b.host.answer = async () => {
        throw errNotLeader({ leader: "3" });
      };
      const error = await a.transport.call("2", { ask: "y" }, 5_000).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(QuorateError);
      expect(error).toMatchObject({ code: "failedPrecondition", reason: "notLeader", details: { leader: "3" } });
    });

    test("call() that no answer comes to is unknown; one that cannot leave is certainly not done", async () => {
      const [a, b] = await pair();
      b.host.answer = () => new Promise(() => {});
      await expect(a.transport.call("2", {}, 50)).rejects.toMatchObject({ reason: "timeout" });
      const hanging = a.transport.call("2", {}, 60_000);
      hanging.catch(() => {});
      await b.transport.stop();
      await expect(hanging).rejects.toMatchObject({ reason: "timeout" });
      await a.host.until(() => a.host.lost.includes("2"));
      await expect(a.transport.call("2", {}, 50)).rejects.toMatchObject({ reason: "notSent" });
    });

    test("fetchSnapshot() brings all chunks unchanged, or those behind an offset, and names a snapshot that is not there", async () => {
      const [a, b] = await pair();
      const chunks = Array.from({ length: 40 }, (_, n) => new Uint8Array(50_000).fill(n));
      b.host.snapshots.set("3-9", chunks);
      const got: Uint8Array[] = [];
      for await (const chunk of a.transport.fetchSnapshot("2", "3-9", 0)) got.push(chunk);
      expect(got.length).toBe(40);
      expect(got.every((chunk, n) => chunk.length === 50_000 && chunk.every((byte) => byte === n))).toBe(true);
      const rest: Uint8Array[] = [];
      for await (const chunk of a.transport.fetchSnapshot("2", "3-9", 38 * 50_000)) rest.push(chunk);
      expect(rest.map((chunk) => chunk[0])).toEqual([38, 39]);
      const none = async () => {
        for await (const chunk of a.transport.fetchSnapshot("2", "none", 0)) got.push(chunk);
      };
      await expect(none()).rejects.toMatchObject({ message: "no snapshot none" });
    });

    test("a peer that comes back is connected to again", async () => {
      const [a, b] = await pair();
      const address = b.address();
      await b.transport.stop();
      await a.host.until(() => a.host.lost.includes("2"));
      const again = make("2");
      const host = new RecordingHost();
      await again.transport.start(host);
      await again.transport.listen();
      running.push(again.transport);
      a.transport.setPeers([{ ...again.address(), id: "2" }]);
      expect(address.id).toBe("2");
      await connected(a.transport, "2");
      a.transport.send("2", "hello again");
      await host.until(() => host.messages.length > 0);
      expect(host.messages[0]!.message).toBe("hello again");
    });

    test("setPeers() without a peer closes the connection to it", async () => {
      const [a, b] = await pair();
      a.transport.setPeers([]);
      expect(a.transport.stats()).toEqual([]);
      b.transport.setPeers([]); // until then it is connected here, and can be answered
      await expect.poll(() => (a.transport.send("2", "late"), a.host.lost)).toContain("2");
    });
  });
}
