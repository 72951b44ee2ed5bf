/**
 * Status, text and deadlines as gRPC writes them in headers and trailers.
 * Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
 */
import { Buffer } from "node:buffer";
import { CODES, type ErrorCode } from "../../core/errors.ts";

export const OK = 0;

/** How a call ended. */
export interface GrpcStatus {
  /** 0 to 16. */
  readonly code: number;
  readonly message: string;
}

export const statusOf = (code: ErrorCode, message: string): GrpcStatus => ({ code: CODES[code], message });

const NAMES = new Map<number, string>(Object.entries(CODES).map(([name, code]) => [code, name.charAt(0).toUpperCase() + name.slice(1)]));

/** As Go prints codes, and metrics label them: `OK`, `InvalidArgument` … */
export const codeName = (code: number): string => (code === OK ? "OK" : (NAMES.get(code) ?? String(code)));

/** What may not stand in `grpc-message` as it is. */
const SPECIAL = /[^ -$&-~]/;

/** Percent-encodes the bytes of UTF-8 that are not printable ASCII, and the percent sign. */
export function encodeMessage(message: string): string {
  if (!SPECIAL.test(message)) return message;
  let out = "";
  for (const byte of Buffer.from(message, "utf8")) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    out += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** @param text of `grpc-timeout` @returns milliseconds; undefined when it is none */
export function timeoutMs(text: string): number | undefined {
  const [, digits, unit] = /^([0-9]{1,8})([HMSmun])$/.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits) * UNIT_MS[unit!]!;
}
