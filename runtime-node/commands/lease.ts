/** `quorate lease`: times to live that keys can be attached to. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { isQuorateError } from "../../core/errors.ts";
import { type Run, hexOf, idOf, newCommand, onCluster, wholeOf } from "./client-command.ts";
import type { Header } from "./cluster.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { goQuote } from "./go-quote.ts";
import { headerFields } from "./messages.ts";
import { type FieldLine, bytesOf } from "./printer.ts";

interface LeaseReply {
  readonly header?: Header;
  readonly ID?: string;
  readonly TTL?: string;
}

interface TimeToLiveReply extends LeaseReply {
  readonly grantedTTL?: string;
  readonly keys?: readonly string[];
}

export function command(): Command {
  const group = newCommand("lease", "times to live that keys can be attached to", [
    "lease grant 60",
    "put session open --lease 694d7a1c9f3a2b05",
    "lease keep-alive 694d7a1c9f3a2b05",
    "lease timetolive 694d7a1c9f3a2b05 --keys",
    "lease revoke 694d7a1c9f3a2b05           its keys go with it",
  ]);
  for (const part of [grant(), revoke(), timeToLive(), list(), keepAlive()]) group.addCommand(part);
  return group;
}

/** As an id is printed. */
const lease = (id: string | undefined): string => hexOf(id, 16);

/** Go's client has the header's fields among its own. */
const idFields = ({ header, ID = "0", TTL = "0" }: LeaseReply): FieldLine[] => [...headerFields(header), ["ID", ID], ["TTL", TTL]];

function grant(): Command {
  const command = newCommand("grant", "make a lease").argument("<seconds>");
  return onCluster(command, async ({ cluster, print }, [ttl]) => {
    const reply = await cluster.call<LeaseReply>("lease/grant", { TTL: wholeOf(ttl!, "the time to live") });
    print.show({
      simple: () => `lease ${lease(reply.ID)} granted with TTL(${reply.TTL ?? 0}s)\n`,
      json: () => ({ ...reply.header, ID: reply.ID, TTL: reply.TTL, Error: "" }),
      fields: () => idFields(reply),
    });
  });
}

function revoke(): Command {
  const command = newCommand("revoke", "end a lease, and its keys with it").argument("<id>");
  return onCluster(command, async ({ cluster, print }, [id]) => {
    const ID = idOf(id!, "lease ID arg");
    try {
      const reply = await cluster.call<{ header?: Header }>("lease/revoke", { ID }, { repeatable: true });
      print.show({ simple: () => `lease ${lease(ID)} revoked\n`, json: () => reply, fields: () => headerFields(reply.header) });
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      throw new CommandError(`failed to revoke lease (${error.message})`);
    }
  });
}

function timeToLive(): Command {
  const command = newCommand("timetolive", "tell how long a lease has yet")
    .argument("<id>")
    .option("--keys", "and which keys are attached to it");
  return onCluster<{ keys?: boolean }>(command, async ({ cluster, print }, [id], { keys = false }) => {
    const ID = idOf(id!, "lease ID arg");
    const reply = await cluster.call<TimeToLiveReply>("lease/timetolive", { ID, keys }, { repeatable: true });
    const { TTL = "0", grantedTTL = "0", keys: attached = [] } = reply;
    const names = `, attached keys([${attached.map(bytesOf).join(" ")}])`;
    print.show({
      simple: () =>
        TTL === "-1"
          ? `lease ${lease(ID)} already expired\n`
          : `lease ${lease(ID)} granted with TTL(${grantedTTL}s), remaining(${TTL}s)${keys ? names : ""}\n`,
      json: () => ({ ...reply.header, id: ID, ttl: TTL, "granted-ttl": grantedTTL, keys: attached.length === 0 ? null : attached }),
      fields: () => [
        ...idFields({ ...reply, ID }),
        ["GrantedTTL", grantedTTL],
        ...attached.map((key): FieldLine => ["Key", goQuote(bytesOf(key))]),
      ],
    });
  });
}

function list(): Command {
  return onCluster(newCommand("list", "list all leases"), async ({ cluster, print }) => {
    const reply = await cluster.call<{ header?: Header; leases?: readonly { ID: string }[] }>("lease/leases", {}, { repeatable: true });
    const ids = (reply.leases ?? []).map(({ ID }) => ID);
    print.show({
      simple: () => `found ${ids.length} leases\n${ids.map((id) => `${lease(id)}\n`).join("")}`,
      json: () => ({ ...reply.header, leases: ids.map((id) => ({ id })) }),
      fields: () => [...headerFields(reply.header), ...ids.map((id): FieldLine => ["ID", id])],
    });
  });
}

function keepAlive(): Command {
  const command = newCommand("keep-alive", "renew a lease until it ends").argument("<id>").option("--once", "renew it once");
  return onCluster<{ once?: boolean }>(command, async (run, [id], { once = false }) => {
    const ID = idOf(id!, "lease ID arg");
    for (;;) {
      const seconds = await renew(run, ID);
      if (seconds === 0 && once) throw new CommandError("etcdserver: requested lease not found", EXIT.connection);
      if (seconds === 0) return run.print.write(`lease ${lease(ID)} expired or revoked.\n`);
      if (once) return;
      await sleep((seconds * 1000) / 3);
    }
  });
}

/** @returns the seconds that it was renewed for; 0 when it is gone */
async function renew({ cluster, print }: Run, ID: string): Promise<number> {
  const { result: reply } = await cluster.call<{ result: LeaseReply }>("lease/keepalive", { ID }, { repeatable: true });
  const seconds = Number(reply.TTL ?? 0);
  if (seconds <= 0) return 0;
  print.show({
    simple: () => `lease ${lease(ID)} keepalived with TTL(${seconds})\n`,
    json: () => ({ ...reply.header, ID, TTL: reply.TTL }),
    fields: () => idFields(reply),
  });
  return seconds;
}
