/** The v1 API: one route, behind which the operations are. */
import { errInternal, isQuorateError } from "../../errors.ts";
import type { ApiReply, ApiRequest, Route } from "../exchange.ts";
import { Dispatcher, checkedQuery, entryOf, memberFor } from "./dispatch.ts";
import { MemberStore } from "./member-store.ts";
import { openApiOf } from "./openapi.ts";
import { operation } from "./operation.ts";
import { OPERATIONS } from "./operations.ts";
import { problemReply } from "./problem.ts";
import { json } from "./reply.ts";
import { type WatchAsked, type Watching, checkWatch, watchOperation } from "./watch.ts";
import { type KeptWatch, type TextSocket, WatchSocket } from "./watch-socket.ts";
import { type V1Deps, v1Services } from "./services.ts";
import { z } from "zod";

/** The OpenAPI document of this release. */
export function v1Document(version: string): Record<string, unknown> {
  return openApiOf([...OPERATIONS, description(() => null)], version);
}

export function v1Routes(deps: V1Deps): Route[] {
  let document: Record<string, unknown> | undefined; // made when it is first asked for: a start is in somebody's way
  const dispatcher = new Dispatcher(v1Services(deps), [...OPERATIONS, description(() => (document ??= v1Document(deps.version)))]);
  return ["/v1", "/v1/*"].map((path) => ({ method: "*", path, kind: "unary", handle: (request) => dispatcher.handle(request) }));
}

/** How a host that speaks WebSockets serves them. */
export interface V1Sockets {
  /** Whether a GET of this path may become a WebSocket. */
  isAt(path: string): boolean;
  /** Before the upgrade. @returns what to do with the socket, or the reply that refuses it */
  open(request: ApiRequest): Promise<((socket: TextSocket) => void) | ApiReply>;
  /** The same for a socket that was open when the member fell asleep. @param request says who had opened it */
  resume(request: ApiRequest, watches: readonly KeptWatch[]): Promise<((socket: TextSocket) => void) | ApiReply>;
}

/** The WebSockets of the v1 API, on the same services as its routes. */
export function v1Sockets(deps: V1Deps): V1Sockets {
  const services = v1Services(deps);
  const entry = entryOf(watchOperation);
  const watchingOf = async (request: ApiRequest): Promise<Watching> => {
    const member = await memberFor(services, request);
    return { member, store: new MemberStore(member, services) };
  };
  const orRefusal = async <T>(made: () => Promise<T>): Promise<T | ApiReply> => {
    try {
      return await made();
    } catch (error) {
      const known = isQuorateError(error) ? error : undefined;
      if (known === undefined) services.onInternalError(error);
      return problemReply(known ?? errInternal());
    }
  };
  return {
    isAt: (path) => path === watchOperation.path,
    open: (request) =>
      orRefusal(async () => {
        const asked = checkedQuery(entry, request) as WatchAsked;
        const first = [asked.key, asked.prefix, asked.from].every((one) => one === undefined) ? undefined : asked;
        const watching = await watchingOf(request);
        if (first !== undefined) checkWatch(watching, first);
        return (socket) => new WatchSocket(socket, watching, services).run(first);
      }),
    resume: (request, watches) =>
      orRefusal(async () => {
        const watching = await watchingOf(request);
        for (const { asked } of watches) checkWatch(watching, asked);
        return (socket) => new WatchSocket(socket, watching, services).resume(watches);
      }),
  };
}

function description(document: () => unknown): ReturnType<typeof operation> {
  return operation({
    method: "GET",
    path: "/v1/openapi.json",
    tag: "about",
    summary: "This API, as an OpenAPI 3.1 document.",
    replies: { 200: { description: "The document.", schema: z.looseObject({ openapi: z.string() }) } },
    handle: () => json(200, document(), undefined, { "cache-control": "max-age=300" }),
  });
}
