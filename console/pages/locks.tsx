/** Locks and elections: who has each, who waits in which order, and who waits for whom, across all of them. */
import { useState } from "preact/hooks";
import { utf8Decode } from "../../core/bytes/utf8.ts";
import { placeOf } from "../key-value.ts";
import { Action } from "../parts/action.tsx";
import { Failure, Nothing } from "../parts/failure.tsx";
import { LeaseCountdown } from "../parts/lease-countdown.tsx";
import { type StoredKey, useKeys } from "../parts/use-keys.ts";
import { Link } from "../router.tsx";
import { readOnly } from "../state.ts";

/** Each lease is asked for by itself. */
const LEASES_MS = 5_000;
const KINDS = { locks: "Lock", elections: "Election" } as const;
type Kind = keyof typeof KINDS;

interface Place {
  readonly stored: StoredKey;
  /** Lease id, hexadecimal: whose place it is. */
  readonly session: string;
  readonly says: string;
}

interface Line {
  readonly kind: Kind;
  readonly name: string;
  /** In order; the first one has it. */
  readonly places: readonly Place[];
}

export function Locks() {
  const locks = useKeys("/quorate/locks/");
  const elections = useKeys("/quorate/elections/");
  const error = locks.error ?? elections.error;
  if (locks.keys === undefined || elections.keys === undefined) {
    return error === undefined ? <Nothing>Reading locks …</Nothing> : <Failure error={error} />;
  }
  const lines = [...linesOf("locks", locks.keys), ...linesOf("elections", elections.keys)];
  const circles = circlesOf(lines);
  return (
    <>
      {error !== undefined && <Failure error={error} />}
      {circles.map((circle) => (
        <p key={circle.join()} class="failure" role="alert">
          Nobody goes on here: {circle.join(" waits for ")} waits for {circle[0]}.
        </p>
      ))}
      {lines.length === 0 && <Nothing>Nobody holds or waits for a lock or an office.</Nothing>}
      {lines.map((line) => (
        <LineTable key={`${line.kind}/${line.name}`} line={line} />
      ))}
    </>
  );
}

function LineTable({ line: { kind, name, places } }: { readonly line: Line }) {
  return (
    <section aria-label={`${KINDS[kind]} ${name}`} data-line={`${kind}/${name}`}>
      <h2>
        {KINDS[kind]} <span class="mono">{name}</span>
      </h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Place</th>
            <th scope="col">Session</th>
            <th scope="col">Says</th>
            <th scope="col" class="number">
              {kind === "locks" ? "Fence" : "Term"}
            </th>
            <th scope="col">Lives</th>
            <th scope="col">
              <span class="hidden">What can be done</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {places.map(({ stored, session, says }, at) => (
            <tr key={session} data-place={at === 0 ? "holder" : "waiting"} data-session={session}>
              <td>{at === 0 ? <strong class="role leader">{kind === "locks" ? "holds it" : "leads"}</strong> : `${at}. in line`}</td>
              <th scope="row" class="mono">
                <Link to={`keys/key/${placeOf(stored.key)}`}>{session}</Link>
              </th>
              <td>{says}</td>
              <td class="number">{stored.created}</td>
              <td>{stored.lease === undefined ? "without a lease" : <LeaseCountdown id={stored.lease} everyMs={LEASES_MS} />}</td>
              <td>{stored.lease !== undefined && <EndSession id={stored.lease} isHolder={at === 0} />}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** All that the session has goes with it: the next one in line has the lock then, and writes under the old fence fail. */
function EndSession({ id, isHolder }: { readonly id: string; readonly isHolder: boolean }) {
  const [isSure, setSure] = useState(false);
  if (!isSure) {
    return (
      <button class="danger" disabled={readOnly.value === "yes"} onClick={() => setSure(true)}>
        {isHolder ? "Take it away …" : "Send away …"}
      </button>
    );
  }
  const call = { method: "POST", path: "/v3/lease/revoke", body: { ID: id } } as const;
  return (
    <>
      <Action label="End its session" danger call={call} done="The session is ended" />{" "}
      <button class="quiet" onClick={() => setSure(false)}>
        Leave it
      </button>
    </>
  );
}

function linesOf(kind: Kind, keys: readonly StoredKey[]): Line[] {
  const lines = new Map<string, Place[]>();
  for (const stored of keys) {
    const [, , , segment = "", session = ""] = stored.key.split("/");
    if (session === "") continue;
    const name = decodeURIComponent(segment);
    const place = { stored, session, says: saidIn(utf8Decode(stored.value)) };
    const line = lines.get(name);
    if (line === undefined) lines.set(name, [place]);
    else line.push(place);
  }
  const inOrder = (places: Place[]): Place[] => places.toSorted((a, b) => a.stored.created - b.stored.created);
  return [...lines].map(([name, places]) => ({ kind, name, places: inOrder(places) }));
}

/** A lock's key has its owner in JSON; other programs put what they like. */
function saidIn(value: string): string {
  try {
    const { owner } = JSON.parse(value) as { readonly owner?: unknown };
    return typeof owner === "string" ? owner : "";
  } catch {
    return value;
  }
}

/** Sessions that wait for each other in a ring, each ring once. Who waits waits for the one who holds. */
function circlesOf(lines: readonly Line[]): string[][] {
  const waitsFor = new Map<string, Set<string>>();
  for (const { places } of lines) {
    const [holder, ...waiting] = places;
    for (const { session } of waiting) {
      const targets = waitsFor.get(session) ?? new Set();
      waitsFor.set(session, targets.add(holder!.session));
    }
  }
  const circles: string[][] = [];
  const done = new Set<string>();
  const walk = (session: string, path: readonly string[]): void => {
    const at = path.indexOf(session);
    if (at >= 0) return void circles.push(path.slice(at));
    if (done.has(session)) return;
    for (const next of waitsFor.get(session) ?? []) walk(next, [...path, session]);
    done.add(session);
  };
  for (const session of waitsFor.keys()) walk(session, []);
  return circles;
}
