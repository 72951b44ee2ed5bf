/** docs/reference/v1.md, made from the OpenAPI document of the v1 API: `node runtime-node/v1-page.ts` writes it anew. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { v1Document } from "../core/api/v1/routes.ts";
import { packageVersion } from "./package-version.ts";

export const V1_PAGE = fileURLToPath(new URL("../docs/reference/v1.md", import.meta.url));

/** The parts of a JSON Schema that zod makes, as far as they are shown. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
}

interface Content {
  readonly [type: string]: { readonly schema: Schema & { readonly description?: string } };
}

interface Reply {
  readonly description: string;
  readonly headers?: Readonly<Record<string, { readonly description: string }>>;
  readonly content?: Content;
}

interface Operation {
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly { name: string; in: string; required: boolean; schema: Schema; description?: string }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, Reply>>;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const HEAD = `# The v1 API

<!-- Made from the operations in core/api/v1 by \`npm run docs:v1\`; a test compares them. -->

Coordination over plain HTTP, for whatever has \`fetch\` or \`curl\`. The same in a form for programs: \`GET /v1/openapi.json\` (OpenAPI 3.1).

- Every reply has \`Quorate-Revision\`: the revision of the store as of which it is true; and \`Quorate-Time\`: the store's clock, in milliseconds since 1970. \`Quorate-Watch: websocket\` asks to be watched by WebSocket: the store sleeps behind one, and stays awake for a stream (Durable Objects). A request with \`Quorate-Min-Revision\` is answered only from a state that is at least so new, otherwise 503.
- Every write takes \`Quorate-Guard\`, the \`guard\` of something held (a lock, an office, permits): it is done only while that is held; otherwise 409, \`stale_holder\`. Leases and tokens alone cannot be guarded.
- Errors are \`application/problem+json\` with \`status\`, \`code\`, \`detail\`; \`field\` where a field of the request cannot be taken, \`retryAfterMs\` where the same request may do later, and \`outcome\`: \`unknown\` where a write may have happened nevertheless.
- Durations are \`15s\`, \`250ms\`, \`1h\`, or a number of milliseconds. \`wait\` is at most 55 s.
- With \`Accept: text/event-stream\`, what says so below is a stream of server-sent events; \`Last-Event-ID\` resumes it.
- Who asks: \`Authorization: Bearer <token>\` or \`Basic\`, or \`?token=\` where a link is all there is.
- Flags such as \`?prefix\` need no value.
`;

/** The whole page. */
export function v1Page(): string {
  const document = v1Document(packageVersion()) as unknown as Document;
  const groups = new Map<string, string[]>();
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags[0]!;
      groups.set(tag, [...(groups.get(tag) ?? []), entry(method, path, operation, document)]);
    }
  }
  const parts = [HEAD];
  for (const [tag, entries] of groups) parts.push(`## ${tag}\n`, ...entries);
  return parts.join("\n");
}

function entry(method: string, path: string, operation: Operation, document: Document): string {
  const { summary, description, parameters = [], requestBody, responses } = operation;
  const shape = (schema: Schema): string => shapeOf(schema, document.components.schemas);
  const lines = [`### \`${method.toUpperCase()} ${path}\``, "", summary, ""];
  if (description !== undefined) lines.push(description, "");
  for (const one of parameters) {
    const what = one.description === undefined ? "" : ` ${one.description}`;
    lines.push(`- ${one.in} \`${one.name}\`${one.required ? "" : " (optional)"}:${what} \`${shape(one.schema)}\``);
  }
  for (const [type, { schema }] of Object.entries(requestBody?.content ?? {})) {
    lines.push(`- body: ${type === "*/*" ? "bytes, as they are" : `\`${shape(schema)}\``}`);
  }
  for (const [status, reply] of Object.entries(responses)) if (status !== "default") lines.push(...replyLines(status, reply, shape));
  return [...lines, ""].join("\n");
}

function replyLines(status: string, { description, headers = {}, content = {} }: Reply, shape: (schema: Schema) => string): string[] {
  const bodies = Object.entries(content).map(([type, { schema }]) => {
    if (type === "*/*") return " Bytes.";
    if (type === "text/event-stream") return " Or a stream of events.";
    return ` \`${shape(schema)}\``;
  });
  const own = Object.entries(headers).filter(([name]) => name !== "Quorate-Revision" && name !== "Quorate-Time");
  return [`- ${status}: ${description}${bodies.join("")}`, ...own.map(([name, { description: what }]) => `  - \`${name}\`: ${what}`)];
}

/** In the notation of TypeScript. What refers to itself is shown once. */
function shapeOf(schema: Schema, known: Document["components"]["schemas"], within: readonly string[] = []): string {
  const inner = (one: Schema): string => shapeOf(one, known, within);
  const { $ref } = schema;
  if ($ref !== undefined) {
    const name = $ref.slice($ref.lastIndexOf("/") + 1);
    return within.includes(name) ? "…" : shapeOf(known[name]!, known, [...within, name]);
  }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return [...new Set(choices.map(inner))].join(" | ");
  if (schema.type === "array") return `(${inner(schema.items ?? {})})[]`.replace(/^\((\w+|\{[^{}]*\})\)\[\]$/, "$1[]");
  if (schema.type === "object") return objectShape(schema, inner);
  return [schema.type ?? "any"].flat().join(" | ");
}

function objectShape({ properties = {}, required = [], additionalProperties }: Schema, inner: (schema: Schema) => string): string {
  const fields = Object.entries(properties).map(([name, field]) => `${name}${required.includes(name) ? "" : "?"}: ${inner(field)}`);
  if (typeof additionalProperties === "object")
    fields.push(Object.keys(additionalProperties).length === 0 ? "…" : `[name]: ${inner(additionalProperties)}`);
  return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`;
}

if (import.meta.main) writeFileSync(V1_PAGE, v1Page());
