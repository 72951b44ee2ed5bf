/** Transactions, and several of them in one request. */
import { z } from "zod";
import { errBadField, isQuorateError } from "../../errors.ts";
import type { TxnRequest } from "../../store/command.ts";
import { isReadOnly } from "../../store/mvcc/transaction.ts";
import { idempotencyKey } from "./conditions.ts";
import { flagParam } from "./fields.ts";
import { type Call, type Operation, operation } from "./operation.ts";
import { problemOf, problemSchema } from "./problem.ts";
import { json } from "./reply.ts";
import { txnIn, txnOut, txnToJson } from "./wire.ts";

const BATCH_MAX = 128;

const txn = operation({
  method: "POST",
  path: "/v1/txn",
  tag: "txn",
  summary: "Does all of `success` if every comparison holds, and all of `failure` otherwise: at one revision, or not at all.",
  description:
    'A comparison is `{key, target, is, than}`, such as `{"key": "a", "target": "modRevision", "than": 17}`; left out, `target` is `exists`, `is` is `equal`, and `than` is true. Operations are `get`, `put`, `append`, `delete` and `txn`, and see what those before them did.',
  query: z.object({ serializable: flagParam.describe("Of reads alone: answered by this member at once, perhaps from a moment ago.") }),
  headers: z.object({ "idempotency-key": idempotencyKey }),
  body: txnIn,
  replies: { 200: { description: "What came of it.", schema: txnOut } },
  handle: async (call) => {
    const { serializable } = call.query;
    if (serializable && !isReadOnly(call.body)) throw errBadField("serializable", "serializable: a transaction that writes is not");
    const done = await run(call, call.body, { serializable, session: call.once });
    return json(200, done, done.revision);
  },
});

const batch = operation({
  method: "POST",
  path: "/v1/batch",
  tag: "txn",
  summary: "Several transactions that know nothing of one another, in one request: each succeeds or fails by itself.",
  body: z.strictObject({ txns: z.array(txnIn).min(1).max(BATCH_MAX) }),
  replies: {
    200: {
      description: "What came of each, in the order of the request; `problem` where it could not be done.",
      schema: z.object({ results: z.array(z.union([txnOut, z.object({ problem: problemSchema })])) }),
    },
  },
  handle: async (call) => {
    const results = await Promise.all(call.body.txns.map((one) => run(call, one).catch(asProblem)));
    return json(200, { results });
  },
});

async function run(
  { store, signal }: Pick<Call, "store" | "signal">,
  request: TxnRequest,
  options: { readonly serializable?: boolean; readonly session?: Call["once"] } = {},
): Promise<z.infer<typeof txnOut>> {
  const result = await store.txn(request, { signal, ...options });
  return { ...txnToJson(result, request), revision: result.revision };
}

function asProblem(error: unknown): { problem: z.infer<typeof problemSchema> } {
  if (!isQuorateError(error)) throw error;
  return { problem: problemOf(error) };
}

export const txnOperations: readonly Operation[] = [txn, batch];
