/** The OpenAPI 3.1 document of v1, made of the very schemas that check what comes in. */
import { z } from "zod";
import { BYTES, type Operation, type ReplyDoc } from "./operation.ts";
import { PROBLEM_TYPE, problemSchema } from "./problem.ts";

type Json = Record<string, unknown>;

export function openApiOf(operations: readonly Operation[], version: string): Json {
  const paths: Record<string, Json> = {};
  for (const operation of operations) {
    const path = operation.path.replace("*}", "}");
    (paths[path] ??= {})[operation.method.toLowerCase()] = operationOf(operation);
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
      schemas: { Problem: schemaOf(problemSchema, "output") },
      securitySchemes: { bearer: { type: "http", scheme: "bearer" }, basic: { type: "http", scheme: "basic" } },
    },
    security: [{}, { bearer: [] }, { basic: [] }],
  };
}

function operationOf({ method, path, tag, summary, description, params, query, headers, body, replies }: Operation): Json {
  const parameters = [...fieldsOf(params, "path"), ...fieldsOf(query, "query"), ...fieldsOf(headers, "header")];
  return {
    operationId: operationIdOf(method, path),
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: requestBodyOf(body) }),
    responses: {
      ...Object.fromEntries(Object.entries(replies).map(([status, reply]) => [status, responseOf(reply)])),
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

function fieldsOf(schema: z.ZodObject | undefined, place: "path" | "query" | "header"): Json[] {
  return Object.entries(schema?.shape ?? {}).map(([name, field]) => {
    const { description, ...rest } = schemaOf(field as z.ZodType, "input");
    const required = place === "path" || !(field as z.ZodType).safeParse(undefined).success;
    return { name, in: place, required, schema: rest, ...(description === undefined ? {} : { description }) };
  });
}

function requestBodyOf(body: z.ZodType | typeof BYTES): Json {
  if (body === BYTES) return { required: false, content: { "*/*": { schema: { type: "string", format: "binary" } } } };
  const required = !body.safeParse(undefined).success;
  return { required, content: { "application/json": { schema: schemaOf(body, "input") } } };
}

function responseOf({ description, schema, bytes, events, headers }: ReplyDoc): Json {
  const content: Json = {};
  if (schema !== undefined) content["application/json"] = { schema: schemaOf(schema, "output") };
  if (bytes === true) content["*/*"] = { schema: { type: "string", format: "binary" } };
  if (events !== undefined) {
    const named = Object.entries(events).map(([name, data]) => `\`${name}\`: ${JSON.stringify(schemaOf(data, "output"))}`);
    content["text/event-stream"] = { schema: { type: "string", description: `Events and their data. ${named.join("; ")}` } };
  }
  const all = { "Quorate-Revision": "The revision of the store as of which this is true.", ...headers };
  return {
    description,
    headers: Object.fromEntries(Object.entries(all).map(([name, text]) => [name, { description: text, schema: { type: "string" } }])),
    ...(Object.keys(content).length === 0 ? {} : { content }),
  };
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, bytes: __, ...json } = z.toJSONSchema(schema, { io, unrepresentable: "any" }) as Json;
  return json;
}
