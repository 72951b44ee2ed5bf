/**
 * One declaration for each operation of the v1 API: what is taken, what is answered, and what is done. The route, the checks of what comes
 * in, and the OpenAPI document all follow from it, so that they cannot disagree.
 *
 *     export const counterAdd = operation({
 *       method: "POST",
 *       path: "/v1/counters/{name}",
 *       tag: "counters",
 *       summary: "Adds to a counter.",
 *       params: z.object({ name: nameParam }),
 *       body: z.strictObject({ add: z.int().default(1) }),
 *       replies: { 200: { description: "The sum.", schema: z.object({ value: z.int(), revision: z.int() }) } },
 *       handle: async ({ params, body, context, signal }) => {
 *         const { value, revision } = await addToCounter(context, params.name, body.add, { signal });
 *         return json(200, { value, revision }, revision);
 *       },
 *     });
 *
 * The list of all is in operations.ts. A handler throws `QuorateError` for whatever does not go well: problem.ts makes the reply. Waiting
 * and streams of events are in waiting.ts, fields that several operations have in fields.ts. Every operation has a sample call in
 * test/v1: a test makes each of them and holds every reply against its schema. `npm run docs:v1` writes the reference page anew.
 */
import type { z } from "zod";
import type { Bytes } from "../../bytes/bytes.ts";
import type { RecipeContext } from "../../recipes/client-port.ts";
import type { Member } from "../../replica/member.ts";
import type { ApiReply, ApiRequest } from "../exchange.ts";
import type { CommandSession } from "../../store/sessions.ts";
import type { MemberStore } from "./member-store.ts";
import type { V1Services } from "./services.ts";

export type Method = "GET" | "PUT" | "POST" | "PATCH" | "DELETE";

/** What a reply of one status looks like. */
export interface ReplyDoc {
  readonly description: string;
  /** Of the JSON in the body; left out: there is no body, or bytes. */
  readonly schema?: z.ZodType;
  /** The body is bytes of whatever type the reply says. */
  readonly bytes?: boolean;
  /** With `Accept: text/event-stream` the reply is a stream: its events, by name, and the schema of their data. */
  readonly events?: Readonly<Record<string, z.ZodType>>;
  /** Headers beside those that every reply has, with a sentence each. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The body is taken as it comes. */
export const BYTES = "bytes";

type NoFields = z.ZodObject<Record<never, never>>;

export interface OperationSpec<P extends z.ZodObject, Q extends z.ZodObject, H extends z.ZodObject, B extends z.ZodType | typeof BYTES> {
  readonly method: Method;
  /** As in OpenAPI: `/v1/locks/{name}/{lease}`. The last one, written `{key*}`, takes slashes too. */
  readonly path: string;
  readonly tag: string;
  /** One sentence. */
  readonly summary: string;
  readonly description?: string;
  /** Of the path: percent-decoded text; a schema of `bytesParam` takes any byte. */
  readonly params?: P;
  /** Unknown parameters are refused by name. */
  readonly query?: Q;
  /** Names in lower case. */
  readonly headers?: H;
  /** Of the JSON in the body, or `BYTES`. Left out: there is none to be. */
  readonly body?: B;
  readonly replies: Readonly<Record<number, ReplyDoc>>;
  readonly handle: (call: Call<z.output<P>, z.output<Q>, z.output<H>, BodyOf<B>>) => Promise<ApiReply> | ApiReply;
}

type BodyOf<B> = B extends z.ZodType ? z.output<B> : Bytes;

/** A request whose fields have been checked. */
export interface Call<P = unknown, Q = unknown, H = unknown, B = unknown> {
  readonly params: P;
  readonly query: Q;
  readonly headers: H;
  readonly body: B;
  readonly request: ApiRequest;
  /** As whoever asks may use it. */
  readonly member: Member;
  /** The same, as recipes want it. */
  readonly store: MemberStore;
  /** From `Idempotency-Key`: a write with the same one again is the same act. */
  readonly once: CommandSession | undefined;
  readonly context: RecipeContext;
  /** Fires when the client hangs up before the reply begins. */
  readonly signal: AbortSignal;
  readonly services: V1Services;
}

/** An operation whose types have been forgotten: what the router and the OpenAPI document see. */
export type Operation = Omit<OperationSpec<z.ZodObject, z.ZodObject, z.ZodObject, z.ZodType | typeof BYTES>, "handle"> & {
  readonly handle: (call: Call) => Promise<ApiReply> | ApiReply;
};

export function operation<
  P extends z.ZodObject = NoFields,
  Q extends z.ZodObject = NoFields,
  H extends z.ZodObject = NoFields,
  B extends z.ZodType | typeof BYTES = z.ZodType<undefined>,
>(spec: OperationSpec<P, Q, H, B>): Operation {
  // The fields were checked against the very schemas that the types are of. Made strict here, once: unknown parameters are refused.
  const query = spec.query?.strict();
  return { ...spec, ...(query === undefined ? {} : { query }) } as unknown as Operation;
}
