/** The history of a real store, as checks of recipes read it. */
import type { FullClient } from "../../client/all.ts";
import { ZERO } from "../../core/bytes/bytes.ts";
import { readOf } from "../../core/recipes/requests.ts";
import type { Revision } from "../../testing/memory-member.ts";

const ALL = { key: ZERO, end: ZERO };

/** All that was ever done to keys with this name in them, up to now. */
export async function historyOf(q: FullClient, name: string): Promise<Revision[]> {
  const history: Revision[] = [];
  const { revision: until } = await q.store.range(readOf(ALL, { limit: 1 }));
  for await (const { events, revision } of q.store.watch({ ...ALL, startRevision: 1, prevKv: true })) {
    for (const event of events) {
      if (!event.kv.key.includes(name)) continue;
      const last = history.at(-1);
      if (last?.revision === event.kv.modRevision) (last.events as unknown[]).push(event);
      else history.push({ revision: event.kv.modRevision, at: 0, events: [event] });
    }
    if (revision >= until) return history;
  }
  return history;
}
