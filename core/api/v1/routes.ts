/** The v1 API: one route, behind which the operations are. */
import type { Route } from "../exchange.ts";
import { Dispatcher } from "./dispatch.ts";
import { openApiOf } from "./openapi.ts";
import { operation } from "./operation.ts";
import { OPERATIONS } from "./operations.ts";
import { json } from "./reply.ts";
import { type V1Deps, v1Services } from "./services.ts";
import { z } from "zod";

/** The OpenAPI document of this release. */
export function v1Document(version: string): Record<string, unknown> {
  return openApiOf([...OPERATIONS, description(null)], version);
}

export function v1Routes(deps: V1Deps): Route[] {
  const document = v1Document(deps.version);
  const dispatcher = new Dispatcher(v1Services(deps), [...OPERATIONS, description(document)]);
  return ["/v1", "/v1/*"].map((path) => ({ method: "*", path, kind: "unary", handle: (request) => dispatcher.handle(request) }));
}

function description(document: unknown): ReturnType<typeof operation> {
  return operation({
    method: "GET",
    path: "/v1/openapi.json",
    tag: "about",
    summary: "This API, as an OpenAPI 3.1 document.",
    replies: { 200: { description: "The document.", schema: z.looseObject({ openapi: z.string() }) } },
    handle: () => json(200, document, undefined, { "cache-control": "max-age=300" }),
  });
}
