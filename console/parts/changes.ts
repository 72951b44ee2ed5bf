/** Tells a page when keys that it shows have changed: a watch that outlives its connections, as long as the component is shown. */
import { useEffect, useState } from "preact/hooks";
import { type Bytes, ZERO, successor } from "../../core/bytes/bytes.ts";
import { keysUnder, readOf } from "../../core/recipes/requests.ts";
import { theStore } from "../api.ts";
import { token } from "../state.ts";

/** Changes that come within it are told together. */
const TOGETHER_MS = 150;
const AGAIN_MS = 2_000;

/** @param keys of one key, or of all that begin so @returns a number that is another one after each change */
export function useChanges(keys: { readonly key: Bytes } | { readonly prefix: Bytes }): number {
  const [count, setCount] = useState(0);
  const id = JSON.stringify(keys);
  const bearer = token.value;
  useEffect(() => {
    const over = new AbortController();
    const range =
      "key" in keys ? { key: keys.key, end: successor(keys.key) } : keys.prefix === "" ? { key: ZERO, end: ZERO } : keysUnder(keys.prefix);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const changed = (): void => {
      timer ??= setTimeout(() => {
        timer = undefined;
        setCount((before) => before + 1);
      }, TOGETHER_MS);
    };
    const follow = async (): Promise<void> => {
      while (!over.signal.aborted) {
        try {
          const { revision } = await theStore().range(readOf(range, { limit: 1, keysOnly: true }), { signal: over.signal });
          for await (const _ of theStore().watch({ ...range, startRevision: revision + 1, signal: over.signal })) changed();
        } catch {
          // The page itself shows what is wrong; here it is only tried again.
        }
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    };
    void follow();
    return () => {
      over.abort();
      clearTimeout(timer);
    };
  }, [id, bearer]);
  return count;
}
