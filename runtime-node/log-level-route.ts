/** `PUT /config/local/log`, as etcd has it: the level of this member's log, changed while it runs. For users of the role root. */
import * as z from "zod";
import type { Authenticator } from "../core/api/auth/authenticator.ts";
import { checkAdmin } from "../core/api/auth/authorised-member.ts";
import type { ApiReply, ApiRequest, Route } from "../core/api/exchange.ts";
import { EMPTY, ascii } from "../core/bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../core/bytes/utf8.ts";
import { isQuorateError } from "../core/errors.ts";
import type { Member } from "../core/replica/member.ts";
import { LOG_LEVELS, type LogLevel, type Logger } from "./logger.ts";

export const LOG_LEVEL_PATH = "/config/local/log";

const body = z.object({ Level: z.string() });

export interface LogLevelDeps {
  readonly member: Member;
  readonly authenticator: Authenticator;
  readonly logger: Logger;
}

export function logLevelRoute({ member, authenticator, logger }: LogLevelDeps): Route {
  const handle = async (request: ApiRequest): Promise<ApiReply> => {
    if (request.method !== "PUT") {
      const headers = { allow: "PUT", "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };
      return { status: 405, headers, body: ascii("Method Not Allowed\n") };
    }
    try {
      await authenticator.prepare(request);
      checkAdmin(member, authenticator.callerOf(request));
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      return refusal(error.code === "permissionDenied" ? 403 : 401, error.message);
    }
    const level = levelIn(utf8Decode(request.body));
    if (level === undefined) return refusal(400, "Invalid json body");
    if (!(level.toLowerCase() in LOG_LEVELS)) return refusal(400, `Invalid log level ${level}`);
    logger.level = LOG_LEVELS[level.toLowerCase() as LogLevel];
    logger.info({ level: level.toLowerCase() }, "the log level was changed");
    return { status: 204, headers: {}, body: EMPTY };
  };
  return { method: "*", path: LOG_LEVEL_PATH, kind: "unary", handle };
}

/** undefined: the text is none of these messages. */
function levelIn(text: string): string | undefined {
  try {
    return body.parse({ Level: "", ...(JSON.parse(text) as object) }).Level;
  } catch {
    return undefined;
  }
}

function refusal(status: number, message: string): ApiReply {
  return { status, headers: { "content-type": "application/json" }, body: utf8Encode(JSON.stringify({ message })) };
}
