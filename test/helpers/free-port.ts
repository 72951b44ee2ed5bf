/**
 * A TCP port of 127.0.0.1 that nobody listens on.
 *
 * Taken from below the range that the kernel hands out to outgoing connections, so that the many connections of a load test cannot
 * occupy it between the check and the server's own `listen`.
 */
import { randomInt } from "node:crypto";
import { createServer } from "node:net";

const FIRST_PORT = 15_000;
const LAST_PORT = 32_000;
/** Ports tried before giving up: with so many taken, something else is wrong. */
const TRIES_MAX = 200;

/** @throws Error when no port was free */
export async function freePort(): Promise<number> {
  for (let n = 0; n < TRIES_MAX; n++) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (await canListen(port)) return port;
  }
  throw new Error(`no free port in ${TRIES_MAX} tries`);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Different ones. @throws Error when there were not enough */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}
