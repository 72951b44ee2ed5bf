/**
 * JSON to gRPC: requests as etcd's JSON gateway takes them, sent to a server over gRPC by @grpc/grpc-js with the `.proto` files, and the
 * answers as the gateway would write them. Nothing of the server's own codec or client takes part, so that what goes through here is seen
 * as another program sees it. Tests of the JSON API run over gRPC by way of this.
 */
import {
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type MethodDefinition,
  Metadata,
  type ServiceError,
  credentials,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { MessageTable } from "../../core/api/v3/message-table.ts";
import { PROTO_FOLDER } from "./proto-folder.ts";
import { servedServices } from "./served-services.ts";

type Json = Readonly<Record<string, unknown>>;
export type GrpcMethod = MethodDefinition<object, object>;

/** How a call ended. @see core/errors.ts for the codes */
export interface GrpcOutcome {
  readonly code: number;
  readonly message: string;
}

export interface GrpcStream {
  send(message: Json): void;
  /** No more will be sent. */
  end(): void;
  cancel(): void;
  /** Never fails. */
  readonly ended: Promise<GrpcOutcome>;
}

/** Sent to a server before it answers anything. */
const FIRST_CONNECT_MS = 10_000;

const OPTIONS: ChannelOptions = {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc.enable_retries": 0,
};

const services = servedServices().filter(({ name }) => !name.startsWith("grpc."));

/** By the full name of its service and its own: `etcdserverpb.KV/Range`. Fields have the names of the files, as etcd's gateway writes them. */
const loaded = loadSync(["etcdserverpb/rpc.proto", "v3lockpb/v3lock.proto", "v3electionpb/v3election.proto"], {
  includeDirs: [PROTO_FOLDER],
  keepCase: true,
  longs: String,
  enums: String,
  bytes: String,
});

/** Methods by their paths in the gateway, without the prefix of the version. */
const byPath = new Map<string, GrpcMethod>(
  services.flatMap(({ name, methods }) =>
    methods.flatMap((method) => {
      const definition = (loaded[name] as Readonly<Record<string, GrpcMethod>>)[method.name]!;
      return method.paths.map((path) => [path, definition] as const);
    }),
  ),
);

/** The gateway takes names in either spelling. */
const otherSpellings = new Map<string, string>();
const spelled = new Set<object>();
function learnSpellings(table: MessageTable<unknown>): void {
  if (spelled.has(table)) return;
  spelled.add(table);
  for (const { name, jsonName, message } of table.fields) {
    if (jsonName !== name) otherSpellings.set(jsonName, name);
    if (message !== null) learnSpellings(message() as MessageTable<unknown>);
  }
}
for (const { request } of services.flatMap(({ methods }) => methods)) learnSpellings(request as MessageTable<unknown>);

function withProtoNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withProtoNames);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [otherSpellings.get(name) ?? name, withProtoNames(inner)]));
}

const RAW: Pick<GrpcMethod, "requestSerialize" | "responseDeserialize"> = {
  requestSerialize: (bytes) => bytes as Buffer,
  responseDeserialize: (bytes) => bytes,
};

export class GrpcGateway {
  readonly #client: Client;

  /** @param url `http://host:port` */
  constructor(url: string) {
    this.#client = new Client(new URL(url).host, credentials.createInsecure(), OPTIONS);
  }

  /** Resolves when there is a connection. @throws Error when there is none in 10 s */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + FIRST_CONNECT_MS, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  close(): void {
    this.#client.close();
  }

  /** @param path of the gateway: `/v3/kv/put` @returns undefined when there is no such method */
  method(path: string): GrpcMethod | undefined {
    return byPath.get(path.replace(/^\/v3(beta)?/, ""));
  }

  /** @throws Error for JSON that is no message @returns the reply, or how it failed */
  unary(
    method: GrpcMethod,
    request: Json,
    metadata = new Metadata(),
    canceled?: AbortSignal,
  ): Promise<GrpcOutcome & { readonly reply: Json | undefined }> {
    return this.#unary(method.path, method, withProtoNames(request) as Json, metadata, canceled);
  }

  /** Any bytes to any method. @param path `/etcdserverpb.KV/Range` @returns the reply's bytes */
  raw(path: string, request: Buffer): Promise<GrpcOutcome & { readonly reply: Buffer | undefined }> {
    return this.#unary(path, RAW, request, new Metadata());
  }

  #unary<Reply>(
    path: string,
    { requestSerialize, responseDeserialize }: Pick<GrpcMethod, "requestSerialize" | "responseDeserialize">,
    request: object,
    metadata: Metadata,
    canceled?: AbortSignal,
  ): Promise<GrpcOutcome & { readonly reply: Reply | undefined }> {
    const message = requestSerialize(request);
    return new Promise((resolve) => {
      const call = this.#client.makeUnaryRequest<Buffer, object>(
        path,
        (bytes) => bytes,
        responseDeserialize,
        message,
        metadata,
        {},
        (error: ServiceError | null, reply?: object) => resolve({ ...outcomeOf(error), reply: reply as Reply | undefined }),
      );
      canceled?.addEventListener("abort", () => call.cancel(), { once: true });
    });
  }

  /** Any method that streams, in either direction. */
  stream(method: GrpcMethod, onReply: (reply: Json) => void, metadata = new Metadata()): GrpcStream {
    // One request is a stream of one, on the wire.
    const call: ClientDuplexStream<object, object> = this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadata,
      {},
    );
    call.on("data", onReply);
    const ended = new Promise<GrpcOutcome>((resolve) => {
      call.on("error", () => {}); // told by the status
      call.on("status", ({ code, details }: { code: number; details: string }) => resolve({ code, message: details }));
    });
    return {
      send: (message) => void call.write(withProtoNames(message) as Json),
      end: () => call.end(),
      cancel: () => call.cancel(),
      ended,
    };
  }
}

function outcomeOf(error: ServiceError | null): GrpcOutcome {
  return error === null ? { code: 0, message: "" } : { code: error.code, message: error.details };
}
