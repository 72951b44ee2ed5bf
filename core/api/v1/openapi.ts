/** The OpenAPI 3.1 document of v1, made of the very schemas that check what comes in. */
import { z } from "zod";
import { BYTES, type Operation, type ReplyDoc } from "./operation.ts";
import { PROBLEM_TYPE, problemSchema } from "./problem.ts";

type Json = Record<string, unknown>;

export function openApiOf(operations: readonly Operation[], version: string): Json {
  const paths: Record<string, Json> = {};
  const shared: Json = {};
  for (const operation of operations) {
    const path = operation.path.replace("*}", "}");
    (paths[path] ??= {})[operation.method.toLowerCase()] = operationOf(operation, shared);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Quorate",
      version,
      description: "Coordination over plain HTTP: keys, watches, locks, queues, elections and the like.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    paths,
    components: {
      schemas: { Problem: schemaOf(problemSchema, "output", "Problem", shared), ...shared },
      securitySchemes: { bearer: { type: "http", scheme: "bearer" }, basic: { type: "http", scheme: "basic" } },
    },
    security: [{}, { bearer: [] }, { basic: [] }],
  };
}

function operationOf({ method, path, tag, summary, description, params, query, headers, body, replies }: Operation, shared: Json): Json {
  const id = operationIdOf(method, path);
  const parameters = [
    ...fieldsOf(params, "path", id, shared),
    ...fieldsOf(query, "query", id, shared),
    ...fieldsOf(headers, "header", id, shared),
  ];
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: requestBodyOf(body, id, shared) }),
    responses: {
      ...Object.fromEntries(Object.entries(replies).map(([status, reply]) => [status, responseOf(reply, `${id}${status}`, shared)])),
      default: {
        description: "What went wrong.",
        content: { [PROBLEM_TYPE]: { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    },
  };
}

/** `GET /v1/locks/{name}` is `getLocksName`: as unique as method and path are. */
export function operationIdOf(method: string, path: string): string {
  const words = path.split(/[^A-Za-z0-9]+/).filter((word) => word !== "" && word !== "v1");
  return [method.toLowerCase(), ...words.map((word) => word[0]!.toUpperCase() + word.slice(1))].join("");
}

function fieldsOf(schema: z.ZodObject | undefined, place: "path" | "query" | "header", id: string, shared: Json): Json[] {
  return Object.entries(schema?.shape ?? {}).map(([name, field]) => {
    const { description, ...rest } = schemaOf(field as z.ZodType, "input", `${id}_${name}`, shared);
    const required = place === "path" || !(field as z.ZodType).safeParse(undefined).success;
    return { name, in: place, required, schema: rest, ...(description === undefined ? {} : { description }) };
  });
}

function requestBodyOf(body: z.ZodType | typeof BYTES, id: string, shared: Json): Json {
  if (body === BYTES) return { required: false, content: { "*/*": { schema: { type: "string", format: "binary" } } } };
  const required = !body.safeParse(undefined).success;
  return { required, content: { "application/json": { schema: schemaOf(body, "input", `${id}_body`, shared) } } };
}

function responseOf({ description, schema, bytes, events, headers }: ReplyDoc, id: string, shared: Json): Json {
  const content: Json = {};
  if (schema !== undefined) content["application/json"] = { schema: schemaOf(schema, "output", id, shared) };
  if (bytes === true) content["*/*"] = { schema: { type: "string", format: "binary" } };
  if (events !== undefined) {
    const data = ([name, of]: [string, z.ZodType]): string =>
      `\`${name}\`: ${JSON.stringify(schemaOf(of, "output", `${id}_${name}`, shared))}`;
    const named = Object.entries(events).map(data);
    content["text/event-stream"] = { schema: { type: "string", description: `Events and their data. ${named.join("; ")}` } };
  }
  const all = {
    "Quorate-Revision": "The revision of the store as of which this is true.",
    "Quorate-Time": "The store's clock, in milliseconds since 1970.",
    ...headers,
  };
  return {
    description,
    headers: Object.fromEntries(Object.entries(all).map(([name, text]) => [name, { description: text, schema: { type: "string" } }])),
    ...(Object.keys(content).length === 0 ? {} : { content }),
  };
}

const INNER = "#/$defs/";

/**
 * @param name of what the schema refers to within itself, as recursive ones do: a reference in a document begins at its root, so these
 *   become components. @param shared gets them
 */
function schemaOf(schema: z.ZodType, io: "input" | "output", name: string, shared: Json): Json {
  const made = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  const nameOf = (inner: string): string => `${name}${inner.replace(/^__schema/, "_")}`;
  const text = JSON.stringify(made, (key, value: unknown) => {
    if (key === "$ref" && typeof value === "string" && value.startsWith(INNER)) {
      return `#/components/schemas/${nameOf(value.slice(INNER.length))}`;
    }
    return key === "$schema" || key === "bytes" ? undefined : value;
  });
  const { $defs = {}, ...json } = JSON.parse(text) as Json & { $defs?: Json };
  for (const [inner, definition] of Object.entries($defs)) shared[nameOf(inner)] = definition;
  return json;
}
