/**
 * Keeps keys of one store as they are in another: everything is compared once, as of one revision, and from there on each change is taken
 * over. What was one revision at the source arrives in one transaction, unless it has more operations than a transaction may; several
 * revisions may arrive together. Ending it anywhere, by whatever means, and beginning it again loses nothing and does nothing twice.
 *
 * Leases stay behind: keys that are on one are put without it, so that a mirror that stands still lets nothing end; when their lease ends at the
 * source, their deletion comes over. `cut-over.ts` moves the leases at last.
 */
import { type Bytes, ZERO, ascii } from "../../core/bytes/bytes.ts";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import { isCompacted } from "../../core/recipes/repeat.ts";
import { deleteOp, keysUnder, oneKey, putOp } from "../../core/recipes/requests.ts";
import { type KeyRange, type KeyValue, NO_LEASE, type Operation } from "../../core/store/command.ts";
import type { WatchEvent } from "../../core/store/watch/watcher.ts";
import { CommandError, EXIT } from "../commands/exit-codes.ts";
import { type MirrorRecord, ProgressRecord, recordsAt } from "./progress-record.ts";
import { RECORDS, type Side } from "./side.ts";

export interface MirrorOptions {
  readonly prefix: string;
  /** In the place of `prefix`. */
  readonly destPrefix: string;
  /** What the destination has below its prefix may be changed and removed. */
  readonly overwrite: boolean;
  /** Told of each step. */
  readonly onProgress: (record: MirrorRecord, changes: number) => void;
}

/** Of a transaction, beside the record: etcd's bound is 128. */
const OPERATIONS_MAX = 127;
/** Of several revisions together: below etcd's bound of 1.5 MiB, which base64 makes a third larger. */
const BYTES_MAX = 512 * 1024;
/** Changes that were heard of and not written yet. */
const WAITING_MAX = 10_000;

/** Changes that belong together. */
interface Step {
  readonly operations: Operation[];
  readonly bytes: number;
  /** Of the source. */
  readonly revision: number;
}

export class Mirror {
  readonly source: Side;
  readonly dest: Side;
  readonly progress: ProgressRecord;
  readonly #options: MirrorOptions;

  constructor(source: Side, dest: Side, options: MirrorOptions) {
    this.source = source;
    this.dest = dest;
    this.#options = options;
    this.progress = new ProgressRecord(dest, options.destPrefix);
  }

