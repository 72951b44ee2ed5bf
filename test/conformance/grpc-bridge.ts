/**
 * A gateway like etcd's in front of a server that is spoken to over gRPC: the recorded cases of the v3 API, which are about the gateway,
 * run over gRPC by way of it. What is no method of the API goes to the server as it came.
 */
import { type IncomingMessage, type Server, type ServerResponse, createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { Metadata } from "@grpc/grpc-js";
import { statusOf, statusText } from "../../core/api/error-table.ts";
import { CODES, type ErrorCode } from "../../core/errors.ts";
import { GrpcGateway, type GrpcOutcome, type GrpcMethod } from "../helpers/grpc-gateway.ts";

const CODE_NAMES = new Map(Object.entries(CODES).map(([name, code]) => [code as number, name as ErrorCode]));

export class GrpcBridge {
  readonly #gateway: GrpcGateway;
  readonly #target: URL;
  readonly #server: Server;

  private constructor(url: string) {
    this.#target = new URL(url);
    this.#gateway = new GrpcGateway(url);
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  /** @param url of the server, `http://host:port` */
  static async start(url: string): Promise<GrpcBridge> {
    const bridge = new GrpcBridge(url);
    await new Promise<void>((resolve) => bridge.#server.listen(0, "127.0.0.1", resolve));
    return bridge;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#gateway.close();
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method === "POST" ? this.#gateway.method(request.url!) : undefined;
    if (method === undefined) return this.#pass(request, response);
    const metadata = new Metadata();
    if (request.headers.authorization !== undefined) metadata.set("token", request.headers.authorization);
    if (method.requestStream || method.responseStream) return this.#stream(method, metadata, request, response);
    const text = await textOf(request);
    const hungUp = new AbortController();
    response.once("close", () => hungUp.abort());
    const { reply, ...outcome } = await this.#gateway.unary(method, jsonOf(text), metadata, hungUp.signal);
    if (reply === undefined) failed(response, outcome);
    else response.setHeader("content-type", "application/json").end(JSON.stringify(reply));
  }

  async #stream(method: GrpcMethod, metadata: Metadata, request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader("content-type", "application/json");
    const line = (reply: object): void => void response.write(`${JSON.stringify({ result: reply })}\n`);
    const stream = this.#gateway.stream(method, line, metadata);
    response.once("close", () => stream.cancel());
    let rest = "";
    request.setEncoding("utf8");
    for await (const piece of request as AsyncIterable<string>) {
      const lines = (rest + piece).split("\n");
      rest = lines.pop()!;
      for (const one of lines.filter((text) => text.trim() !== "")) stream.send(jsonOf(one));
    }
    if (rest.trim() !== "" || method.responseStream !== method.requestStream) stream.send(jsonOf(rest));
    stream.end();
    const outcome = await stream.ended;
    if (outcome.code === 0) response.end();
    else if (!response.headersSent) failed(response, outcome);
    else response.end(JSON.stringify({ error: streamErrorOf(outcome) }));
  }

  #pass(request: IncomingMessage, response: ServerResponse): void {
    const { hostname, port } = this.#target;
    const passed = httpRequest({ hostname, port, method: request.method, path: request.url, headers: request.headers }, (reply) => {
      response.writeHead(reply.statusCode!, reply.headers);
      reply.pipe(response);
    });
    passed.once("error", (error) => response.destroy(error));
    request.pipe(passed);
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  request.setEncoding("utf8");
  for await (const piece of request as AsyncIterable<string>) text += piece;
  return text;
}

const jsonOf = (text: string): Record<string, unknown> => (text.trim() === "" ? {} : (JSON.parse(text) as Record<string, unknown>));

const httpStatusOf = (code: number): number => statusOf(CODE_NAMES.get(code)!);

function failed(response: ServerResponse, { code, message }: GrpcOutcome): void {
  response.writeHead(httpStatusOf(code), { "content-type": "application/json" });
  response.end(JSON.stringify({ error: message, message, code }));
}

function streamErrorOf({ code, message }: GrpcOutcome): object {
  const status = httpStatusOf(code);
  return { grpc_code: code, http_code: status, message, http_status: statusText(status) };
}
