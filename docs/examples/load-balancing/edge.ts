/** Hands a request to the node with the least to do, of two at random. */
import { Picker, fromEnv, readPool } from "quorate/client";

export default {
  async fetch(request: Request, env: { readonly QUORATE_URL: string }): Promise<Response> {
    const q = fromEnv(env);
    const { nodes } = await readPool(q, "web");
    const node = new Picker(q.host, { strategy: "p2c" }).pick(nodes);
    if (node === undefined) return new Response("no node of web is alive\n", { status: 503 });
    const { pathname, search } = new URL(request.url);
    try {
      const reply = await fetch(new Request(`http://${node.address}${pathname}${search}`, request));
      return new Response(reply.body, { status: reply.status, headers: { ...Object.fromEntries(reply.headers), "x-node": node.id } });
    } catch {
      return new Response(`${node.id} does not answer\n`, { status: 502, headers: { "x-node": node.id } });
    }
  },
};