  get sourceRange(): KeyRange {
    return rangeUnder(this.#options.prefix);
  }

  get destRange(): KeyRange {
    return rangeUnder(this.#options.destPrefix);
  }

  /** Looks whether it may begin. @throws CommandError that says what is in the way */
  async open(signal: AbortSignal): Promise<void> {
    const { prefix, destPrefix, overwrite } = this.#options;
    const last = await this.progress.load(signal);
    if (last !== null && (last.source !== this.source.id || last.prefix !== prefix)) {
      throw refused(`the destination has keys of another mirror there: of store ${last.source}, prefix ${JSON.stringify(last.prefix)}`);
    }
    if (last?.phase === "cut") throw refused("the destination has taken the source's place already: nothing is mirrored any more");
    if (this.source.id !== null && this.source.id === this.dest.id && overlap(prefix, destPrefix)) {
      throw refused("source and destination are the same store, and their prefixes overlap: it would mirror its own writes");
    }
    const back = (await recordsAt(this.source)).find(
      (one) =>
        one.source === this.dest.id &&
        one.source !== null &&
        one.phase !== "cut" &&
        overlap(one.prefix, destPrefix) &&
        overlap(one.destPrefix, prefix),
    );
    if (back !== undefined) throw refused("the source is a mirror of the destination: changes would go round for ever");
    if (last !== null || overwrite) return;
    const there = (await this.dest.all(this.destRange, signal)).filter(({ key }) => !key.startsWith(RECORDS));
    if (there.length > 0) {
      const first = JSON.stringify(there[0]!.key);
      throw refused(
        `the destination has ${there.length} keys there already, ${first} the first: --overwrite removes what the source does not have`,
      );
    }
  }

  /** Until the signal fires. @throws CommandError, QuorateError when it cannot go on */
  async run(signal: AbortSignal): Promise<void> {
    let record = this.progress.last;
    for (;;) {
      try {
        if (record?.phase !== "following") await this.reconcile(await this.source.revision(signal), signal);
        await this.#follow(this.progress.last!.revision, signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!isCompacted(error)) throw error; // otherwise the source has forgotten what came since: everything is compared anew
        record = null;
      }
    }
  }

  /** Makes the destination what the source was at a revision. @throws QuorateError compacted */
  async reconcile(revision: number, signal: AbortSignal): Promise<void> {
    await this.#write([], "copying", revision, signal);
    for await (const { kvs, range } of this.source.pages(this.sourceRange, revision, signal)) {
      const wanted = new Map(kvs.filter(({ key }) => !key.startsWith(RECORDS)).map((kv) => [this.destKey(kv.key), kv]));
      const there = new Map((await this.dest.all(this.#mapped(range), signal)).map((kv) => [kv.key, kv]));
      const steps: Step[] = [];
      for (const [key, kv] of wanted)
        if (!isSame(kv, there.get(key))) steps.push({ operations: [putting(key, kv)], bytes: sizeOf(kv), revision });
      for (const key of there.keys()) {
        if (!wanted.has(key) && !key.startsWith(RECORDS)) steps.push({ operations: [deleteOp(oneKey(key))], bytes: key.length, revision });
      }
      for (const part of together(steps)) await this.#write(part.operations, "copying", revision, signal);
    }
    await this.#write([], "following", revision, signal);
  }

  async #follow(revision: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const stop = (): void => over.abort();
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    const heard: WatchEvent[] = [];
    let wake = (): void => {};
    let isOver = false;
    const hear = async (): Promise<void> => {
      const watching = { ...this.sourceRange, startRevision: revision + 1, signal: over.signal };
      for await (const { events } of this.source.context.store.watch(watching)) {
        heard.push(...events);
        wake();
        while (heard.length > WAITING_MAX && !over.signal.aborted) await this.source.context.host.sleep(10, over.signal);
      }
    };
    const hearing = hear().finally(() => ((isOver = true), wake()));
    hearing.catch(() => {}); // it is looked at below
    try {
      for (;;) {
        for (const part of together(stepsOf(heard.splice(0), (kv) => this.destKey(kv.key)))) {
          await this.#write(part.operations, "following", part.revision, signal);
        }
        if (heard.length > 0) continue;
        if (isOver) return await hearing;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      signal.removeEventListener("abort", stop);
      over.abort();
    }
  }

  destKey(key: Bytes): Bytes {
    return (utf8Encode(this.#options.destPrefix) + key.slice(utf8Encode(this.#options.prefix).length)) as Bytes;
  }

  #mapped({ key, end }: KeyRange): KeyRange {
    const { sourceRange, destRange } = this;
    return {
      key: key === sourceRange.key ? destRange.key : this.destKey(key),
      end: end === sourceRange.end ? destRange.end : this.destKey(end),
    };
  }

  async #write(operations: readonly Operation[], phase: "copying" | "following", revision: number, signal: AbortSignal): Promise<void> {
    const { prefix, destPrefix, onProgress } = this.#options;
    await this.progress.write(operations, { source: this.source.id, prefix, destPrefix, phase, revision }, signal);
    onProgress(this.progress.last!, operations.length);
  }
}

export function refused(message: string): CommandError {
  return new CommandError(message, EXIT.failed);
}

/** One lies within the other. */
function overlap(one: string, other: string): boolean {
  return one.startsWith(other) || other.startsWith(one);
}

function rangeUnder(prefix: string): KeyRange {
  return prefix === "" ? { key: ZERO, end: ZERO } : keysUnder(utf8Encode(prefix));
}

/** Content types are told by v1 alone. */
export function isSame(wanted: KeyValue, there: KeyValue | undefined): boolean {
  return there !== undefined && there.value === wanted.value && there.contentType === wanted.contentType && there.lease === NO_LEASE;
}

function putting(key: Bytes, { value, contentType }: KeyValue): Operation {
  const put = putOp(key, value);
  return contentType === undefined ? put : ({ ...put, contentType } as Operation);
}

const sizeOf = ({ key, value }: KeyValue): number => key.length + value.length;

/** What each revision did. */
function stepsOf(events: readonly WatchEvent[], keyOf: (kv: KeyValue) => Bytes): Step[] {
  const steps: Step[] = [];
  for (const { type, kv } of events) {
    if (kv.key.startsWith(RECORDS)) continue;
    const key = keyOf(kv);
    const operation = type === "put" ? putting(key, kv) : deleteOp(oneKey(key));
    const last = steps.at(-1);
    if (last?.revision !== kv.modRevision) steps.push({ operations: [operation], bytes: sizeOf(kv), revision: kv.modRevision });
    else steps[steps.length - 1] = { ...last, operations: [...last.operations, operation], bytes: last.bytes + sizeOf(kv) };
  }
  return steps;
}

/**
 * As many in a transaction as it may have, none cut in two that fits into one. The parts of one that does not fit say the revision before
 * theirs, but for the last: whoever ends in between does them again, which changes nothing.
 */
function together(steps: readonly Step[]): Step[] {
  const parts: Step[] = [];
  let keys = new Set<string>();
  for (const step of steps.flatMap(cut)) {
    const mine = step.operations.map((operation) => ("key" in operation ? operation.key : ascii("")));
    const last = parts.at(-1);
    const fits =
      last !== undefined &&
      last.operations.length + step.operations.length <= OPERATIONS_MAX &&
      last.bytes + step.bytes <= BYTES_MAX &&
      mine.every((key) => !keys.has(key)); // a transaction may change a key once
    if (fits)
      parts[parts.length - 1] = {
        operations: [...last.operations, ...step.operations],
        bytes: last.bytes + step.bytes,
        revision: step.revision,
      };
    else {
      parts.push(step);
      keys = new Set();
    }
    for (const key of mine) keys.add(key);
  }
  return parts;
}

function cut(step: Step): Step[] {
  const { operations, bytes, revision } = step;
  if (operations.length <= OPERATIONS_MAX) return [step];
  const parts: Step[] = [];
  for (let at = 0; at < operations.length; at += OPERATIONS_MAX) {
    const isLast = at + OPERATIONS_MAX >= operations.length;
    const share = operations.slice(at, at + OPERATIONS_MAX);
    parts.push({ operations: share, bytes: (bytes * share.length) / operations.length, revision: isLast ? revision : revision - 1 });
  }
  return parts;
}
