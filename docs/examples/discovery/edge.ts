/** Hands a request to an instance of the service `api` that is alive. */
import { fromEnv, listServices } from "quorate/client";

export default {
  async fetch(request: Request, env: { readonly QUORATE_URL: string }): Promise<Response> {
    const { instances } = await listServices(fromEnv(env), "api", { status: "passing" });
    const one = instances[Math.floor(Math.random() * instances.length)];
    if (one === undefined) return new Response("no instance of api is alive\n", { status: 503 });
    const { pathname, search } = new URL(request.url);
    try {
      return await fetch(new Request(`http://${one.address}:${one.port ?? 80}${pathname}${search}`, request));
    } catch {
      return new Response(`${one.id} is on the list and does not answer\n`, { status: 502 }); // it may have died a moment ago
    }
  },
};
