/**
 * A network between members that can be cut: each member advertises an address of this proxy, which passes connections on. Who dials is
 * told by the first frame (docs/formats/peer.md), so that single directions of single links can be cut: a member's messages travel on
 * the connection that it dialled.
 */
import { type Server, type Socket, connect, createServer } from "node:net";
import { once } from "node:events";
import { decode } from "@msgpack/msgpack";

const HEADER_BYTES = 9;

interface Tunnel {
  readonly from: string;
  readonly to: string;
  readonly near: Socket;
  readonly far: Socket;
}

export class PeerProxy {
  readonly #servers = new Map<string, Server>();
  readonly #targets = new Map<string, number>();
  readonly #tunnels = new Set<Tunnel>();
  /** `from>to`, members by their ids. */
  readonly #cut = new Set<string>();

  /** An address that stands for the member that listens on `port`. @param to a name for errors */
  async address(to: string, port: number): Promise<string> {
    const server = createServer((near) => this.#accept(to, near));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.#servers.set(to, server);
    this.#targets.set(to, port);
    return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  }

  /** Nothing that `from` says reaches `to` any more; connections neither end nor answer. */
  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
    for (const tunnel of this.#tunnels) {
      if (tunnel.from !== from || tunnel.to !== to) continue;
      tunnel.near.unpipe(tunnel.far);
      tunnel.far.unpipe(tunnel.near);
      tunnel.near.pause();
      tunnel.far.pause();
    }
  }

  /** Everything passes again; what was cut has to connect anew, as after an outage that outlived its connections. */
  heal(): void {
    for (const tunnel of this.#tunnels) {
      if (!this.#cut.has(`${tunnel.from}>${tunnel.to}`)) continue;
      tunnel.near.destroy();
      tunnel.far.destroy();
    }
    this.#cut.clear();
  }

  async stop(): Promise<void> {
    for (const { near, far } of this.#tunnels) {
      near.destroy();
      far.destroy();
    }
    await Promise.all([...this.#servers.values()].map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #accept(name: string, near: Socket): void {
    let first = Buffer.alloc(0);
    near.on("error", () => {}); // a member that was killed
    const read = (part: Buffer): void => {
      first = Buffer.concat([first, part]);
      if (first.length < HEADER_BYTES || first.length < HEADER_BYTES + first.readUInt32LE(0) - 1) return;
      near.off("data", read);
      near.pause();
      const hello = decode(first.subarray(HEADER_BYTES, HEADER_BYTES + first.readUInt32LE(0) - 1)) as { from: string; to: string };
      this.#tunnel(name, hello, near, first);
    };
    near.on("data", read);
  }

  #tunnel(name: string, { from, to }: { from: string; to: string }, near: Socket, first: Buffer): void {
    const far = connect(this.#targets.get(name) ?? 0, "127.0.0.1");
    const tunnel = { from, to, near, far };
    this.#tunnels.add(tunnel);
    const end = (): void => {
      this.#tunnels.delete(tunnel);
      near.destroy();
      far.destroy();
    };
    far.on("error", end);
    for (const socket of [near, far]) socket.on("close", end);
    if (this.#cut.has(`${from}>${to}`)) return; // taken, and never answered
    far.write(first);
    near.pipe(far);
    far.pipe(near);
  }
}
