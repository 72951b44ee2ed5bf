/**
 * The Worker in front: finds the namespace that a request is for and hands it to its object; `/admin/…` for whoever has the token; and says
 * clearly what cannot be served here.
 */
import { pathAndQuery } from "../core/api/exchange-fetch.ts";
import { QuorateDirectory, directoryOf } from "./directory-object.ts";
import { log } from "./log.ts";
import { QuorateNamespace } from "./namespace-object.ts";
import { ADMIN_PATH, chooseNamespace, namespaceOf } from "./namespaces.ts";
import { refusal } from "./refusal.ts";
import { type Env, SettingError, type Settings, settingsOf } from "./settings.ts";

export { QuorateDirectory, QuorateNamespace };

/** Bodies that grow while they are read: what compresses on the way would hold them back until their end. */
const STREAMS = /^\/(v3\/(watch|lease\/keepalive|maintenance\/snapshot)|v2\/keys\/.*)$/;

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    try {
      return await answer(request, env, settingsIn(env));
    } catch (error) {
      if (error instanceof SettingError) return refusal(500, "bad_setting", error.message);
      log("error", "a request failed", { url: pathAndQuery(request.url).path, error });
      return refusal(503, "unavailable", "the namespace did not answer: try again", { "retry-after": "1" });
    }
  },
};

/** Module state: what is the same for all requests of an isolate. Names are few, or all are forgotten. */
const settingsBy = new WeakMap<Env, Settings>();
const idsBy = new Map<string, DurableObjectId>();
const IDS_MAX = 10_000;

function settingsIn(env: Env): Settings {
  let settings = settingsBy.get(env);
  if (settings === undefined) settingsBy.set(env, (settings = settingsOf(env)));
  return settings;
}

async function answer(request: Request, env: Env, settings: Settings): Promise<Response> {
  if (request.headers.get("content-type")?.startsWith("application/grpc") === true) return noGrpc();
  const { path } = pathAndQuery(request.url);
  if (path === "/admin" || path.startsWith("/admin/")) return administer(request, path, { env, settings });
  const chosen = namespaceOf(request, settings);
  if ("why" in chosen) return refusal(chosen.status, chosen.status === 404 ? "no_such_namespace" : "bad_field", chosen.why);
  // As it is: the object finds its name in it by the same rule, and making another request would be half the work of this Worker.
  const response = await objectOf(chosen.name, { env, settings }).fetch(request);
  return STREAMS.test(chosen.path) ? uncompressed(response) : response;
}

interface Deployment {
  readonly env: Env;
  readonly settings: Settings;
}

function objectOf(name: string, { env, settings }: Deployment): DurableObjectStub {
  const { jurisdiction, locationHint } = settings;
  const namespaces = jurisdiction === null ? env.NAMESPACES : env.NAMESPACES.jurisdiction(jurisdiction);
  let id = idsBy.get(name);
  if (id === undefined) {
    if (idsBy.size >= IDS_MAX) idsBy.clear();
    idsBy.set(name, (id = namespaces.idFromName(name)));
  }
  return namespaces.get(id, locationHint === null ? {} : { locationHint });
}

function uncompressed(response: Response): Response {
  if (response.body === null || response.headers.has("content-length")) return response;
  const headers = new Headers(response.headers);
  headers.set("content-encoding", "identity");
  return new Response(response.body, { status: response.status, headers });
}

/** A gRPC client reads its status from the head of a reply without messages; trailers, which others need, cannot be sent from here. */
function noGrpc(): Response {
  const message = "gRPC is not served on Workers: use the JSON gateway at /v3, /v2 or /v1";
  return new Response(null, {
    status: 200,
    headers: { "content-type": "application/grpc", "grpc-status": "12", "grpc-message": encodeURI(message) },
  });
}

// ---- administration

async function administer(request: Request, path: string, deployment: Deployment): Promise<Response> {
  const { adminToken } = deployment.settings;
  if (adminToken === null) return refusal(403, "permission_denied", "nothing is administered here: ADMIN_TOKEN is not set");
  if (!(await isSame(request.headers.get("authorization") ?? "", `Bearer ${adminToken}`))) {
    return refusal(401, "unauthenticated", "wanted: Authorization: Bearer ADMIN_TOKEN", { "www-authenticate": "Bearer" });
  }
  const [, name] = ADMIN_PATH.exec(path) ?? [null];
  if (name === null) return refusal(404, "nothing_there", "there is /admin/namespaces and /admin/namespaces/NAME");
  if (name === undefined) return list(request, deployment);
  const chosen = chooseNamespace(`/ns/${name}/`, { header: null, host: "" }, deployment.settings);
  if ("why" in chosen) return refusal(chosen.status, "bad_field", chosen.why);
  return objectOf(chosen.name, deployment).fetch(request);
}

function list(request: Request, { env, settings }: Deployment): Promise<Response> | Response {
  const url = new URL(request.url);
  const limit = url.searchParams.get("limit") ?? "1000";
  if (request.method !== "GET") return refusal(405, "method_not_allowed", "the list takes GET", { allow: "GET" });
  if (!/^[1-9]\d{0,3}$/.test(limit) || Number(limit) > 1000)
    return refusal(400, "bad_field", "limit: wanted: a whole number from 1 to 1000");
  const asked = new URL("https://directory/");
  asked.searchParams.set("after", url.searchParams.get("after") ?? "");
  asked.searchParams.set("limit", limit);
  return directoryOf(env, settings).fetch(new Request(asked));
}

/** Takes as long whether they are the same or not. */
async function isSame(given: string, wanted: string): Promise<boolean> {
  const digest = async (text: string) => new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const [a, b] = await Promise.all([digest(given), digest(wanted)]);
  let difference = 0;
  for (let at = 0; at < a.length; at++) difference |= a[at]! ^ b[at]!;
  return difference === 0;
}
