/** What a program did with znodes, over `fetch`: `/members` lists children, `/enter` waits at a barrier, `/next` numbers things. */
import { addToCounter, fromEnv, readGroup, waitAtBarrier } from "quorate/client";

export default {
  async fetch(request: Request, env: { readonly QUORATE_URL: string }): Promise<Response> {
    const q = fromEnv(env);
    switch (new URL(request.url).pathname) {
      case "/members": // getChildren of ephemeral znodes
        return Response.json((await readGroup(q, "workers")).members.map(({ id }) => id));
      case "/enter": // the barrier recipe: exists with a watch, until the znode is gone
        await waitAtBarrier(q, "migration", { wait: "20s", signal: request.signal });
        return new Response("open\n");
      case "/next": // Curator's SharedCount
        return Response.json({ number: `${(await addToCounter(q, "orders", 1n)).value}` });
      default:
        return new Response("members, enter or next\n", { status: 404 });
    }
  },
};
