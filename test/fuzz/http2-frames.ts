/**
 * Frames of HTTP/2 as bytes, right or wrong as the caller wants them. Headers are written as literals without names from a table and
 * without Huffman codes, which every reader must take. Source: RFC 9113 section 4 and 6, RFC 7541 section 6.2.
 */

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Of data and headers, of headers, and of settings and pings. */
export const FLAG = { endStream: 1, endHeaders: 4, ack: 1 } as const;

const HEAD_BYTES = 9;

/** @param length said to follow; by default that of the payload */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = EMPTY, length = payload.length): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(length & 0xffffff, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, payload]);
}
const EMPTY = Buffer.alloc(0);

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** @returns whole frames, and what is left over */
export function readFrames(bytes: Buffer): { readonly frames: readonly Frame[]; readonly rest: Buffer } {
  const frames: Frame[] = [];
  let at = 0;
  while (bytes.length - at >= HEAD_BYTES) {
    const end = at + HEAD_BYTES + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    const stream = bytes.readUInt32BE(at + 5) & 0x7fffffff;
    frames.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, stream, payload: bytes.subarray(at + HEAD_BYTES, end) });
    at = end;
  }
  return { frames, rest: bytes.subarray(at) };
}

/** @param entries number and value */
export function settings(entries: readonly (readonly [number, number])[] = []): Buffer {
  const payload = Buffer.alloc(entries.length * 6);
  for (const [n, [id, value]] of entries.entries()) {
    payload.writeUInt16BE(id, n * 6);
    payload.writeUInt32BE(value >>> 0, n * 6 + 2);
  }
  return frame(FRAME.settings, 0, 0, payload);
}

/** Of settings: the window that each stream of the other side begins with. */
export const INITIAL_WINDOW = 4;

export function headerBlock(headers: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(headers.flatMap(([name, value]) => [LITERAL, text(name), text(value)]));
}
const LITERAL = Buffer.from([0]);

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  return Buffer.concat([prefixed(bytes.length, 7), bytes]);
}

/** An integer with a prefix of so many bits, the others zero. */
function prefixed(value: number, bits: number): Buffer {
  const most = 2 ** bits - 1;
  if (value < most) return Buffer.from([value]);
  const out = [most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128);
  out.push(rest);
  return Buffer.from(out);
}

/** The headers of a call. @param further take the place of the usual ones of the same name, or come after them */
export function callHeaders(path: string, further: Readonly<Record<string, string>> = {}): (readonly [string, string])[] {
  const usual = {
    ":method": "POST",
    ":scheme": "http",
    ":path": path,
    ":authority": "x",
    "content-type": "application/grpc",
    te: "trailers",
  };
  return Object.entries({ ...usual, ...further });
}

/** A call: its headers, and unless they are all of it, its data. */
export function call(stream: number, path: string, data: Uint8Array | null, further: Readonly<Record<string, string>> = {}): Buffer {
  const end = data === null ? FLAG.endStream : 0;
  const head = frame(FRAME.headers, FLAG.endHeaders | end, stream, headerBlock(callHeaders(path, further)));
  return data === null ? head : Buffer.concat([head, frame(FRAME.data, FLAG.endStream, stream, data)]);
}

/** A message of gRPC. @param length said to follow; by default that of the message */
export function grpcFrame(message: Uint8Array, compressed = 0, length = message.length): Buffer {
  const prefix = Buffer.from([compressed, 0, 0, 0, 0]);
  prefix.writeUInt32BE(length >>> 0, 1);
  return Buffer.concat([prefix, message]);
}
