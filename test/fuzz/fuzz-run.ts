/**
 * One run of the fuzzer: a server of its own, attacks drawn from a seed, and after each a look whether the server still runs, still answers
 * a good client, and has not grown beyond a wide bound.
 */
import { readFileSync } from "node:fs";
import { Random } from "../differential/random.ts";
import { freePort } from "../helpers/free-port.ts";
import { GrpcClient } from "../helpers/grpc-client.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { type Attack, type Target, check } from "./attack.ts";
import { GRPC_ATTACKS } from "./grpc-attacks.ts";
import { HTTP2_ATTACKS } from "./http2-attacks.ts";

export const ATTACKS: readonly Attack[] = [...HTTP2_ATTACKS, ...GRPC_ATTACKS];

/** etcd's default. */
const MAX_REQUEST_BYTES = 1_572_864;
/** Beyond what the server had before the first attack. A connection may take some 400 MiB; one that is let have its way takes gigabytes. */
export const GROWTH_BYTES_MAX = 1_000 * 1024 * 1024;
/** How often the server's memory is looked at during an attack. */
const LOOK_MS = 100;
/** How long a good client waits after an attack; the machine may be busy. */
const SERVED_MS = 20_000;

export interface FuzzRun {
  readonly inputs: number;
  readonly attacks: number;
  /** The greatest memory of the server that was seen, beyond that of its beginning; 0 where the system does not tell. */
  readonly growthBytes: number;
}

export interface FuzzOptions {
  readonly seed: number;
  /** Each attack once, in this order, before any are drawn. */
  readonly first: readonly Attack[];
  /** Whether to draw one more. @param drawn so far */
  readonly more: (drawn: number) => boolean;
  readonly onAttack?: (name: string, inputs: number) => void;
}

/** @throws Error that names the attack and says what went wrong */
export async function fuzz({ seed, first, more, onAttack = () => {} }: FuzzOptions): Promise<FuzzRun> {
  const random = new Random(seed);
  const [port, tlsPort] = [await freePort(), await freePort()];
  const urls = `http://127.0.0.1:${port},https://127.0.0.1:${tlsPort}`;
  const flags = ["--max-request-bytes", String(MAX_REQUEST_BYTES), "--auto-tls", "--listen-client-urls", urls];
  const server = await startQuorate({ port, flags });
  const target: Target = { url: server.url, port, tlsPort, maxRequestBytes: MAX_REQUEST_BYTES };
  let inputs = 0;
  let attacks = 0;
  let growthBytes = 0;
  let looking: NodeJS.Timeout | undefined;
  try {
    await isServed(server);
    const before = residentBytes(server) ?? 0;
    const look = (): void => void (growthBytes = Math.max(growthBytes, (residentBytes(server) ?? 0) - before));
    looking = setInterval(look, LOOK_MS);
    const once = async (attack: Attack): Promise<void> => {
      try {
        const sent = await attack.run(target, random);
        inputs += sent;
        attacks++;
        look();
        check(growthBytes <= GROWTH_BYTES_MAX, () => `the server has grown by ${Math.round(growthBytes / 1024 ** 2)} MiB`);
        await isServed(server);
        onAttack(attack.name, sent);
      } catch (error) {
        throw new Error(`seed ${seed}, attack ${attacks + 1}, ${attack.name}: ${described(error, server)}`, { cause: error });
      }
    };
    for (const attack of first) await once(attack);
    for (let drawn = 0; more(drawn); drawn++) {
      await once(random.weighted(ATTACKS.map((attack) => [attack.weight, attack] as const)));
    }
    return { inputs, attacks, growthBytes };
  } finally {
    clearInterval(looking);
    await server.stop();
  }
}

function described(error: unknown, server: ServerProcess): string {
  const exit = server.exit();
  const state = exit === undefined ? "" : `\nthe server ended with ${exit.signal ?? exit.code}`;
  return `${error instanceof Error ? error.message : String(error)}${state}\n--- its output:\n${server.output().slice(-4_000)}`;
}

/** By gRPC and by JSON, on new connections. */
async function isServed(server: ServerProcess): Promise<void> {
  const client = new GrpcClient(server.url);
  const late = setTimeout(() => client.close(), SERVED_MS);
  try {
    const { status, text } = await client.unary("/etcdserverpb.KV/Range", "\x0a\x01a" as never);
    check(status === 0, () => `a good call has the status ${status} ${text}`);
  } finally {
    clearTimeout(late);
    client.close();
  }
  const { status } = await fetch(`${server.url}/health`, { signal: AbortSignal.timeout(SERVED_MS) });
  check(status === 200, () => `/health says ${status}`);
}

/** undefined where there is no /proc. */
function residentBytes({ pid }: ServerProcess): number | undefined {
  try {
    const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}
