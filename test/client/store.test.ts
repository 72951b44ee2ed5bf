/** The client's stores are held to the contract that recipes stand on, over real connections. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectAll } from "../../client/all.ts";
import { connect } from "../../client/connect.ts";
import { etcdWire } from "../../client/etcd.ts";
import { v1Wire } from "../../client/v1.ts";
import type { Wire } from "../../client/wire.ts";
import { ZERO, ascii } from "../../core/bytes/bytes.ts";
import { appendOp, deleteOp, txnOf } from "../../core/recipes/requests.ts";
import { etcdVersion, startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import { startQuorateWorker, workerd } from "../helpers/start-quorate-worker.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { type ContractOptions, clientContract } from "../contract/client-port.ts";

interface Side {
  readonly name: string;
  readonly start: () => Promise<ServerProcess>;
  readonly wire: () => Wire;
  readonly options?: ContractOptions;
}

const NO_APPEND = "etcd's API has none";

const SIDES: readonly Side[] = [
  { name: "v1", start: startQuorate, wire: v1Wire },
  { name: "etcd's wire to this server", start: startQuorate, wire: etcdWire, options: { noAppend: NO_APPEND } },
  // Watched by WebSockets. A Durable Object, where workerd is there for this machine.
  ...(workerd === undefined ? [] : [{ name: "v1 to a Durable Object", start: () => startQuorateWorker(), wire: v1Wire }]),
  // A real etcd, where it is installed.
  ...(etcdVersion() === undefined
    ? []
    : [{ name: "etcd's wire to etcd", start: startEtcd, wire: etcdWire, options: { noAppend: NO_APPEND } }]),
];

describe.each(SIDES)("$name", ({ name, start, wire, options }) => {
  let server: ServerProcess;
  beforeAll(async () => void (server = await start()));
  afterAll(() => server.stop());

  clientContract(
    name,
    async () => {
      const { store } = connect({ url: server.url, wire: wire() });
      await store.txn(txnOf([], [deleteOp({ key: ZERO, end: ZERO })]));
      const compact = async (revision: number): Promise<void> => {
        const body = JSON.stringify({ revision, physical: true });
        const reply = await fetch(`${server.url}/v3/kv/compaction`, { method: "POST", body });
        expect(reply.status).toBe(200);
      };
      return { store, compact, close: () => Promise.resolve() };
    },
    options,
  );

  test.runIf(options?.noAppend === NO_APPEND)("says that it has no append", async () => {
    const { store } = connect({ url: server.url, wire: wire() });
    await expect(store.txn(txnOf([], [appendOp(ascii("/a/"), ascii(""), ascii("1"))]))).rejects.toMatchObject({ reason: "unsupported" });
  });

  test.runIf(options?.noAppend === NO_APPEND)("says that it has no idempotency keys", async () => {
    const q = connect({ url: server.url, wire: wire() });
    await expect(q.kv.put("a", "1", { idempotencyKey: "k" })).rejects.toMatchObject({ reason: "unsupported" });
  });

  test("locks and elections run on it", async () => {
    const [one, other] = [1, 2].map(() => connectAll({ url: server.url, wire: wire() }));
    const hold = await one!.lock("wire", { ttl: "5s" });
    expect(await other!.tryLock("wire")).toBeNull();
    const next = other!.lock("wire", { ttl: "5s" });
    await hold.release();
    await (await next).release();
    await using leader = await one!.election("wire").campaign("me", { ttl: "5s" });
    for await (const seen of other!.election("wire").observe()) {
      expect(seen.leader).toMatchObject({ value: "me", term: leader.term });
      break;
    }
  });
});
