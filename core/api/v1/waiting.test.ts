import { expect, test } from "vitest";
import type { Bytes } from "../../bytes/bytes.ts";
import type { ReplySink } from "../exchange.ts";
import { eventStream } from "./waiting.ts";
import type { V1Services } from "./services.ts";

test("a silent stream is kept alive by a comment every 15 s, until the client hangs up", async () => {
  let due: { readonly ms: number; readonly act: () => void } | null = null;
  const services = {
    after: (ms: number, act: () => void) => {
      due = { ms, act };
      return () => (due = null);
    },
    onInternalError: (error: unknown) => expect(error).toBeUndefined(),
  } as unknown as V1Services;
  const written: Bytes[] = [];
  let hangUp = (): void => {};
  let begun = (): void => {};
  const beginning = new Promise<void>((resolve) => (begun = resolve));
  const ended = new Promise<void>((resolve) => {
    const sink: ReplySink = {
      write: (chunk) => {
        written.push(chunk);
        if (written.length === 1) begun();
        return true;
      },
      onDrain: () => {},
      onClose: (closed) => (hangUp = closed),
      end: resolve,
    };
    const reply = eventStream(services, async function* (signal) {
      yield { event: "open", id: 7, data: { a: 1 } };
      await new Promise<void>((stop) => signal.addEventListener("abort", () => stop()));
      expect(signal.aborted).toBe(true);
    });
    if (typeof reply.body !== "string") reply.body(sink);
  });
  await beginning;
  await new Promise<void>((resolve) => setImmediate(resolve)); // all that follows at once has happened
  for (let at = 0; at < 3; at++) {
    expect(due).toMatchObject({ ms: 15_000 });
    due!.act();
  }
  hangUp();
  await ended;
  expect(due).toBeNull();
  expect(written).toEqual(['event: open\nid: 7\ndata: {"a":1}\n\n', ": ping\n\n", ": ping\n\n", ": ping\n\n"]);
});
