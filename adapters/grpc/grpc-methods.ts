/**
 * The methods of services as gRPC serves them: what happens to the messages of a call, by the kind of its method. The JSON gateway serves
 * the same methods its own way (`core/api/v3`).
 */
import type { Authenticator } from "../../core/api/auth/authenticator.ts";
import type { OnInternalError } from "../../core/api/error-table.ts";
import { Cancellation } from "../../core/api/v3/cancellation.ts";
import { checkRequestSize } from "../../core/api/v3/message-size.ts";
import { protobufDecoder, protobufEncoder } from "../../core/api/v3/protobuf-codec.ts";
import {
  type Call,
  type InTurnMethod,
  type Method,
  type ServerStreamMethod,
  type UnaryMethod,
  type WaitingMethod,
  type WatchMethod,
  waitingError,
} from "../../core/api/v3/services.ts";
import { SinkWriter } from "../../core/api/sink-writer.ts";
import { GRPC_WATCH } from "../../core/api/v3/watch-format.ts";
import type { WatchService } from "../../core/api/v3/watch.ts";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { unreachable } from "../../core/invariant.ts";
import type { GrpcCall } from "./grpc-call.ts";
import { statusOf } from "./grpc-status.ts";

/** Takes a call and sees it to its end. */
export type CallStarter = (call: GrpcCall) => void;

export interface MethodDeps {
  readonly watch: WatchService;
  readonly authenticator: Authenticator;
  readonly maxRequestBytes: number;
  readonly onInternalError: OnInternalError;
}

export function starterOf(method: Method, deps: MethodDeps): CallStarter {
  switch (method.kind) {
    case "unary":
      return unary(method, deps);
    case "waiting":
      return waiting(method, deps);
    case "serverStream":
      return serverStream(method, deps);
    case "inTurn":
      return inTurn(method, deps);
    case "watch":
      return watch(method, deps);
    default:
      return unreachable(method);
  }
}

function unary<Request, Reply>(method: UnaryMethod<Request, Reply>, deps: MethodDeps): CallStarter {
  const decode = protobufDecoder(method.request);
  const encode = protobufEncoder(method.reply);
  return (call) =>
    readOne(call, (text) => {
      const answer = method.call(decode(text), calledBy(call, text, deps));
      if (!(answer instanceof Promise)) return call.reply(call.framed(encode(answer)));
      answer.then((reply) => call.reply(call.framed(encode(reply)))).catch((error: unknown) => call.fail(error));
    });
}

/** What its method throws is told as through the JSON gateway: see `waitingError`. */
function waiting<Request, Reply>(method: WaitingMethod<Request, Reply>, deps: MethodDeps): CallStarter {
  const decode = protobufDecoder(method.request);
  const encode = protobufEncoder(method.reply);
  const answer = async (request: Request, call: GrpcCall, text: Bytes): Promise<void> => {
    const cancellation = cancellationOf(call);
    try {
      checkRequestSize(method.request, request, text.length, deps.maxRequestBytes);
      call.reply(call.framed(encode(await method.call(request, calledBy(call, text, deps), cancellation))));
    } catch (error) {
      call.fail(waitingError(error));
    }
  };
  return (call) => readOne(call, (text) => void answer(decode(text), call, text));
}

/** No faster than the client reads. */
function serverStream<Request, Reply>(method: ServerStreamMethod<Request, Reply>, deps: MethodDeps): CallStarter {
  const decode = protobufDecoder(method.request);
  const encode = protobufEncoder(method.reply);
  const send = async (replies: AsyncIterable<Reply>, call: GrpcCall, cancellation: Cancellation): Promise<void> => {
    const writer = new SinkWriter(call);
    writer.onClose(() => cancellation.cancel());
    for await (const reply of replies) {
      if (writer.isClosed) return;
      await writer.write(call.framed(encode(reply)));
    }
    writer.end();
  };
  return (call) =>
    readOne(call, (text) => {
      const cancellation = new Cancellation();
      const replies = method.call(decode(text), calledBy(call, text, deps), cancellation);
      send(replies, call, cancellation).catch((error: unknown) => call.fail(error));
    });
}

function inTurn<Request, Reply>(method: InTurnMethod<Request, Reply>, deps: MethodDeps): CallStarter {
  const decode = protobufDecoder(method.request);
  const encode = protobufEncoder(method.reply);
  return (call) => {
    const writer = new SinkWriter(call);
    call.read({
      message: async (text) => {
        const reply = await method.call(decode(text), calledBy(call, text, deps));
        await writer.write(call.framed(encode(reply)));
      },
      end: () => writer.end(),
    });
  };
}

/** Goes on when the client has sent all its requests: it ends with the connection, or when the client takes the call back. */
function watch(method: WatchMethod, { watch: service }: MethodDeps): CallStarter {
  const decode = protobufDecoder(method.request);
  return (call) => {
    try {
      service.checkServed();
    } catch (error) {
      return call.fail(error);
    }
    const stream = service.open({ credentials: call, format: GRPC_WATCH, sink: call, fail: (error) => call.fail(error) });
    call.read({ message: (text) => stream.request(decode(text)), end: () => {} });
  };
}

/** The one message of a request. What comes after it is not looked at. */
function readOne(call: GrpcCall, take: (text: Bytes) => void): void {
  let taken = false;
  call.read({
    message: (text) => {
      if (taken) return;
      taken = true;
      take(text);
    },
    end: () => {
      if (!taken) call.finish(statusOf("internal", "unexpected EOF"));
    },
  });
}

function calledBy(call: GrpcCall, text: Bytes, { authenticator }: MethodDeps): Call {
  return { member: authenticator.memberFor(call), credentials: call, bytesAtMost: text.length };
}

function cancellationOf(call: GrpcCall): Cancellation {
  const cancellation = new Cancellation();
  call.onClose(() => cancellation.cancel());
  return cancellation;
}
