/**
 * What a scoped token allows, as ranges of keys: an entry such as `locks:deploy-*:acquire` names a kind, a name or the beginning of one,
 * and verbs, and compiles to the keys that the recipe of this kind keeps under `/quorate` (docs/tokens.md). So every view, which all end at
 * keys, obeys it without knowing of recipes.
 */
import { type Bytes, EMPTY, ZERO } from "../bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../bytes/utf8.ts";
import { errBadField } from "../errors.ts";
import type { Act, VerifiedToken } from "./scoped-token.ts";

export type Need = "read" | "write";

/** In etcd's form of ranges: `end` empty is the one key, one zero byte is everything from `key` on. */
interface Range {
  readonly key: Bytes;
  readonly end: Bytes;
}

/** What a verb needs of the keys of a name. `"all"`: of all of them; otherwise of those that go on so after the name. */
interface Rights {
  readonly read: "all" | readonly string[];
  readonly write: "all" | readonly string[];
}

const READ: Rights = { read: "all", write: [] };
const ALL: Rights = { read: "all", write: "all" };

/** Where the keys of a kind are, and its verbs. */
const KINDS: Readonly<Record<string, { readonly at: string; readonly also?: string; readonly verbs: Readonly<Record<string, Rights>> }>> = {
  services: { at: "services", verbs: { read: READ, register: ALL } },
  config: { at: "config", also: "config-acks", verbs: { read: READ, publish: ALL, acknowledge: { read: "all", write: ["/"] } } },
  pools: { at: "lb", verbs: { read: READ, report: ALL } },
  topics: { at: "topics", verbs: { read: READ, publish: ALL, consume: { read: "all", write: ["/c/"] } } },
  tasks: { at: "tasks", verbs: { read: READ, direct: { read: "all", write: ["/spec"] }, report: { read: "all", write: ["/p/", "/w/"] } } },
  locks: { at: "locks", verbs: { read: READ, acquire: ALL } },
  rwlocks: { at: "rw", verbs: { read: READ, acquire: ALL } },
  semaphores: { at: "sem", verbs: { read: READ, acquire: ALL } },
  barriers: { at: "barriers", verbs: { read: READ, close: ALL } },
  rendezvous: { at: "rendezvous", verbs: { read: READ, enter: ALL } },
  queues: { at: "queues", verbs: { read: READ, put: ALL, take: ALL } },
  schedules: { at: "schedules", verbs: { read: READ, manage: ALL } },
  elections: { at: "elections", verbs: { read: READ, campaign: ALL } },
  groups: { at: "groups", verbs: { read: READ, join: ALL } },
  counters: { at: "counters", verbs: { read: READ, add: ALL } },
  limits: { at: "limits", verbs: { read: READ, take: ALL } },
  fences: { at: "fences", verbs: { read: READ, advance: ALL } },
};

/** Keys that an entry is about. */
type Keys =
  | { readonly is: "key"; readonly key: string }
  | { readonly is: "prefix"; readonly prefix: string }
  /** `head`, whatever else belongs to the name, which has no slash, and `tail`. */
  | { readonly is: "part"; readonly head: string; readonly tail: string };

interface Grant {
  readonly need: Need;
  readonly keys: Keys;
}

export class Scope {
  readonly #blocks: readonly (readonly Grant[])[];
  readonly #acts: readonly Act[];
  readonly #notBefore: number;
  readonly #expires: number;

  /** @throws QuorateError badField for an entry that is not understood: it is no use to guess what it would have allowed */
  constructor({ restrictions }: Pick<VerifiedToken, "restrictions">) {
    this.#blocks = restrictions.flatMap(({ allow }) => (allow === undefined ? [] : [allow.flatMap(grantsOf)]));
    this.#acts = restrictions.flatMap(({ act }) => act ?? []);
    this.#notBefore = Math.max(0, ...restrictions.map(({ nbf }) => nbf ?? 0));
    this.#expires = Math.min(Infinity, ...restrictions.map(({ exp }) => exp ?? Infinity));
  }

  /** @param wallMs milliseconds since 1970 */
  isInTime(wallMs: number): boolean {
    return wallMs >= this.#notBefore * 1000 && wallMs < this.#expires * 1000;
  }

  /** Whether the token is good for this request. @param act undefined where requests are not told apart by method and path */
  allowsAct(act: Act | undefined): boolean {
    return this.#acts.every((one) => act !== undefined && one.method === act.method && one.path === act.path);
  }

  /** Whether every block allows it for all keys of the range. */
  permits(need: Need, range: Range): boolean {
    const common = commonOf(range);
    return this.#blocks.every((grants) => grants.some((grant) => grant.need === need && covers(grant.keys, common)));
  }
}

