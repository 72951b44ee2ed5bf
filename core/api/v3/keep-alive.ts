/**
 * `/v3/lease/keepalive` of etcd's JSON gateway: ids of leases in, for each its time to live out, which is left out (zero) when there is
 * no such lease. Ends with the request, or at a message that cannot be read.
 * Source: etcd 3.4's v3rpc/lease.go, as a running etcd answers.
 */
import { type Bytes, EMPTY } from "../../bytes/bytes.ts";
import { isQuorateError } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { LeaseId } from "../../store/command.ts";
import { type OnInternalError, v3Error } from "../error-table.ts";
import type { ApiReply, ApiRequest, Handler } from "../exchange.ts";
import { jsonDecoder, jsonEncoder } from "./json-codec.ts";
import { LEASE_KEEP_ALIVE_REQUEST, LEASE_KEEP_ALIVE_RESPONSE, type LeaseIdRequestMessage } from "./messages.ts";
import { headerOf } from "./response-header.ts";
import { SinkWriter } from "./sink-writer.ts";
import { StreamBody } from "./stream-body.ts";
import { STREAM_HEADERS, streamError, streamMessage, unreadableStream } from "./stream.ts";

export interface KeepAliveDeps {
  readonly member: Member;
  readonly onInternalError: OnInternalError;
}

/** A request is one number: far more than any has with spaces and unknown fields. */
const MESSAGE_BYTES_MAX = 64 * 1024;

const decode = jsonDecoder(LEASE_KEEP_ALIVE_REQUEST);
const encode = jsonEncoder(LEASE_KEEP_ALIVE_RESPONSE);

export function keepAliveHandler({ member, onInternalError }: KeepAliveDeps): Handler {
  const renew = async ({ id }: LeaseIdRequestMessage): Promise<Bytes> => {
    const ttl = await ttlOf(member, id);
    return streamMessage(encode({ header: headerOf(member), id, ttl }));
  };

  const send = async (first: Bytes, body: StreamBody<LeaseIdRequestMessage>, writer: SinkWriter): Promise<void> => {
    try {
      await writer.write(first);
      for await (const message of body.rest()) {
        if (writer.isClosed) return;
        await writer.write(await renew(message));
      }
    } catch (error) {
      await writer.write(streamError(error, onInternalError));
    }
    writer.end();
  };

  return async (request: ApiRequest): Promise<ApiReply> => {
    let body: StreamBody<LeaseIdRequestMessage>;
    try {
      body = await StreamBody.open(request, decode, MESSAGE_BYTES_MAX);
    } catch (error) {
      return unreadableStream(error, onInternalError);
    }
    const { first } = body;
    if (first === undefined) return { status: 200, headers: STREAM_HEADERS, body: EMPTY };
    try {
      const line = await renew(first);
      return { status: 200, headers: STREAM_HEADERS, body: (sink) => void send(line, body, new SinkWriter(sink)) };
    } catch (error) {
      return v3Error(error, onInternalError);
    }
  };
}

async function ttlOf(member: Member, id: LeaseId): Promise<number> {
  try {
    return await member.keepAlive(id);
  } catch (error) {
    if (isQuorateError(error) && error.reason === "leaseNotFound") return 0;
    throw error;
  }
}
