/**
 * The requests of a comparison over gRPC. They are told as for the JSON gateway, and so are the answers: the status is that of gRPC, and a
 * failed call has its message. A path that begins with `grpc:` names a method of gRPC, and the body is the hexadecimal of any
 * bytes; of its reply only the status counts.
 */
import { GrpcGateway } from "../helpers/grpc-gateway.ts";
import type { Answer, OpenStream, Sender, WireRequest } from "./exchange.ts";

const RAW = "grpc:";
const FIRST_MESSAGE_MS = 3_000;

export class GrpcSender implements Sender {
  readonly #gateway: GrpcGateway;

  /** @param url `http://host:port` */
  constructor(url: string) {
    this.#gateway = new GrpcGateway(url);
  }

  close(): void {
    this.#gateway.close();
  }

  async send({ path, body = "" }: WireRequest): Promise<Answer> {
    if (path.startsWith(RAW)) {
      const { code, message, reply } = await this.#gateway.raw(path.slice(RAW.length), Buffer.from(body, "hex"));
      return answerOf(code, reply === undefined ? errorText(code, message) : "");
    }
    const method = this.#method(path);
    if (method.requestStream || method.responseStream) {
      const stream = await this.open({ method: "", path, headers: {}, body });
      await stream.end;
      return stream.answer()!;
    }
    const { code, message, reply } = await this.#gateway.unary(method, JSON.parse(body) as object as Record<string, unknown>);
    return answerOf(code, reply === undefined ? errorText(code, message) : JSON.stringify(reply));
  }

  /** Resolves with the first message, or after 3 s without. */
  async open({ path, body = "" }: WireRequest): Promise<OpenStream & { readonly end: Promise<void> }> {
    let changedAt = performance.now();
    let status = 0;
    let lines = "";
    let ended = false;
    let begun = (): void => {};
    const first = new Promise<void>((resolve) => (begun = resolve));
    const stream = this.#gateway.stream(this.#method(path), (reply) => {
      lines += `${JSON.stringify({ result: reply })}\n`;
      changedAt = performance.now();
      begun();
    });
    const end = stream.ended.then(({ code, message }) => {
      status = code;
      ended = true;
      if (code !== 0) lines += errorText(code, message);
      begun();
    });
    for (const line of body.split("\n").filter((text) => text !== "")) stream.send(JSON.parse(line) as Record<string, unknown>);
    stream.end();
    const late = setTimeout(begun, FIRST_MESSAGE_MS);
    await first;
    clearTimeout(late);
    return {
      end,
      changedAt: () => changedAt,
      answer: () => answerOf(status, lines),
      ended: () => ended,
      close: () => stream.cancel(),
    };
  }

  #method(path: string) {
    const method = this.#gateway.method(path);
    if (method === undefined) throw new Error(`no method has the path ${path}`);
    return method;
  }
}

const errorText = (code: number, message: string): string => JSON.stringify({ code, message });
const answerOf = (status: number, body: string): Answer => ({ status, headers: {}, body });
