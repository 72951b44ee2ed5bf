/** Keys under a prefix, a page at a time, as a list or as folders that end with a slash. Changes are seen at once. */
import { useEffect, useState } from "preact/hooks";
import { type Bytes, prefixEnd } from "../../core/bytes/bytes.ts";
import { ask, send } from "../api.ts";
import { type KeyValueMessage, type RangeMessage, base64Of, bytesOf, placeOf, rangeUnder, shown } from "../key-value.ts";
import { Link } from "../router.tsx";
import { AsCurl } from "./action.tsx";
import { useChanges } from "./changes.ts";
import { Failure, Nothing } from "./failure.tsx";

const ROWS = 100;

interface Folder {
  readonly folder: Bytes;
}

type Row = Folder | { readonly kv: KeyValueMessage };

interface Page {
  readonly rows: readonly Row[];
  /** Where the next page begins; null: this is the last one. */
  readonly next: Bytes | null;
  readonly count: string;
}

const isFolder = (row: Row): row is Folder => "folder" in row;

/** @param from the first key of the page */
async function pageOf(prefix: Bytes, from: Bytes | null, isTree: boolean, signal: AbortSignal): Promise<Page> {
  const whole = rangeUnder(prefix);
  const rows: Row[] = [];
  let key = from === null ? whole.key : base64Of(from);
  let count = "";
  for (;;) {
    const reply = await send<RangeMessage>(ask("kv/range", { ...whole, key, limit: ROWS, keys_only: true }), signal);
    if (count === "") count = reply.count ?? "0";
    let behind: Bytes | null = null; // of the folder that was just told
    for (const kv of reply.kvs ?? []) {
      const name = bytesOf(kv.key);
      if (behind !== null && name < behind) continue;
      const slash = isTree ? name.indexOf("/", prefix.length + (name.charAt(prefix.length) === "/" ? 1 : 0)) : -1;
      behind = slash < 0 ? null : prefixEnd(name.slice(0, slash + 1) as Bytes);
      rows.push(slash < 0 ? { kv } : { folder: name.slice(0, slash + 1) as Bytes });
      if (rows.length === ROWS) return { rows, next: behind ?? ((name + "\0") as Bytes), count };
    }
    const last = reply.kvs?.at(-1);
    if (reply.more !== true || last === undefined) return { rows, next: null, count };
    key = base64Of(behind ?? ((bytesOf(last.key) + "\0") as Bytes)); // what is left of the folder is not read
  }
}

export function KeyList({ prefix, isTree }: { readonly prefix: Bytes; readonly isTree: boolean }) {
  /** First keys of the pages up to this one. */
  const [firsts, setFirsts] = useState<readonly (Bytes | null)[]>([null]);
  const [seen, setSeen] = useState<{ readonly page?: Page; readonly error?: unknown }>({});
  const changes = useChanges({ prefix });
  const from = firsts.at(-1) ?? null;
  useEffect(() => {
    const over = new AbortController();
    pageOf(prefix, from, isTree, over.signal).then(
      (page) => setSeen({ page }),
      (error: unknown) => void (over.signal.aborted || setSeen((before) => ({ ...before, error }))),
    );
    return () => over.abort();
  }, [prefix, from, isTree, changes]);
  const { page, error } = seen;
  if (page === undefined) return error === undefined ? <Nothing>Reading keys …</Nothing> : <Failure error={error} />;
  return (
    <>
      {error !== undefined && <Failure error={error} />}
      <Path prefix={prefix} isTree={isTree} />
      {page.rows.length === 0 ? (
        <Nothing>There are no keys {prefix === "" ? "yet" : "here"}.</Nothing>
      ) : (
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
            {page.rows.map((row) =>
              isFolder(row) ? (
                <tr key={row.folder}>
                  <th scope="row" class="mono">
                    <Link to={`keys/tree/${placeOf(row.folder)}`}>{shown(row.folder.slice(prefix.length) as Bytes)}</Link>
                  </th>
                  <td colSpan={3}></td>
                </tr>
              ) : (
                <KeyRow key={row.kv.key} kv={row.kv} cut={isTree ? prefix.length : 0} />
              ),
            )}
          </tbody>
        </table>
      )}
      <div class="bar">
        <button class="quiet" disabled={firsts.length === 1} onClick={() => setFirsts(firsts.slice(0, -1))}>
          Back
        </button>
        <button class="quiet" disabled={page.next === null} onClick={() => setFirsts([...firsts, page.next])}>
          Further
        </button>
        <span class="nothing">{Number(page.count).toLocaleString("en")} keys from here on</span>
        <AsCurl call={ask("kv/range", { ...rangeUnder(prefix), keys_only: true, limit: ROWS })} />
      </div>
    </>
  );
}

export function KeyRow({ kv, cut = 0 }: { readonly kv: KeyValueMessage; readonly cut?: number }) {
  const name = bytesOf(kv.key);
  return (
    <tr data-key={shown(name)}>
      <th scope="row" class="mono">
        <Link to={`keys/key/${placeOf(name)}`}>{shown(name.slice(cut) as Bytes) || "(empty)"}</Link>
      </th>
      <td class="number">{kv.version}</td>
      <td class="number">{kv.mod_revision}</td>
      <td class="mono">{kv.lease === undefined ? "" : BigInt(kv.lease).toString(16)}</td>
    </tr>
  );
}

function Path({ prefix, isTree }: { readonly prefix: Bytes; readonly isTree: boolean }) {
  const form = isTree ? "tree" : "list";
  const parts = prefix.split(/(?<=\/)/).filter((part) => part !== "");
  return (
    <nav class="path mono" aria-label="Folders above">
      <Link to={`keys/${form}/`}>all keys</Link>
      {parts.map((part, at) => (
        <Link key={at} to={`keys/${form}/${placeOf(parts.slice(0, at + 1).join("") as Bytes)}`}>
          {shown(part as Bytes)}
        </Link>
      ))}
    </nav>
  );
}
