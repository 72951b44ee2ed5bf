/** One end of a mirror: a store, and what is asked of it beside keys and values. */
import type { ClientStore } from "../../client/http-store.ts";
import { isQuorateError } from "../../core/errors.ts";
import { repeat } from "../../core/recipes/repeat.ts";
import { type Bytes, ZERO, ascii } from "../../core/bytes/bytes.ts";
import type { KeyRange, KeyValue, LeaseId, RangeRequest, RangeResult, TxnRequest } from "../../core/store/command.ts";
import { createdAt, foundAt, oneKey, putOp, rangeOp, readOf, txnOf } from "../../core/recipes/requests.ts";
import type { AsOf, RecipeContext } from "../../core/recipes/client-port.ts";
import type { Cluster, Header } from "../commands/cluster.ts";

/** Where a mirror keeps what it knows; never mirrored itself. */
export const RECORDS = ascii("/quorate/mirror/");
const IDENTITY = ascii(`${RECORDS}?id`);
/** Keys of one request. */
const PAGE = 500;

interface Status {
  readonly header?: Header;
}

export interface LeaseToMove {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
}

export class Side {
  readonly context: RecipeContext & { readonly store: ClientStore };
  /** Of this store and no other; null: it has none, and may not be given one. Cluster ids are the same for all that are begun with the defaults. */
  readonly id: string | null;
  readonly #cluster: Cluster;
  readonly #memberId: string;

  private constructor(cluster: Cluster, context: Side["context"], memberId: string, id: string | null) {
    this.#cluster = cluster;
    this.context = context;
    this.#memberId = memberId;
    this.id = id;
  }

  /** @throws QuorateError when nobody answers */
  static async open(cluster: Cluster): Promise<Side> {
    const { header } = await cluster.call<Status>("maintenance/status", {}, { repeatable: true });
    const context = (await cluster.servesV1()) ? cluster.client() : cluster.etcdClient();
    return new Side(cluster, context, header?.member_id ?? "0", await identityOf(context));
  }

  /** What is asked is asked for as long as it takes: members are restarted, and leaders change. @throws the signal's reason; what is no passing error */
  untilAnswered<T>(act: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    return repeat(this.context, act, { signal, until: Infinity });
  }

  read(request: RangeRequest, signal: AbortSignal | undefined): Promise<RangeResult & AsOf> {
    return this.untilAnswered(() => this.context.store.range(request, { signal }), signal);
  }

  async revision(signal: AbortSignal | undefined): Promise<number> {
    return (await this.read(readOf(oneKey(ZERO), { keysOnly: true }), signal)).revision;
  }

  /** All keys of a range as of one revision, in order, page by page. @throws QuorateError compacted */
  async *pages(range: KeyRange, revision: number, signal: AbortSignal | undefined): AsyncGenerator<Page, void, void> {
    for (let { key } = range; ;) {
      const { kvs, more } = await this.read(readOf({ key, end: range.end }, { limit: PAGE, revision }), signal);
      const last = kvs.at(-1);
      const next = more && last !== undefined ? ((last.key + "\0") as Bytes) : null;
      yield { kvs, range: { key, end: next ?? range.end } };
      if (next === null) return;
      key = next;
    }
  }

  async all(range: KeyRange, signal: AbortSignal | undefined): Promise<KeyValue[]> {
    const found: KeyValue[] = [];
    const { revision } = await this.read(readOf(range, { limit: 1, keysOnly: true }), signal);
    for await (const { kvs } of this.pages(range, revision, signal)) found.push(...kvs);
    return found;
  }

  /**
   * Lets nothing be written any more, by nobody, and no lease end; reads and watches go on. It is the alarm CORRUPT, which etcd's stores have
   * too: it is in the log, so that what was written before it is there and nothing comes after it.
   * Source: etcd, server/etcdserver/apply.go, applierV3Corrupt.
   */
  async freeze(): Promise<void> {
    await this.#alarm("ACTIVATE");
  }

  async thaw(): Promise<void> {
    await this.#alarm("DEACTIVATE");
  }

  async #alarm(action: string): Promise<void> {
    await this.#cluster.call("maintenance/alarm", { action, memberID: this.#memberId, alarm: "CORRUPT" }, { repeatable: true });
  }

  async leases(): Promise<readonly LeaseId[]> {
    const { leases = [] } = await this.#cluster.call<{ leases?: readonly { readonly ID: string }[] }>(
      "lease/leases",
      {},
      { repeatable: true },
    );
    return leases.map(({ ID }) => ID);
  }

  /** null: it is not there. */
  async lease(id: LeaseId): Promise<LeaseToMove | null> {
    const { grantedTTL = "0" } = await this.#cluster.call<{ grantedTTL?: string }>("lease/timetolive", { ID: id }, { repeatable: true });
    return grantedTTL === "0" ? null : { id, ttlSeconds: Number(grantedTTL) };
  }
}

export interface Page {
  readonly kvs: readonly KeyValue[];
  /** What the page is the whole of. */
  readonly range: KeyRange;
}

/** Given by whichever mirror comes first. */
async function identityOf(context: Side["context"]): Promise<string | null> {
  const made = Buffer.from(context.host.randomBytes(12)).toString("hex");
  const look = rangeOp(oneKey(IDENTITY));
  const found = async (request: TxnRequest): Promise<string | undefined> => {
    const result = await repeat(context, () => context.store.txn(request));
    return result.succeeded && request.compare.length > 0 ? made : foundAt(result, 0)[0]?.value;
  };
  try {
    // One that is frozen, or that may only be read, can still be looked at.
    return (
      (await found(txnOf([], [look]))) ?? (await found(txnOf([createdAt(IDENTITY, 0)], [putOp(IDENTITY, ascii(made))], [look]))) ?? null
    );
  } catch (error) {
    if (isQuorateError(error) && (error.code === "permissionDenied" || error.reason === "corrupt")) return null;
    throw error;
  }
}
