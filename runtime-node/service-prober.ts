/**
 * Asks services how they are, for their checks. Clients choose the address, and this process may reach what they cannot (a metadata service,
 * a neighbour's port): nobody is asked whom the operator has not allowed, and answers are not shown to anybody.
 */
import { BlockList, connect, isIP } from "node:net";
import type { Prober } from "../core/recipes/service-check.ts";

/** `*`, a name, `*.` and the end of names, an address, or a block of addresses such as 10.0.0.0/8. */
export function isHostPattern(text: string): boolean {
  const [address = "", bits] = text.split("/");
  if (bits !== undefined) return isIP(address) !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (isIP(address) === 4 ? 32 : 128);
  return text === "*" || isIP(text) !== 0 || /^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(text);
}

/** @param hosts see `isHostPattern` */
export function serviceProber(hosts: readonly string[]): Prober {
  const names = new Set<string>();
  const ends: string[] = [];
  const blocks = new BlockList();
  for (const host of hosts) {
    const [address = "", bits] = host.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (bits !== undefined) blocks.addSubnet(address, Number(bits), family);
    else if (isIP(host) !== 0) blocks.addAddress(host, family);
    else if (host.startsWith("*.")) ends.push(host.slice(1).toLowerCase());
    else names.add(host.toLowerCase());
  }
  const allows = ({ hostname }: URL): boolean => {
    if (names.has("*")) return true;
    const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
    if (isIP(host) !== 0) return blocks.check(host, isIP(host) === 6 ? "ipv6" : "ipv4");
    return names.has(host) || ends.some((end) => host.endsWith(end));
  };
  return { allows, probe: (url, timeoutMs) => (url.protocol === "tcp:" ? probeTcp(url, timeoutMs) : probeHttp(url, timeoutMs)) };
}

/** Redirects are not followed: they lead to wherever the answer says. */
async function probeHttp(url: URL, timeoutMs: number): Promise<string | null> {
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const reply = await fetch(url, { redirect: "manual", signal, headers: { "user-agent": "quorate-check", connection: "close" } });
    await reply.body?.cancel();
    return reply.ok ? null : `HTTP ${reply.status}`;
  } catch (error) {
    return reasonOf(error, timeoutMs);
  }
}

function probeTcp({ hostname, port }: URL, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) });
    const end = (fault: string | null): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(fault);
    };
    const timer = setTimeout(() => end(`no answer within ${timeoutMs} ms`), timeoutMs);
    socket.once("connect", () => end(null));
    socket.on("error", (error) => end(reasonOf(error, timeoutMs)));
  });
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `no answer within ${timeoutMs} ms`;
  const { cause } = error;
  const inner = cause instanceof Error ? cause : error;
  return (inner as NodeJS.ErrnoException).code ?? inner.message;
}
