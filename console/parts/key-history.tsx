/** What a key was before, newest first, as far back as the store remembers. A value from there can be taken up again. */
import { useEffect, useState } from "preact/hooks";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { isQuorateError } from "../../client/client.ts";
import { ask, send } from "../api.ts";
import { type KeyValueMessage, type RangeMessage, base64Of, bytesOf, textOf } from "../key-value.ts";
import { readOnly } from "../state.ts";
import { textOf as messageOf } from "./failure.tsx";

const AT_A_TIME = 10;
/** Of a value in the list. */
const SHOWN_MAX = 120;

interface Known {
  readonly versions: readonly KeyValueMessage[];
  /** Why it does not go further back; empty: it does. */
  readonly end: string;
}

interface HistoryProps {
  readonly name: Bytes;
  readonly newest: KeyValueMessage;
  readonly onRestore: (text: string) => void;
}

export function KeyHistory({ name, newest, onRestore }: HistoryProps) {
  const [known, setKnown] = useState<Known>({ versions: [], end: "" });
  const [wanted, setWanted] = useState(0);
  useEffect(() => {
    setKnown({ versions: [], end: "" });
    setWanted(0);
  }, [name, newest.mod_revision]);
  useEffect(() => {
    if (wanted === 0) return;
    const over = new AbortController();
    void lookBack(name, known.versions.at(-1) ?? newest, over.signal).then((more) => {
      if (!over.signal.aborted) setKnown({ versions: [...known.versions, ...more.versions], end: more.end });
    });
    return () => over.abort();
  }, [wanted]);
  return (
    <section aria-label="History">
      <h2>Before</h2>
      {known.versions.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col" class="number">
                Revision
              </th>
              <th scope="col" class="number">
                Version
              </th>
              <th scope="col">Value</th>
              <th scope="col">
                <span class="hidden">Take up again</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {known.versions.map((kv) => {
              const text = textOf(bytesOf(kv.value ?? "")) ?? kv.value ?? "";
              return (
                <tr key={kv.mod_revision} data-version={kv.version}>
                  <td class="number">{kv.mod_revision}</td>
                  <td class="number">{kv.version}</td>
                  <td class="mono">{text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)} …` : text}</td>
                  <td>
                    <button class="quiet" disabled={readOnly.value === "yes"} onClick={() => onRestore(text)}>
                      Restore
                    </button>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      {known.end === "" ? (
        <button class="quiet" onClick={() => setWanted(wanted + 1)}>
          {known.versions.length === 0 ? "Show what it was before" : "Further back"}
        </button>
      ) : (
        <p class="nothing">{known.end}</p>
      )}
    </section>
  );
}

/** The version before is the one as of the revision before. */
async function lookBack(name: Bytes, from: KeyValueMessage, signal: AbortSignal): Promise<Known> {
  const versions: KeyValueMessage[] = [];
  let at = from;
  try {
    while (versions.length < AT_A_TIME) {
      if (at.version === "1") return { versions, end: `It was made at revision ${at.create_revision}.` };
      const revision = (BigInt(at.mod_revision) - 1n).toString();
      const { kvs } = await send<RangeMessage>(ask("kv/range", { key: base64Of(name), revision }), signal);
      if (kvs?.[0] === undefined) return { versions, end: "It was not there before." };
      versions.push((at = kvs[0]));
    }
    return { versions, end: "" };
  } catch (error) {
    const isGone = isQuorateError(error) && error.reason === "compacted";
    return { versions, end: isGone ? "What came before is compacted: the store has forgotten it." : messageOf(error) };
  }
}
