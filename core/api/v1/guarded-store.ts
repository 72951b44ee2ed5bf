/**
 * The store for a request with `Quorate-Guard`: each of its transactions that writes is done only while the hold is held, whatever recipe
 * makes it; otherwise nothing is done, and the request fails as a whole.
 */
import { EMPTY } from "../../bytes/bytes.ts";
import type { AsOf } from "../../recipes/client-port.ts";
import { txnOf } from "../../recipes/requests.ts";
import type { Member } from "../../replica/member.ts";
import type { TxnRequest, TxnResult } from "../../store/command.ts";
import { isReadOnly } from "../../store/mvcc/transaction.ts";
import { type Conditions, conditionsOf } from "./conditions.ts";
import { MemberStore, type MemberStoreOptions, type MemberTxnOptions } from "./member-store.ts";

export class GuardedStore extends MemberStore {
  readonly #conditions: Conditions;

  /** @param guard the header @throws QuorateError badField */
  constructor(member: Member, options: MemberStoreOptions, guard: string) {
    super(member, options);
    this.#conditions = conditionsOf({ "quorate-guard": guard }, EMPTY);
  }

  /** @throws QuorateError staleHolder */
  override async txn(request: TxnRequest, options?: MemberTxnOptions): Promise<TxnResult & AsOf> {
    if (isReadOnly(request)) return super.txn(request, options);
    const { compares, looks, why } = this.#conditions;
    const { succeeded, responses, revision } = await super.txn(txnOf(compares, [{ op: "txn", ...request }], looks), options);
    if (!succeeded) throw why(responses);
    return { ...(responses[0] as TxnResult), revision };
  }
}
