/** Keys under a prefix, followed from revision to revision. */
import type { Bytes } from "../bytes/bytes.ts";
import { isQuorateError } from "../errors.ts";
import type { KeyValue } from "../store/command.ts";
import type { WatchEvent } from "../store/watch/watcher.ts";
import type { CallOptions, ReadOptions, RecipeContext } from "./client-port.ts";
import { type RepeatOptions, isCompacted, repeat } from "./repeat.ts";
import { keysUnder, readOf } from "./requests.ts";

export interface FollowOptions extends CallOptions {
  /** The keys are known as of this revision: they come first, marked as known, if history goes back so far. */
  readonly after?: number | undefined;
}

/** All the keys, or what one revision changed. */
export interface Followed {
  readonly revision: number;
  /** The keys as of the revision; null: they are what they were, but for the events. */
  readonly kvs: readonly KeyValue[] | null;
  /** The keys as of the revision from which it was to go on. */
  readonly isKnown: boolean;
  readonly events: readonly WatchEvent[];
}

/** All keys that begin so. @param options.revision as they were then; left out: now @throws QuorateError compacted, futureRevision */
export async function readUnder(
  context: RecipeContext,
  prefix: Bytes,
  options: ReadOptions & RepeatOptions & { readonly revision?: number | undefined } = {},
): Promise<{ readonly kvs: readonly KeyValue[]; readonly revision: number }> {
  const { revision: at = 0, ...rest } = options;
  const { kvs, revision } = await repeat(context, () => context.store.range(readOf(keysUnder(prefix), { revision: at }), rest), rest);
  return { kvs, revision: at === 0 ? revision : at };
}

/**
 * The keys now, and then what each revision changes, in order. What goes wrong meanwhile is waited out; when history is gone, the keys come
 * anew. Ends with the signal, without throwing.
 */
export async function* follow(
  context: RecipeContext,
  prefix: Bytes,
  { after, signal }: FollowOptions = {},
): AsyncGenerator<Followed, void, void> {
  let from = after;
  try {
    while (!signal?.aborted) {
      let seen;
      try {
        seen = await readUnder(context, prefix, { revision: from, until: Infinity, signal });
      } catch (error) {
        if (from === undefined || !isHistoryGone(error)) throw error;
        from = undefined;
        continue;
      }
      yield { ...seen, isKnown: from !== undefined, events: [] };
      from = undefined;
      try {
        const request = { ...keysUnder(prefix), startRevision: seen.revision + 1, prevKv: true, signal };
        for await (const { events } of context.store.watch(request)) yield* byRevision(events);
      } catch (error) {
        if (!isCompacted(error)) throw error;
      }
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}

/** Asked for a revision that is compacted, or that this store never had. */
function isHistoryGone(error: unknown): boolean {
  return isCompacted(error) || (isQuorateError(error) && error.reason === "futureRevision");
}

function* byRevision(events: readonly WatchEvent[]): Generator<Followed> {
  for (let from = 0, to = 0; from < events.length; from = to) {
    const revision = events[from]!.kv.modRevision;
    while (to < events.length && events[to]!.kv.modRevision === revision) to++;
    yield { revision, kvs: null, isKnown: false, events: events.slice(from, to) };
  }
}

/** An ETag of a list: another whenever the list is another. */
export function tagOf(entries: Iterable<{ readonly revision: number }>): string {
  let newest = 0;
  let count = 0;
  // Whoever comes or changes has a newer revision than all that was; whoever goes leaves fewer.
  for (const { revision } of entries) {
    newest = Math.max(newest, revision);
    count++;
  }
  return `"${newest}-${count}"`;
}
