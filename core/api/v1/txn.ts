/** Transactions, and several of them in one request. */
import { z } from "zod";
import { EMPTY } from "../../bytes/bytes.ts";
import { errBadField, isQuorateError } from "../../errors.ts";
import { txnOf } from "../../recipes/requests.ts";
import type { TxnRequest, TxnResult } from "../../store/command.ts";
import { isReadOnly } from "../../store/mvcc/transaction.ts";
import { type Conditions, conditionHeaders, conditionsOf, idempotencyKey } from "./conditions.ts";
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
  headers: conditionHeaders.omit({ "if-match": true, "if-none-match": true }),
  body: txnIn,
  replies: { 200: { description: "What came of it.", schema: txnOut } },
  handle: async (call) => {
    const { serializable } = call.query;
    if (serializable && !isReadOnly(call.body)) throw errBadField("serializable", "serializable: a transaction that writes is not");
    const conditions = conditionsOf(call.headers, EMPTY);
    const options = { serializable, session: call.once };
    const done = await (conditions.compares.length === 0 ? run(call, call.body, options) : guarded(call, conditions, options));
    return json(200, done, done.revision);
  },
});

const batch = operation({
  method: "POST",
  path: "/v1/batch",
  tag: "txn",
  summary: "Several transactions that know nothing of one another, in one request: each succeeds or fails by itself.",
  headers: z.object({ "idempotency-key": idempotencyKey }),
  body: z.strictObject({ txns: z.array(txnIn).min(1).max(BATCH_MAX) }),
  replies: {
    200: {
      description: "What came of each, in the order of the request; `problem` where it could not be done.",
      schema: z.object({ results: z.array(z.union([txnOut, z.object({ problem: problemSchema })])) }),
    },
  },
  handle: async (call) => {
    const { once, body } = call;
    // Each is done once by itself: what was not done the first time is done by the repeat.
    const session = (at: number): Call["once"] => once && { ...once, client: `${once.client}.${at}` };
    const results = await Promise.all(body.txns.map((one, at) => run(call, one, { session: session(at) }).catch(asProblem)));
    return json(200, { results });
  },
});

/**
 * With what the headers ask for around it, so that a guard that does not hold is an error and no other branch. A message is acknowledged
 * with `success`: with `failure` its effect is not there.
 */
async function guarded(call: Call<unknown, unknown, unknown, TxnRequest>, conditions: Conditions, options: RunOptions) {
  const { store, signal, body } = call;
  const inner = { ...body, success: [...body.success, ...conditions.beside] };
  const around = txnOf(conditions.compares, [{ op: "txn", ...inner }], conditions.looks);
  const { succeeded, responses, revision } = await store.txn(around, { signal, ...options });
  if (!succeeded) throw conditions.why(responses);
  const result = responses[0] as TxnResult;
  const own = (result.succeeded ? body.success : body.failure).length;
  return { ...txnToJson({ ...result, responses: result.responses.slice(0, own) }, body), revision };
}

interface RunOptions {
  readonly serializable?: boolean;
  readonly session?: Call["once"];
}

async function run(
  { store, signal }: Pick<Call, "store" | "signal">,
  request: TxnRequest,
  options: RunOptions = {},
): Promise<z.infer<typeof txnOut>> {
  const result = await store.txn(request, { signal, ...options });
  return { ...txnToJson(result, request), revision: result.revision };
}

function asProblem(error: unknown): { problem: z.infer<typeof problemSchema> } {
  if (!isQuorateError(error)) throw error;
  return { problem: problemOf(error) };
}

export const txnOperations: readonly Operation[] = [txn, batch];
