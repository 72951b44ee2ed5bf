/** A Worker that does its work through the client: what `worker.test.ts` runs in workerd. */
import { connectAll, outcomeOf } from "../../client/all.ts";

interface Env {
  readonly STORE: string;
}

interface Context {
  waitUntil(work: Promise<unknown>): void;
}

export default {
  async fetch(request: Request, env: Env, context: Context): Promise<Response> {
    const q = connectAll({ url: env.STORE, waitUntil: (work) => context.waitUntil(work) });
    const { pathname } = new URL(request.url);
    if (pathname === "/count") {
      // Released behind the answer.
      await using hold = await q.lock("worker", { ttl: "10s" });
      const seen = Number((await q.kv.get("count"))?.value ?? 0);
      const { succeeded } = await q
        .txn()
        .ifHeld(hold)
        .put("count", `${seen + 1}`)
        .commit();
      return Response.json({ succeeded, fence: `${hold.fence}` });
    }
    if (pathname === "/watch") {
      const seen: string[] = [];
      for await (const step of q.keys("watched/").watch({ after: 1, signal: AbortSignal.timeout(10_000) })) {
        if (step.kind === "changes") for (const { key } of step.changes) seen.push(key);
        if (seen.includes("last")) break;
      }
      return Response.json(seen);
    }
    const nobody = connectAll({ url: "http://127.0.0.1:1", retry: { attempts: 1 } });
    const { kind } = await outcomeOf(nobody.kv.put("a", "1"));
    return Response.json({ kind, clock: q.host.clockMs() });
  },
};