/** Checks the entries of `allow`. @throws QuorateError badField */
export function checkEntries(allow: readonly string[]): void {
  for (const entry of allow) grantsOf(entry);
}

/** @throws QuorateError badField */
function grantsOf(entry: string): Grant[] {
  const [first, last] = [entry.indexOf(":"), entry.lastIndexOf(":")];
  const [kind, name, list] = [entry.slice(0, first), entry.slice(first + 1, last), entry.slice(last + 1)];
  if (first < 0 || first === last || name === "") throw errBadEntry(entry, "it has the form kind:name:verb,verb");
  if (name.slice(0, -1).includes("*")) throw errBadEntry(entry, "a * stands at the end of the name only");
  return list.split(",").flatMap((verb) => (kind === "kv" ? keyGrants(entry, name, verb) : recipeGrants(entry, kind, name, verb)));
}

function keyGrants(entry: string, name: string, verb: string): Grant[] {
  if (verb !== "read" && verb !== "write") throw errBadEntry(entry, "the verbs of kv are read and write");
  const text = percentDecoded(entry, name.replace(/\*$/, ""));
  return [{ need: verb, keys: name.endsWith("*") ? { is: "prefix", prefix: text } : { is: "key", key: text } }];
}

function recipeGrants(entry: string, kind: string, name: string, verb: string): Grant[] {
  const known = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
  if (known === undefined) throw errBadEntry(entry, `the kinds are kv, ${Object.keys(KINDS).join(", ")}`);
  const rights = Object.hasOwn(known.verbs, verb) ? known.verbs[verb] : undefined;
  if (rights === undefined) throw errBadEntry(entry, `the verbs of ${kind} are ${Object.keys(known.verbs).join(", ")}`);
  if (name.includes("/")) throw errBadEntry(entry, "a name is one segment: write %2F for a slash");
  const roots = known.also === undefined ? [known.at] : [known.at, known.also];
  const segment = encodeURIComponent(utf8Decode(percentDecoded(entry, name.replace(/\*$/, "")))); // as core/recipes/names.ts
  const isWild = name.endsWith("*");
  const grants: Grant[] = [];
  for (const head of roots.map((root) => `/quorate/${root}/${segment}`)) {
    for (const need of ["read", "write"] as const) {
      const parts = rights[need];
      if (parts !== "all") {
        for (const tail of parts) grants.push({ need, keys: isWild ? { is: "part", head, tail } : { is: "prefix", prefix: head + tail } });
      } else if (isWild) grants.push({ need, keys: { is: "prefix", prefix: head } });
      else grants.push({ need, keys: { is: "key", key: head } }, { need, keys: { is: "prefix", prefix: `${head}/` } });
    }
  }
  // A request that must not be done twice is remembered beside the recipe.
  const isWriting = rights.write.length > 0;
  const dedup = `/quorate/dedup/${kind}/${segment}${isWild ? "" : "/"}`;
  return isWriting
    ? [...grants, { need: "read", keys: { is: "prefix", prefix: dedup } }, { need: "write", keys: { is: "prefix", prefix: dedup } }]
    : grants;
}

function percentDecoded(entry: string, text: string): Bytes {
  if (/%(?![0-9a-f]{2})/i.test(text)) throw errBadEntry(entry, "a percent sign is followed by two hexadecimal digits");
  return utf8Encode(text).replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))) as Bytes;
}

function errBadEntry(entry: string, why: string): Error {
  return errBadField("allow", `allow: "${entry}" cannot be read: ${why}`);
}

/** What all keys of a range begin with. */
interface Common {
  readonly text: Bytes;
  /** The range is this one key. */
  readonly isKey: boolean;
}

function commonOf({ key, end }: Range): Common {
  if (end === EMPTY || end === key + "\0") return { text: key, isKey: true };
  if (end === ZERO) return { text: EMPTY, isKey: false };
  let at = 0;
  while (at < key.length && at < end.length && key[at] === end[at]) at++;
  // [ab…, ac): everything in it begins with ab.
  const isNext = end.length === at + 1 && at < key.length && end.charCodeAt(at) === key.charCodeAt(at) + 1;
  return { text: key.slice(0, isNext ? at + 1 : at) as Bytes, isKey: false };
}

function covers(keys: Keys, { text, isKey }: Common): boolean {
  switch (keys.is) {
    case "key":
      return isKey && text === keys.key;
    case "prefix":
      return text.startsWith(keys.prefix);
    case "part": {
      if (!text.startsWith(keys.head)) return false;
      const slash = text.indexOf("/", keys.head.length);
      return slash >= 0 && text.startsWith(keys.tail, slash);
    }
  }
}
