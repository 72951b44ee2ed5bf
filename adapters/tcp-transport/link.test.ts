import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Link } from "./link.ts";

describe("Link", () => {
  const ends: (() => void)[] = [];
  afterEach(() => ends.splice(0).forEach((end) => end()));

  /** A link to somebody who reads nothing, with more in its queue than the sockets take. */
  async function clogged() {
    const server = createServer({ pauseOnConnect: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    const [other] = (await once(server, "connection")) as [Socket];
    other.on("error", () => {});
    ends.push(() => (other.destroy(), socket.destroy(), server.close()));
    const closed: (Error | undefined)[] = [];
    const link = new Link(socket, { value: () => {}, closed: (error) => closed.push(error) });
    for (let n = 0; n < 32; n++) link.send({ data: new Uint8Array(1 << 20) });
    await new Promise((resolve) => setImmediate(resolve));
    expect(socket.writableLength).toBeGreaterThan(0);
    return { link, socket, closed };
  }

  test("close() with an error frees the queue at once: a dead peer would hold it", async () => {
    const { link, socket, closed } = await clogged();
    const error = new Error("nothing heard");
    link.close(error);
    expect(socket.destroyed).toBe(true);
    expect(closed).toEqual([error]);
  });

  test("close() without an error lets what was sent leave", async () => {
    const { link, socket, closed } = await clogged();
    link.close(undefined);
    expect(socket.destroyed).toBe(false);
    expect(closed).toEqual([undefined]);
    expect(link.send({ late: 1 })).toBe(false);
  });
});
