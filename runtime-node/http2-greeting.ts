/**
 * The first frames of a plain HTTP/2 connection, read before Node's HTTP/2 gets them: an `:authority` that Go clients send is made one
 * that it lets through.
 *
 * Go clients of etcd that are given an endpoint as a URL call it as the authority in some requests: `http://127.0.0.1:2379` (3.4: status,
 * hash, defragment, move of the leader) or `#initially=[http://127.0.0.1:2379]` (3.5.0). Go's servers do not look at it. nghttp2 resets
 * the stream, and Node has no option for that. So bytes that no authority has are overwritten here, in the first headers; the length
 * stays, so that both sides keep equal tables of headers (RFC 7541 section 4.1), from which later requests take the value.
 *
 * Some clients send no headers before they have the server's settings. They get empty ones from here; the acknowledgement is left out
 * of what Node reads, for it knows only of its own settings, which follow.
 */
import type { Socket } from "node:net";

export const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS = Buffer.from("000000040000000000", "hex");
const FRAME_HEAD_BYTES = 9;
const HEADERS = 1;
const SETTINGS = 4;
const WINDOW_UPDATE = 8;
const ACK = 0x1;
const PADDED = 0x8;
const PRIORITY = 0x20;
const PRIORITY_BYTES = 5;
/** What a client can have sent before it knows our settings: a window of data, and headers. */
const HELD_BYTES_MAX = 256 * 1024;
/** Who sends no headers for so long after its acknowledgement keeps a connection in reserve. Those that are mended here ask at once. */
const RESERVE_MS = 1_000;

export interface GreetingOptions {
  /** Gets the connection; what was read is to be read again. */
  readonly onReady: (socket: Socket) => void;
  /** From the preface to the acknowledgement of settings. */
  readonly timeoutMs: number;
  /** Told of a connection that was closed because it was late or sent too much. */
  readonly onRefused: () => void;
}

/** @param socket the preface, or its beginning, is to be read */
export function greetHttp2(socket: Socket, options: GreetingOptions): void {
  let held = Buffer.alloc(0);
  let reserve: NodeJS.Timeout | undefined;
  const leave = (): void => {
    clearTimeout(late);
    clearTimeout(reserve);
    socket.off("readable", look);
    socket.off("end", end);
    socket.off("error", end);
    socket.off("close", leave);
  };
  const end = (): void => {
    leave();
    socket.destroy();
  };
  const refuse = (): void => {
    options.onRefused();
    end();
  };
  const handOver = (): void => {
    leave();
    socket.unshift(greeted(held));
    options.onReady(socket);
  };
  const look = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    held = Buffer.concat([held, chunk]);
    const { broken, acknowledgement, asks } = firstFrames(held);
    if (broken || (acknowledgement !== undefined && asks)) return handOver();
    if (held.length > HELD_BYTES_MAX) return refuse();
    if (acknowledgement === undefined) return;
    clearTimeout(late);
    reserve ??= setTimeout(handOver, RESERVE_MS).unref();
  };
  const late = setTimeout(refuse, options.timeoutMs).unref();
  socket.on("readable", look);
  socket.once("end", end);
  socket.once("error", end);
  socket.once("close", leave);
  socket.write(EMPTY_SETTINGS);
  look();
}

/** From one offset up to another. */
interface Span {
  readonly from: number;
  readonly to: number;
}

interface FirstFrames {
  /** It is no HTTP/2, which Node is to say. */
  readonly broken: boolean;
  /** Of our settings. */
  readonly acknowledgement: Span | undefined;
  readonly headers: Span | undefined;
  /** There is something to answer. */
  readonly asks: boolean;
}

function firstFrames(bytes: Buffer): FirstFrames {
  let acknowledgement: Span | undefined;
  let headers: Span | undefined;
  let asks = false;
  const begin = bytes.toString("latin1", 0, PREFACE.length);
  const broken = !PREFACE.startsWith(begin) || (bytes.length > PREFACE.length + 3 && bytes[PREFACE.length + 3] !== SETTINGS);
  for (let from = PREFACE.length; !broken && from + FRAME_HEAD_BYTES <= bytes.length;) {
    const to = from + FRAME_HEAD_BYTES + bytes.readUIntBE(from, 3);
    if (to > bytes.length) break;
    const [type, flags] = [bytes[from + 3]!, bytes[from + 4]!];
    if (type === SETTINGS && (flags & ACK) !== 0) acknowledgement ??= { from, to };
    if (type === HEADERS) headers ??= { from, to };
    asks ||= type !== SETTINGS && type !== WINDOW_UPDATE;
    from = to;
  }
  return { broken, acknowledgement, headers, asks };
}

