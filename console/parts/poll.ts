/** Asks again and again while a component is shown, one question at a time, and tells the shell whether the cluster answers. */
import { useEffect, useState } from "preact/hooks";
import { isQuorateError } from "../../client/client.ts";
import { isPassing } from "../../core/recipes/repeat.ts";
import { connection, token } from "../state.ts";

export interface Polled<T> {
  readonly value?: T;
  readonly error?: unknown;
}

/** @param question asked anew when `key` changes @param everyMs between an answer and the next question */
export function usePoll<T>(question: (signal: AbortSignal) => Promise<T>, everyMs: number, key = ""): Polled<T> {
  const [polled, setPolled] = useState<Polled<T>>({});
  const bearer = token.value;
  useEffect(() => {
    const over = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async (): Promise<void> => {
      try {
        const value = await question(over.signal);
        if (over.signal.aborted) return;
        connection.value = "live";
        setPolled({ value });
      } catch (error) {
        if (over.signal.aborted) return;
        // Whoever says no is there.
        connection.value = isPassing(error) || !isQuorateError(error) ? "lost" : "live";
        setPolled((before) => ({ ...before, error }));
      }
      timer = setTimeout(() => void look(), everyMs);
    };
    void look();
    return () => {
      over.abort();
      clearTimeout(timer);
    };
  }, [key, bearer]);
  return polled;
}
