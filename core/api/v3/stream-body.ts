/**
 * The messages of a streaming request. etcd's gateway answers only when it has read the first one: with an error of its own when that
 * cannot be read. Whatever is wrong with a later one ends the reading and nothing else: the reply goes on.
 */
import { isQuorateError } from "../../errors.ts";
import type { ApiRequest } from "../exchange.ts";
import type { JsonDecoder } from "./json-codec.ts";
import { jsonMessages } from "./json-stream.ts";

export class StreamBody<T> {
  /** undefined: the request ended without a message. */
  readonly first: T | undefined;
  readonly #rest: AsyncGenerator<T, void, void>;

  private constructor(first: T | undefined, rest: AsyncGenerator<T, void, void>) {
    this.first = first;
    this.#rest = rest;
  }

  /**
   * Waits for the first message.
   * @param bytesMax limit of one message
   * @throws QuorateError badJson, requestTooLarge
   */
  static async open<T>(request: ApiRequest, decode: JsonDecoder<T>, bytesMax: number): Promise<StreamBody<T>> {
    const messages = jsonMessages(request.chunks ?? noChunks(), decode, bytesMax);
    const { done, value } = await messages.next();
    return new StreamBody(done ? undefined : value, messages);
  }

  /**
   * The messages after the first, as they arrive; ends with the request, and at a message that cannot be read.
   * @throws what reading the connection failed with
   */
  async *rest(): AsyncGenerator<T, void, void> {
    try {
      for await (const message of this.#rest) yield message;
    } catch (error) {
      if (!isQuorateError(error)) throw error;
    }
  }
}

async function* noChunks(): AsyncGenerator<Uint8Array, void, void> {}
