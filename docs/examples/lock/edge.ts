/** POST adds one to a counter under a lock; GET tells the count. */
import { checkFence, fromEnv, isQuorateError, withLock } from "quorate/client";

interface Context {
  waitUntil(work: Promise<unknown>): void;
}

export default {
  async fetch(request: Request, env: { readonly QUORATE_URL: string }, context: Context): Promise<Response> {
    const q = fromEnv(env, { waitUntil: (work) => context.waitUntil(work) }); // the hold is renewed and released behind the answer, too
    if (request.method !== "POST") return Response.json({ count: (await q.kv.get("count"))?.value ?? "0" });
    try {
      const fence = await withLock(
        q,
        "count",
        async (hold) => {
          const count = Number((await q.kv.get("count"))?.value ?? 0) + 1;
          await q.txn().ifHeld(hold).put("count", `${count}`).commit(); // inside the store the guard decides
          await checkFence(q, "printer", hold.fence); // outside of it, what is acted upon has to compare: this is the next best
          return hold.fence;
        },
        { wait: "10s", signal: request.signal },
      );
      return Response.json({ fence: `${fence}` });
    } catch (error) {
      if (isQuorateError(error) && error.reason === "held") return new Response("another one has the lock\n", { status: 423 });
      throw error;
    }
  },
};
