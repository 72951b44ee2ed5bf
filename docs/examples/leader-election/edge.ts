/** GET tells who leads and who is alive. POST does what only the leader may do, if this request can become it. */
import { campaign, electionState, fromEnv, isQuorateError, readGroup, text } from "quorate/client";

interface Context {
  waitUntil(work: Promise<unknown>): void;
}

export default {
  async fetch(request: Request, env: { readonly QUORATE_URL: string }, context: Context): Promise<Response> {
    const q = fromEnv(env, { waitUntil: (work) => context.waitUntil(work) });
    if (request.method !== "POST") {
      const [{ leader }, { members }] = await Promise.all([electionState(q, "db"), readGroup(q, "db")]);
      return Response.json({ leader: leader === null ? null : text.decode(leader.value), alive: members.map(({ id }) => id) });
    }
    try {
      await using office = await campaign(q, "db", text.encode("edge"), { wait: "1s", signal: request.signal });
      await q.txn().ifHeld(office).put("compacted", `${office.term}`).commit();
      return Response.json({ term: `${office.term}` });
    } catch (error) {
      if (isQuorateError(error) && error.reason === "held") return new Response("another one leads\n", { status: 409 });
      throw error;
    }
  },
};
