/** All keys that begin so, up to a bound, read anew whenever one of them changes. */
import { useEffect, useState } from "preact/hooks";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import { ask, send } from "../api.ts";
import { type KeyValueMessage, type RangeMessage, bytesOf, rangeUnder } from "../key-value.ts";
import { useChanges } from "./changes.ts";

/** More are not shown; their number is. */
export const KEYS_MAX = 200;

export interface StoredKey {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly created: number;
  /** Decimal; undefined: none. */
  readonly lease: string | undefined;
}

export interface SeenKeys {
  readonly keys?: readonly StoredKey[];
  /** Those that are not shown included. */
  readonly count?: number;
  readonly error?: unknown;
}

export function useKeys(prefix: string): SeenKeys {
  const [seen, setSeen] = useState<SeenKeys>({});
  const changes = useChanges({ prefix: utf8Encode(prefix) });
  useEffect(() => {
    const over = new AbortController();
    const read = ask("kv/range", { ...rangeUnder(utf8Encode(prefix)), limit: KEYS_MAX });
    send<RangeMessage>(read, over.signal).then(
      ({ kvs = [], count = "0" }) => setSeen({ keys: kvs.map(storedKey), count: Number(count) }),
      (error: unknown) => void (over.signal.aborted || setSeen((before) => ({ ...before, error }))),
    );
    return () => over.abort();
  }, [prefix, changes]);
  return seen;
}

function storedKey({ key, value = "", create_revision, lease }: KeyValueMessage): StoredKey {
  return { key: bytesOf(key), value: bytesOf(value), created: Number(create_revision), lease };
}
