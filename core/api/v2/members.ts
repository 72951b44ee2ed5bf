/**
 * `/v2/members` and `/v2/machines`. Clients of v2 find the cluster here: the client URLs must be the advertised ones.
 *
 * Source: etcd's members API of v2 (https://etcd.io/docs/v2.3/members_api/). What is wrong with a request itself is told first.
 */
import { type Bytes, EMPTY } from "../../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../../bytes/utf8.ts";
import { isQuorateError } from "../../errors.ts";
import type { Member, PeerInfo } from "../../replica/member.ts";
import type { ApiReply, ApiRequest } from "../exchange.ts";
import { readPeerUrls } from "../peer-urls.ts";
import { hexId } from "./hex-id.ts";
import { jsonString } from "./json.ts";
import { CORS, methodNotAllowed } from "./replies.ts";

const METHODS = "GET,POST,DELETE,PUT";
const UINT64_MAX = 0xffff_ffff_ffff_ffffn;

function jsonReply(member: Member, status: number, body: string): ApiReply {
  const headers = { ...CORS, "content-type": "application/json", "x-etcd-cluster-id": hexId(member.clusterId) };
  return { status, headers, body: body as Bytes };
}

/** Without a line end, as etcd writes its messages. */
function messageReply(member: Member, status: number, message: string): ApiReply {
  return jsonReply(member, status, `{"message":${jsonString(utf8Encode(message))}}`);
}

const strings = (texts: readonly string[]) => `[${texts.map((text) => jsonString(utf8Encode(text))).join(",")}]`;

function encodeMember(peer: PeerInfo): string {
  const { id, name, peerUrls, clientUrls } = peer;
  return `{"id":"${hexId(id)}","name":${jsonString(utf8Encode(name))},"peerURLs":${strings(peerUrls)},"clientURLs":${strings(clientUrls)}}`;
}

/** @param rest the decoded path after `/v2/members` */
export function handleMembers(member: Member, request: ApiRequest, rest: Bytes): ApiReply | Promise<ApiReply> {
  const id = rest.startsWith("/") ? rest.slice(1) : rest;
  switch (request.method) {
    case "GET":
      return list(member, id);
    case "POST":
      return add(member, request);
    case "DELETE":
    case "PUT":
      return change(member, request, id);
    default:
      return methodNotAllowed(METHODS);
  }
}

function list(member: Member, id: string): ApiReply {
  const members = member.members();
  if (id === "") return jsonReply(member, 200, `{"members":[${members.map(encodeMember).join(",")}]}\n`);
  if (id !== "leader") return messageReply(member, 404, "Not found");
  const leaderId = member.status().leaderId;
  const leader = members.find((peer) => peer.id === leaderId);
  return leader === undefined ? messageReply(member, 503, "During election") : jsonReply(member, 200, encodeMember(leader) + "\n");
}

async function add(member: Member, request: ApiRequest): Promise<ApiReply> {
  const given = peerUrlsOf(member, request);
  if (!("urls" in given)) return given;
  try {
    return jsonReply(member, 201, encodeMember(await member.addMember(given.urls, false)) + "\n");
  } catch (error) {
    return changeFailed(member, "", error);
  }
}

async function change(member: Member, request: ApiRequest, text: string): Promise<ApiReply> {
  if (text === "") return methodNotAllowed(null, { "x-etcd-cluster-id": hexId(member.clusterId) });
  const wanted = idFromHex(text);
  let peerUrls: readonly string[] = [];
  if (request.method === "PUT" && wanted !== undefined) {
    const given = peerUrlsOf(member, request);
    if (!("urls" in given)) return given;
    peerUrls = given.urls;
  }
  if (wanted === undefined) return messageReply(member, 404, `No such member: ${utf8Decode(text as Bytes)}`);
  const id = wanted.toString();
  try {
    await (request.method === "PUT" ? member.updateMember(id, peerUrls) : member.removeMember(id));
    return { status: 204, headers: { ...CORS, "x-etcd-cluster-id": hexId(member.clusterId) }, body: EMPTY };
  } catch (error) {
    return changeFailed(member, wanted.toString(16), error);
  }
}

function changeFailed(member: Member, hex: string, error: unknown): ApiReply {
  if (!isQuorateError(error)) throw error;
  switch (error.reason) {
    case "memberNotFound":
      return messageReply(member, 404, `No such member: ${hex}`);
    case "memberRemoved":
      return messageReply(member, 410, `Member permanently removed: ${hex}`);
    case "peerUrlExists":
      return messageReply(member, 409, "membership: peerURL exists");
    case "userEmpty":
    case "permissionDenied":
      return messageReply(member, 401, "Insufficient credentials");
    case "unsupported":
      return messageReply(member, 501, error.message);
    default:
      return messageReply(member, error.code === "unavailable" ? 503 : 500, error.message);
  }
}

/** @returns undefined when the text is no 64-bit number in hexadecimal */
function idFromHex(text: string): bigint | undefined {
  const id = /^[0-9a-fA-F]+$/.test(text) ? BigInt("0x" + text) : undefined;
  return id !== undefined && id <= UINT64_MAX ? id : undefined;
}

/** The peer URLs that a body names, or what is wrong with it. */
function peerUrlsOf(member: Member, request: ApiRequest): { readonly urls: readonly string[] } | ApiReply {
  const sent = request.header("content-type") ?? "";
  const semicolon = sent.indexOf(";");
  const type = semicolon < 0 ? sent : sent.slice(0, semicolon).toLowerCase().trim();
  if (type !== "application/json") return messageReply(member, 415, `Bad Content-Type ${type}, accept application/json`);
  let body: unknown;
  try {
    body = JSON.parse(utf8Decode(request.body));
  } catch (error) {
    return messageReply(member, 400, error instanceof Error ? error.message : String(error));
  }
  if (typeof body !== "object" || Array.isArray(body)) return messageReply(member, 400, "the body must be a JSON object");
  const given: unknown = (body as { peerURLs?: unknown } | null)?.peerURLs ?? [];
  if (!Array.isArray(given) || !given.every((url) => typeof url === "string")) {
    return messageReply(member, 400, "peerURLs must be a list of strings");
  }
  const read = readPeerUrls(given);
  return "fault" in read ? messageReply(member, 400, read.fault) : read;
}

/** `/v2/machines`: the client URLs of all members in one line. */
export function handleMachines(member: Member, method: string): ApiReply {
  if (method !== "GET" && method !== "HEAD") return methodNotAllowed("GET,HEAD");
  const urls = member.members().flatMap((peer) => peer.clientUrls);
  return {
    status: 200,
    headers: { ...CORS, "content-type": "text/plain; charset=utf-8" },
    body: method === "GET" ? utf8Encode(urls.join(", ")) : EMPTY,
  };
}