/** The same bytes without the first acknowledgement, and with an authority that can be one in the first headers. */
function greeted(bytes: Buffer): Buffer {
  const { acknowledgement, headers } = firstFrames(bytes);
  const pieces: Buffer[] = [];
  let done = 0;
  for (const span of [acknowledgement, headers].filter((one) => one !== undefined).toSorted((a, b) => a.from - b.from)) {
    pieces.push(bytes.subarray(done, span.from));
    if (span === headers) pieces.push(withMendedAuthority(bytes.subarray(span.from, span.to)));
    done = span.to;
  }
  return Buffer.concat([...pieces, bytes.subarray(done)]);
}

const AUTHORITY_INDEX = 1;
/** What nghttp2 takes for no part of an authority (RFC 3986 section 3.2). */
const FOREIGN = /[^A-Za-z0-9\-._~!$&'()*+,;=:[\]@%]/g;

/** @param frame HEADERS. @returns the same bytes, where nothing is to mend or the compression is not understood */
export function withMendedAuthority(frame: Buffer): Buffer {
  const literal = authorityIn(frame);
  if (literal === undefined) return frame;
  const text = frame.toString("latin1", literal.text.from, literal.text.to);
  const value = literal.huffman ? huffmanText(frame.subarray(literal.text.from, literal.text.to)) : text;
  const mended = value?.replaceAll(FOREIGN, "-");
  // Lengths from 127 on take more bytes: no authority of a client has one.
  if (mended === undefined || mended === value || mended.length >= 0x7f) return frame;
  const whole = Buffer.concat([
    frame.subarray(0, literal.lengthAt),
    Buffer.from([mended.length]),
    Buffer.from(mended, "latin1"),
    frame.subarray(literal.text.to),
  ]);
  whole.writeUIntBE(whole.length - FRAME_HEAD_BYTES, 0, 3);
  return whole;
}

interface Literal {
  readonly lengthAt: number;
  readonly huffman: boolean;
  readonly text: Span;
}

/** Finds the first field whose name is `:authority` in the table that both sides know (RFC 7541 section 6, appendix A). */
function authorityIn(frame: Buffer): Literal | undefined {
  const flags = frame[4]!;
  const padded = (flags & PADDED) !== 0;
  let at = FRAME_HEAD_BYTES + (padded ? 1 : 0) + ((flags & PRIORITY) === 0 ? 0 : PRIORITY_BYTES);
  const end = frame.length - (padded ? (frame[FRAME_HEAD_BYTES] ?? 0) : 0);
  /** RFC 7541 section 5.1, up to two bytes beyond the first: no field of a first request needs more. */
  const integer = (prefixBits: number): number => {
    const max = (1 << prefixBits) - 1;
    const first = (frame[at++] ?? 0) & max;
    if (first < max) return first;
    const low = frame[at++] ?? 0;
    return low < 0x80 ? max + low : max + (low & 0x7f) + ((frame[at++] ?? 0) << 7);
  };
  const string = (): Literal => {
    const lengthAt = at;
    const huffman = ((frame[at] ?? 0) & 0x80) !== 0;
    const length = integer(7);
    const from = at;
    at += length;
    return { lengthAt, huffman, text: { from, to: at } };
  };
  while (at < end) {
    const first = frame[at]!;
    if (first >= 0x80) integer(7);
    else if (first >= 0x20 && first < 0x40) integer(5); // size of the table
    else {
      const name = integer(first >= 0x40 ? 6 : 4);
      if (name === 0) string();
      const value = string();
      if (name === AUTHORITY_INDEX) return value.text.to <= end ? value : undefined;
    }
  }
  return undefined;
}

/** Codes of Huffman (RFC 7541 appendix B) of what can be typed: within a length they count up in this order; lengths without any are empty. */
const SYMBOLS: Readonly<Record<number, string>> = {
  5: "012aceiost",
  6: " %-./3456789=A_bdfghlmnpru",
  7: ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
  8: "&*,;XZ",
  10: '!"()?',
  11: "'+|",
  12: "#>",
  13: "\0$@[]~",
  14: "^}",
  15: "<`{",
};
const LONGEST_CODE = 15;

/** @returns undefined when there is anything else in it */
function huffmanText(bytes: Buffer): string | undefined {
  let text = "";
  let [code, length, first] = [0, 0, 0];
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    code = (code << 1) | ((bytes[bit >> 3]! >> (7 - (bit & 7))) & 1);
    length++;
    const symbols = SYMBOLS[length] ?? "";
    first <<= 1;
    if (code - first < symbols.length) {
      text += symbols[code - first]!;
      [code, length, first] = [0, 0, 0];
    } else if (length === LONGEST_CODE) return undefined;
    else first += symbols.length;
  }
  // What is left are ones, less than a byte of them.
  return length < 8 && code === (1 << length) - 1 ? text : undefined;
}
