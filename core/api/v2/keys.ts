/**
 * `/v2/keys`: reads, writes and waits of the v2 keys API on one member.
 *
 * A plain read is answered from the local state, as in etcd; `quorum=true` makes it linearizable. A wait answers its head at once and
 * its event when it comes: the watch is set before the reply is made, so that nothing is missed in between.
 * Source: etcd v2 API documentation (https://etcd.io/docs/v2.3/api/), and etcd 3.4.23 asked with the same requests.
 */
import { type Bytes, EMPTY, ascii, prefixEnd } from "../../bytes/bytes.ts";
import { isQuorateError } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { V2Result } from "../../store/v2-tree/v2-command.ts";
import { IN_TREE_BYTES_MAX } from "../../store/v2-tree/v2-path.ts";
import type { ApiReply, ApiRequest } from "../exchange.ts";
import { hexId } from "./hex-id.ts";
import { encodeEvent, encodeGet } from "./json.ts";
import { type KeyRequest, checkKeyRequest, commandOf } from "./key-request.ts";
import { watchReply } from "./key-watch.ts";
import { CORS, faultReply, methodNotAllowed, refusalReply, textReply } from "./replies.ts";
import type { StoreCounters } from "./store-counters.ts";

const METHODS = "HEAD,GET,PUT,POST,DELETE";

export interface KeysDeps {
  readonly member: Member;
  /** Whoever asks may not see everything: each read is asked for first. */
  readonly isRestricted: boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly counters: StoreCounters;
}

/** Longest path of a node, in bytes: room is left for the name of an in-order key and for the slash of a directory. */
const PATH_BYTES_MAX = IN_TREE_BYTES_MAX - 32;

/** Actions whose answer `noValueOnSuccess` shortens. */
const SHORTENED: ReadonlySet<string> = new Set(["set", "create", "update", "compareAndSwap"]);

export class KeysHandler {
  readonly #member: Member;
  readonly #isRestricted: boolean;
  readonly #now: () => number;
  readonly #counters: StoreCounters;
  #clusterIdOf = "";
  #clusterIdHex = "";

  constructor(deps: KeysDeps) {
    this.#member = deps.member;
    this.#isRestricted = deps.isRestricted;
    this.#now = deps.now;
    this.#counters = deps.counters;
  }

  /** In hexadecimal. */
  get #clusterId(): string {
    const id = this.#member.clusterId;
    if (id !== this.#clusterIdOf) [this.#clusterIdOf, this.#clusterIdHex] = [id, hexId(id)];
    return this.#clusterIdHex;
  }

  /** @param rest the decoded, clean path after `/v2/keys` */
  handle(request: ApiRequest, rest: Bytes): ApiReply | Promise<ApiReply> {
    const { method } = request;
    const known = method === "GET" || method === "PUT" || method === "POST" || method === "DELETE" || method === "HEAD";
    if (!known) return methodNotAllowed(METHODS);
    if (rest.length > PATH_BYTES_MAX) return textReply(414, "URI Too Long\n");
    const path = rest === "" || rest === "/" ? ascii("/") : rest.endsWith("/") ? (rest.slice(0, -1) as Bytes) : rest;
    const sent = { method, query: request.query, contentType: request.header("content-type"), body: request.body };
    const checked = checkKeyRequest(path, sent, this.#now());
    if (!checked.ok) return withoutBody(faultReply(checked.fault, this.#clusterId), method);
    const asked = checked.request;
    if (method === "PUT") return this.#write("put", asked);
    if (method === "POST") return this.#write("post", asked);
    if (method === "DELETE") return this.#write("delete", asked);
    if (method === "GET" && asked.quorum) return this.#quorumRead(asked);
    if (asked.wait) return this.#wait(asked);
    return withoutBody(this.#read(asked), method);
  }

  /** @param index what `x-etcd-index` says */
  #headers(index: number): Record<string, string> {
    const status = this.#member.status();
    return {
      ...CORS,
      "content-type": "application/json",
      "x-etcd-cluster-id": this.#clusterId,
      "x-etcd-index": String(index),
      "x-raft-index": String(status.raftIndex),
      "x-raft-term": String(status.term),
    };
  }

  /** A node, and with it all that lies below a directory; or may come to, when it is watched for that. Undefined: allowed. */
  #denial(path: Bytes, isForBelow = false): ApiReply | undefined {
    const { store } = this.#member;
    if (!this.#isRestricted) return undefined;
    try {
      store.range({ ...NOTHING_OF, key: path, end: EMPTY });
      const below = path === "/" ? path : ((path + "/") as Bytes);
      if (isForBelow || store.v2.node(path)?.value === null) store.range({ ...NOTHING_OF, key: below, end: prefixEnd(below) });
      return undefined;
    } catch (error) {
      return refusalReply(error, this.#clusterId);
    }
  }

  #read(asked: KeyRequest): ApiReply {
    const { store } = this.#member;
    const denial = this.#denial(asked.path);
    if (denial !== undefined) return denial;
    const tree = store.v2;
    const node = tree.node(asked.path);
    this.#counters.count("gets", node !== undefined);
    if (node === undefined) return refusalReply(tree.whyMissing(asked.path), this.#clusterId);
    // The stamp of a write may run ahead of a clock that went back.
    const now = Math.max(this.#now(), store.clockMs);
    return { status: 200, headers: this.#headers(tree.index), body: encodeGet(tree, node, asked.recursive, now) };
  }

  async #quorumRead(asked: KeyRequest): Promise<ApiReply> {
    try {
      const barrier = this.#member.readBarrier();
      if (barrier !== undefined) await barrier;
    } catch (error) {
      return refusalReply(error, this.#clusterId);
    }
    return this.#read(asked);
  }

  #wait(asked: KeyRequest): ApiReply {
    const tree = this.#member.store.v2;
    const denial = this.#denial(asked.path, asked.recursive);
    if (denial !== undefined) return denial;
    try {
      const { path, recursive, waitIndex, stream } = asked;
      return watchReply({ tree, path, recursive, sinceIndex: waitIndex, stream, headers: this.#headers(tree.index) });
    } catch (error) {
      return refusalReply(error, this.#clusterId);
    }
  }

  async #write(method: "put" | "post" | "delete", asked: KeyRequest): Promise<ApiReply> {
    let result: V2Result;
    try {
      ({ result } = await this.#member.propose(commandOf(method, asked)));
    } catch (error) {
      const isUnauthorised = isQuorateError(error) && (error.code === "permissionDenied" || error.reason === "userEmpty");
      if (!isUnauthorised) this.#counters.countRefused(method, asked);
      return refusalReply(error, this.#clusterId);
    }
    const { action, node, prev } = result;
    this.#counters.countDone(action);
    const created = action === "create" || (action === "set" && prev === null);
    const short = asked.noValueOnSuccess && SHORTENED.has(action);
    const body = short ? ascii(`{"action":"${action}"}\n`) : encodeEvent(result, this.#member.store.clockMs);
    return { status: created ? 201 : 200, headers: this.#headers(node.modifiedIndex), body };
  }
}

/** A range that is asked for to see whether it may be read. */
const NOTHING_OF = {
  revision: 0,
  limit: 1,
  sortTarget: "key",
  sortOrder: "none",
  keysOnly: true,
  countOnly: true,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
} as const;

function withoutBody(reply: ApiReply, method: string): ApiReply {
  return method === "HEAD" ? { ...reply, body: EMPTY } : reply;
}
