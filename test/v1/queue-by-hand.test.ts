/** A queue behind a gate as users of etcd's v2 API build it by hand: in-order keys below `/queue`, and a node `/queue/condition`. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

interface Node {
  readonly key: string;
  readonly value: string;
  readonly modifiedIndex: number;
}

const ITEMS = 20;
const CONSUMERS = 4;

let server: ServerProcess;
beforeAll(async () => void (server = await startQuorate()));
afterAll(() => server.stop());

async function keys<T>(method: string, path: string, form?: Readonly<Record<string, string>>): Promise<{ status: number; json: T }> {
  const reply = await fetch(`${server.url}/v2/keys${path}`, { method, ...(form === undefined ? {} : { body: new URLSearchParams(form) }) });
  return { status: reply.status, json: (await reply.json()) as T };
}

/** Waits until the gate is there, as of an index: no change in between is missed. */
async function untilOpen(): Promise<number> {
  const look = await keys<{ index: number; node: Node }>("GET", "/queue/condition");
  if (look.status === 200) return look.json.node.modifiedIndex;
  const opened = await keys<{ node: Node }>("GET", `/queue/condition?wait=true&waitIndex=${look.json.index + 1}`);
  return opened.json.node.modifiedIndex;
}

async function consume(taken: { value: string; openedAt: number; index: number }[]): Promise<void> {
  const openedAt = await untilOpen();
  for (;;) {
    const { json } = await keys<{ node: { nodes?: Node[] } }>("GET", "/queue?sorted=true&quorum=true");
    const items = (json.node.nodes ?? []).filter(({ key }) => key !== "/queue/condition");
    if (items.length === 0) return;
    for (const { key, value, modifiedIndex } of items) {
      const { status, json: gone } = await keys<{ node: Node }>("DELETE", `${key}?prevIndex=${modifiedIndex}`);
      if (status !== 200) continue; // somebody else has it
      taken.push({ value, openedAt, index: gone.node.modifiedIndex });
      break;
    }
  }
}

test("each item is taken once, and none before /queue/condition is there", async () => {
  for (let at = 0; at < ITEMS; at++) expect((await keys("POST", "/queue", { value: `item ${at}` })).status).toBe(201);
  const taken: { value: string; openedAt: number; index: number }[] = [];
  const consumers = Array.from({ length: CONSUMERS }, () => consume(taken));
  const waiting = await keys<{ node: { nodes: Node[] } }>("GET", "/queue?sorted=true");
  expect(waiting.json.node.nodes).toHaveLength(ITEMS);
  const opened = await keys<{ node: Node }>("PUT", "/queue/condition", { value: "go" });
  await Promise.all(consumers);
  taken.sort((a, b) => a.index - b.index);
  expect(taken.map(({ value }) => value).toSorted()).toEqual(Array.from({ length: ITEMS }, (_, at) => `item ${at}`).toSorted());
  expect(taken.every(({ openedAt, index }) => openedAt === opened.json.node.modifiedIndex && index > openedAt)).toBe(true);
});

test("one consumer alone takes them in the order of their posts", async () => {
  for (let at = 0; at < ITEMS; at++) await keys("POST", "/queue", { value: `next ${at}` });
  const taken: { value: string; openedAt: number; index: number }[] = [];
  await consume(taken);
  expect(taken.map(({ value }) => value)).toEqual(Array.from({ length: ITEMS }, (_, at) => `next ${at}`));
});
