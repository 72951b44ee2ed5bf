/** A page made of configuration, which is as new as what was published last. */
import { fromEnv, readConfig } from "quorate/client";

export default {
  async fetch(request: Request, env: { readonly QUORATE_URL: string }): Promise<Response> {
    const { entries, etag } = await readConfig(fromEnv(env), "shop");
    if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304, headers: { etag } });
    const banner = JSON.parse(entries.get("banner")?.value ?? '""') as string;
    return new Response(`<h1>${banner}</h1>\n`, { headers: { etag, "content-type": "text/html" } });
  },
};
