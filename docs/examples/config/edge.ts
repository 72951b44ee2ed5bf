/** A page made of configuration: GET shows it, PUT publishes another banner, GET /events tells of each change as it is published. */
import { type ConfigSnapshot, fromEnv, json, publishConfig, readConfig, subscribeConfig } from "quorate/client";

const value = json<string>(); // values are bytes: this makes them of a text, and a text of them

function bannerOf({ entries }: ConfigSnapshot): string {
  const entry = entries.get("banner");
  return entry === undefined ? "" : value.decode(entry.value);
}

export default {
  async fetch(request: Request, env: { readonly QUORATE_URL: string }): Promise<Response> {
    const q = fromEnv(env);
    if (request.method === "PUT") {
      return Response.json(await publishConfig(q, "shop", [{ key: "banner", value: value.encode(await request.text()) }]));
    }
    if (new URL(request.url).pathname === "/events") {
      const gone = new AbortController();
      const steps = subscribeConfig(q, "shop", { signal: gone.signal });
      const events = new ReadableStream({
        async pull(stream) {
          const step = await steps.next();
          if (step.done !== true) stream.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(bannerOf(step.value))}\n\n`));
        },
        cancel: () => gone.abort(), // the reader has hung up, which the platform notices at the next event
      });
      return new Response(events, { headers: { "content-type": "text/event-stream" } });
    }
    const shop = await readConfig(q, "shop");
    const { etag } = shop;
    if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304, headers: { etag } });
    return new Response(`${bannerOf(shop)}\n`, { headers: { etag } });
  },
};
