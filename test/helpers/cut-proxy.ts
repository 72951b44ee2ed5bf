/** A TCP proxy before a server that cuts connections: at once, in the middle of what the server says, or so that nothing passes any more. */
import { once } from "node:events";
import { type Server, type Socket, connect, createServer } from "node:net";

interface Tunnel {
  readonly near: Socket;
  readonly far: Socket;
}

export class CutProxy {
  readonly url: string;
  /** Of connections that were taken. */
  accepted = 0;
  readonly #server: Server;
  readonly #tunnels: Set<Tunnel>;
  #replyBytes = Infinity;
  #moreBytes = 0;
  #silent = false;

  private constructor(server: Server, tunnels: Set<Tunnel>) {
    this.#server = server;
    this.#tunnels = tunnels;
    this.url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  }

  /** @param port of the server on this machine */
  static async start(port: number): Promise<CutProxy> {
    const tunnels = new Set<Tunnel>();
    const server = createServer((near) => proxy.#accept(near, port));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const proxy = new CutProxy(server, tunnels);
    return proxy;
  }

  /** Ends all connections there are. */
  cut(): void {
    for (const { near, far } of this.#tunnels) {
      near.resetAndDestroy();
      far.destroy();
    }
  }

  /** Connections made from now on end after so many bytes of what the server says, each one after so many more. */
  cutRepliesAfter(bytes: number, more = 0): void {
    this.#replyBytes = bytes;
    this.#moreBytes = more;
  }

  /** What the server says on any connection is swallowed from now on. */
  silence(): void {
    this.#silent = true;
  }

  heal(): void {
    this.#silent = false;
    this.#replyBytes = Infinity;
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(near: Socket, port: number): void {
    this.accepted++;
    const far = connect(port, "127.0.0.1");
    const tunnel = { near, far };
    this.#tunnels.add(tunnel);
    let left = this.#replyBytes;
    this.#replyBytes += this.#moreBytes;
    const end = (): void => {
      this.#tunnels.delete(tunnel);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      socket.on("error", end);
      socket.on("close", end);
    }
    near.pipe(far);
    far.on("data", (part: Buffer) => {
      if (this.#silent) return;
      near.write(part.subarray(0, left), () => left <= 0 && end());
      left -= part.length;
    });
  }
}
