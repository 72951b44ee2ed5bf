/**
 * A disk that can no longer make anything durable (bad-disk.c, preloaded): the server ends, names the file, and acknowledges nothing
 * from then on; what it acknowledged before is there.
 */
import { Agent } from "node:http";
import { expect, test } from "vitest";
import { startQuorate } from "../helpers/start-quorate.ts";
import { BadDisk, compileBadDisk } from "./bad-disk.ts";
import { ask, base64, callV3, fromBase64 } from "./http.ts";

const library = compileBadDisk();

test.skipIf(library === undefined)(
  `a failed sync ends the server, and nothing is acknowledged after it${library === undefined ? " (skipped: needs Linux and gcc)" : ""}`,
  { timeout: 60_000 },
  async () => {
    const disk = new BadDisk(library as string);
    const agent = new Agent({ keepAlive: true });
    const server = await startQuorate({ env: disk.env });
    try {
      const put = (n: number): ReturnType<typeof ask> => {
        const body = JSON.stringify({ key: base64(`key${n}`), value: base64(String(n)) });
        return ask(agent, server.url, "POST", "/v3/kv/put", body);
      };
      for (let n = 0; n < 50; n++) expect((await put(n))?.status).toBe(200);
      disk.fail();
      // All of these come after the disk failed: none may be acknowledged.
      const late = await Promise.all(Array.from({ length: 20 }, (_, n) => put(100 + n)));
      expect(late.filter((reply) => reply?.status === 200)).toEqual([]);
      const exit = await server.exited;
      expect(exit.code).not.toBe(0);
      expect(exit.signal).toBeNull();
      expect(server.output()).toContain("EIO");
      expect(server.output()).toContain(server.dataDir);

      const again = await startQuorate({ dataDir: server.dataDir, port: server.port });
      try {
        for (let n = 0; n < 50; n++) {
          const { kvs } = await callV3<{ kvs?: { value: string }[] }>(agent, again.url, "/v3/kv/range", { key: base64(`key${n}`) });
          expect(fromBase64(kvs?.[0]?.value ?? "")).toBe(String(n));
        }
      } finally {
        await again.stop();
      }
    } finally {
      agent.destroy();
      await server.stop();
    }
  },
);
