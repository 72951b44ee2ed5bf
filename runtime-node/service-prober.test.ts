import { createServer } from "node:http";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { isHostPattern, serviceProber } from "./service-prober.ts";

describe("whom it may ask", () => {
  const allows = (hosts: string, url: string): boolean => serviceProber(hosts.split(",")).allows(new URL(url));

  test.each([
    ["*", "http://anything/"],
    ["*", "http://169.254.169.254/latest"],
    ["api.internal", "https://API.internal:8443/health"],
    ["*.internal", "tcp://db.internal:5432"],
    ["10.0.0.0/8", "http://10.1.2.3/"],
    ["fd00::/8", "http://[fd00::1]:80/"],
    ["127.0.0.1", "http://127.0.0.1:8080/"],
    ["127.0.0.1", "http://0x7f.1/"], // as the URL standard writes it: 127.0.0.1
    ["a,10.0.0.1", "http://10.0.0.1/"],
  ])("%s: %s", (hosts, url) => {
    expect(allows(hosts, url)).toBe(true);
  });

  test.each([
    ["api.internal", "http://api.internal.example/"],
    ["*.internal", "http://internal/"],
    ["*.internal", "http://notinternal/"],
    ["10.0.0.0/8", "http://11.0.0.1/"],
    ["10.0.0.0/8", "http://[::ffff:b00:1]/"],
    ["10.0.0.0/8", "http://ten.example/"], // a name is allowed by its name, whatever it resolves to
    ["127.0.0.1", "http://169.254.169.254/"],
    ["127.0.0.1", "http://localhost/"],
  ])("not %s: %s", (hosts, url) => {
    expect(allows(hosts, url)).toBe(false);
  });

  test("what is no pattern is told from what is", () => {
    for (const good of ["*", "a", "a.b-c.d", "*.a", "10.0.0.1", "10.0.0.0/8", "fd00::/8", "::1"])
      expect(isHostPattern(good), good).toBe(true);
    for (const bad of ["", "a/8", "10.0.0.0/33", "*a", "a.*", "http://a", "a:80", "10.0.0.0/"]) expect(isHostPattern(bad), bad).toBe(false);
  });
});

describe("what it finds", () => {
  const prober = serviceProber(["*"]);
  const ends: (() => void)[] = [];
  afterEach(() => ends.splice(0).forEach((end) => end()));

  async function served(status: number, more: { readonly location?: string; readonly silent?: boolean } = {}): Promise<URL> {
    const server = createServer((_request, reply) => {
      if (more.silent === true) return;
      reply.writeHead(status, more.location === undefined ? {} : { location: more.location }).end("x".repeat(100_000));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(() => (server.closeAllConnections(), server.close()));
    return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/health`);
  }

  test("well is 200 to 299", async () => {
    expect(await prober.probe(await served(200), 5_000)).toBeNull();
    expect(await prober.probe(await served(204), 5_000)).toBeNull();
    expect(await prober.probe(await served(503), 5_000)).toBe("HTTP 503");
    expect(await prober.probe(await served(302, { location: "http://169.254.169.254/" }), 5_000)).toBe("HTTP 302");
  });

  test("nobody there, and nothing said", async () => {
    expect(await prober.probe(await served(200, { silent: true }), 50)).toBe("no answer within 50 ms");
    const closed = await served(200);
    ends.splice(0).forEach((end) => end());
    expect(await prober.probe(closed, 5_000)).toBe("ECONNREFUSED");
    expect(await prober.probe(new URL(`tcp://127.0.0.1:${closed.port}`), 5_000)).toBe("ECONNREFUSED");
  });

  test("a port that takes connections", async () => {
    const server = createTcpServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(() => server.close());
    expect(await prober.probe(new URL(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`), 5_000)).toBeNull();
  });
});
