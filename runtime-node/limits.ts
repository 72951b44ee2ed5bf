/** Bounds of what one client may cost this process, and the reasons for them. */

/** Header lines and request line together. Keys of the v2 API stand in the request line, so Node's 16 KiB are too few. */
export const HEADER_BYTES_MAX = 64 * 1024;
/** Header lines of one request; Node drops what is above its own limit without a word, so ours is checked below it. */
export const HEADER_LINES_MAX = 256;
/** From a connection's first byte of a request to the end of its headers. */
export const HEADERS_TIMEOUT_MS = 10_000;
/** From a connection to the end of its TLS handshake. */
export const TLS_HANDSHAKE_MS = 10_000;
/** From the first to the last byte of a body that is not streamed. */
export const BODY_TIMEOUT_MS = 30_000;
/** A connection without a request is closed after so long. Longer than the usual 60 s of proxies, so that they close first. */
export const IDLE_TIMEOUT_MS = 75_000;
/** How often the runtime looks for connections over their time. */
export const TIMEOUT_CHECK_MS = 2_000;
/** Requests of one connection that wait for an earlier reply on it; a client that sends more is cut off. */
export const PIPELINED_MAX = 64;
/** The first probe of a silent peer; its death is noticed a few probes later. */
export const TCP_KEEPALIVE_MS = 30_000;
/** How long the end waits for clients that read slowly before it cuts them off. */
export const SHUTDOWN_GRACE_MS = 5_000;
/** Bytes of a body beyond the longest command: base64 adds a third, JSON escapes and form encoding more. */
export const bodyBytesMaxFor = (requestBytesMax: number): number => 3 * requestBytesMax + 512 * 1024;
