/** A WebSocket read as the body of a reply: each message is a line. */

/** The host of a store that sleeps answers it without waking anybody. */
const PING_MS = 20_000;

/** @param url http or https @param signal ends it */
export function socketBody(url: string, signal: AbortSignal): ReadableStream<Uint8Array> {
  const socket = new WebSocket(url.replace("http", "ws"));
  const encoder = new TextEncoder();
  return new ReadableStream({
    start: (controller) => {
      const pings = setInterval(() => socket.readyState === 1 && socket.send("ping"), PING_MS);
      // Why a socket could not be opened is told to nobody: the reader finds that nothing has come.
      const end = (): void => {
        signal.removeEventListener("abort", end);
        socket.onmessage = socket.onclose = null;
        clearInterval(pings);
        socket.close();
        controller.close();
      };
      socket.onmessage = ({ data }) => controller.enqueue(encoder.encode(`${data}\n`));
      socket.onclose = end;
      signal.addEventListener("abort", end);
    },
  });
}
