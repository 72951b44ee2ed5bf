/** A search for text in all keys, and in their values: every key is read, page by page, until enough is found. */
import { useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import { ask, send } from "../api.ts";
import { type KeyValueMessage, type RangeMessage, base64Of, bytesOf, rangeUnder } from "../key-value.ts";
import { goTo } from "../router.tsx";
import { Failure, Nothing } from "./failure.tsx";
import { KeyRow } from "./key-list.tsx";

const PAGE = 1_000;
const FOUND_MAX = 200;

interface Search {
  readonly found: readonly KeyValueMessage[];
  readonly looked: number;
  readonly isOver: boolean;
  readonly error?: unknown;
}

const BEGUN: Search = { found: [], looked: 0, isOver: false };

export function KeySearch({ text }: { readonly text: string }) {
  const inValues = useSignal(false);
  const [typed, setTyped] = useState(text);
  const [search, setSearch] = useState<Search>(BEGUN);
  const isInValues = inValues.value;
  useEffect(() => {
    if (text === "") return;
    const over = new AbortController();
    setSearch(BEGUN);
    void look(text, isInValues, over.signal, setSearch);
    return () => over.abort();
  }, [text, isInValues]);
  return (
    <>
      <form
        class="bar"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          goTo(`keys/search/${encodeURIComponent(typed)}`);
        }}
      >
        <label>
          Text <input type="search" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
        </label>
        <label>
          <input type="checkbox" checked={isInValues} onChange={(event) => (inValues.value = event.currentTarget.checked)} /> in values too
        </label>
        <button class="primary">Search</button>
      </form>
      {search.error !== undefined && <Failure error={search.error} />}
      {text !== "" && (
        <p class="nothing" role="status">
          {search.found.length} found in {search.looked.toLocaleString("en")} keys{search.isOver ? "" : " so far"}
          {search.found.length === FOUND_MAX ? "; there may be more" : ""}
        </p>
      )}
      {text === "" && <Nothing>Capital letters are told from small ones.</Nothing>}
      {search.found.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Key</th>
              <th scope="col" class="number">
                Version
              </th>
              <th scope="col" class="number">
                Changed at revision
              </th>
              <th scope="col">Lease</th>
            </tr>
          </thead>
          <tbody>
            {search.found.map((kv) => (
              <KeyRow key={kv.key} kv={kv} />
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

async function look(text: string, inValues: boolean, signal: AbortSignal, tell: (search: Search) => void): Promise<void> {
  const wanted = utf8Encode(text);
  const whole = rangeUnder("" as Bytes);
  let { found, looked } = BEGUN;
  try {
    // As of one revision, so that nothing is missed or told twice.
    for (let [key, revision, more] = [whole.key, "0", true]; more && found.length < FOUND_MAX;) {
      const reply: RangeMessage = await send<RangeMessage>(
        ask("kv/range", { ...whole, key, limit: PAGE, keys_only: !inValues, revision }),
        signal,
      );
      if (revision === "0") ({ revision } = reply.header);
      const kvs = reply.kvs ?? [];
      const here = kvs.filter((kv) => bytesOf(kv.key).includes(wanted) || (inValues && bytesOf(kv.value ?? "").includes(wanted)));
      found = [...found, ...here].slice(0, FOUND_MAX);
      looked += kvs.length;
      more = reply.more === true;
      const last = kvs.at(-1);
      if (last !== undefined) key = base64Of((bytesOf(last.key) + "\0") as Bytes);
      tell({ found, looked, isOver: false });
    }
    tell({ found, looked, isOver: true });
  } catch (error) {
    if (!signal.aborted) tell({ found, looked, isOver: true, error });
  }
}
