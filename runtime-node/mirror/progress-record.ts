/**
 * How far a mirror is, kept in the destination and written in the same transactions as what it mirrors: so it is never ahead of the keys, nor
 * behind them, however the mirror ends.
 *
 *     /quorate/mirror/<destination prefix, percent-encoded> = JSON
 */
import { z } from "zod";
import { type Bytes, ascii } from "../../core/bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../../core/bytes/utf8.ts";
import { foundAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp, readOf, txnOf } from "../../core/recipes/requests.ts";
import type { Operation } from "../../core/store/command.ts";
import { CommandError, EXIT } from "../commands/exit-codes.ts";
import { RECORDS, type Side } from "./side.ts";

const record = z.object({
  /** `Side.id`. */
  source: z.string().nullable(),
  prefix: z.string(),
  destPrefix: z.string(),
  /** `copying`: everything is compared; `following`: changes are taken over; `cut`: the destination has taken the source's place. */
  phase: z.enum(["copying", "following", "cut"]),
  /** Of the source: everything up to it is here; while copying, it will be. */
  revision: z.int(),
  /** Which run of the mirror wrote it, and its how manieth record it was. */
  writer: z.string(),
  count: z.int(),
});

export type MirrorRecord = z.infer<typeof record>;

export class ProgressRecord {
  readonly #side: Side;
  readonly #key: Bytes;
  readonly #writer: string;
  #seen = 0;
  #last: MirrorRecord | null = null;

  constructor(side: Side, destPrefix: string) {
    this.#side = side;
    this.#key = ascii(RECORDS + encodeURIComponent(destPrefix));
    this.#writer = Buffer.from(side.context.host.randomBytes(8)).toString("hex");
  }

  get last(): MirrorRecord | null {
    return this.#last;
  }

  /** @throws CommandError when it was written by another program */
  async load(signal: AbortSignal): Promise<MirrorRecord | null> {
    const { kvs } = await this.#side.read(readOf(oneKey(this.#key)), signal);
    this.#seen = kvs[0]?.modRevision ?? 0;
    return (this.#last = kvs[0] === undefined ? null : recordIn(kvs[0].value));
  }

  /** Does the operations and says how far that is, at once. @throws CommandError when another mirror writes there */
  async write(
    operations: readonly Operation[],
    next: Omit<MirrorRecord, "writer" | "count">,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const { store } = this.#side.context;
    const count = (this.#last?.count ?? 0) + 1;
    const written: MirrorRecord = { ...next, writer: this.#writer, count };
    const value = utf8Encode(JSON.stringify(written));
    const look = rangeOp(oneKey(this.#key));
    const request = txnOf([modifiedAt(this.#key, this.#seen)], [...operations, putOp(this.#key, value)], [look]);
    const result = await this.#side.untilAnswered(() => store.txn(request, { signal }), signal);
    const [there] = foundAt(result, 0);
    // A try before may have done it, unheard.
    const isDone = result.succeeded || there?.value === value;
    if (!isDone) throw new CommandError("another mirror writes to this destination, or its record was removed: see --status", EXIT.failed);
    this.#seen = result.succeeded ? result.revision : there!.modRevision;
    this.#last = written;
    return result.revision;
  }
}

/** All that a store has. */
export async function recordsAt(side: Side): Promise<MirrorRecord[]> {
  const all = await side.all(keysUnder(RECORDS), undefined);
  return all.filter(({ key }) => !key.startsWith(`${RECORDS}?`)).map(({ value }) => recordIn(value));
}

function recordIn(value: Bytes): MirrorRecord {
  try {
    return record.parse(JSON.parse(utf8Decode(value)));
  } catch {
    throw new CommandError(`the record below ${RECORDS} was written by another program or release`, EXIT.failed);
  }
}
