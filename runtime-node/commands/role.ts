/** `quorate role`: what users of a role may do to ranges of keys. */
import type { Command } from "commander";
import { type Bytes, prefixEnd } from "../../core/bytes/bytes.ts";
import { newCommand, onCluster } from "./client-command.ts";
import type { Header } from "./cluster.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { goQuote } from "./go-quote.ts";
import { type RangeFlags, rangeOf } from "./key-range.ts";
import { headerFields } from "./messages.ts";
import { type FieldLine, type Shown, bytesOf } from "./printer.ts";

interface Permission {
  readonly permType?: "READ" | "WRITE" | "READWRITE";
  readonly key?: string;
  readonly range_end?: string;
}

export interface RoleReply {
  readonly header?: Header;
  readonly perm?: readonly Permission[];
  readonly roles?: readonly string[];
}

export function command(): Command {
  const group = newCommand("role", "what users of a role may do to ranges of keys", [
    "role add reader",
    "role grant-permission reader read --prefix config/",
    "role get reader",
    "role revoke-permission reader --prefix config/",
  ]);
  for (const part of [add(), get(), list(), remove(), grant(), revoke()]) group.addCommand(part);
  return group;
}

const text = (written: string): string => Buffer.from(`${written}\n`).toString("latin1");

const changed = (reply: RoleReply, line: string): Shown => ({
  simple: () => line,
  json: () => reply,
  fields: () => headerFields(reply.header),
});

/** As it is printed for people, with the line end. */
export function roleLines(role: string, { perm = [] }: RoleReply): Bytes {
  const of = (...types: readonly string[]): string =>
    perm
      .filter(({ permType = "READ" }) => types.includes(permType))
      .map((one) => `\t${rangeText(one)}\n`)
      .join("");
  return `${text(`Role ${role}`)}KV Read:\n${of("READ", "READWRITE")}KV Write:\n${of("WRITE", "READWRITE")}` as Bytes;
}

function rangeText({ key, range_end }: Permission): string {
  const [from, to] = [bytesOf(key), bytesOf(range_end)];
  if (to === "") return from;
  const range = to === "\0" ? `[${from}, <open ended>` : `[${from}, ${to})`;
  return prefixEnd(from) === to ? `${range} (prefix ${from})` : range;
}

function add(): Command {
  return onCluster(newCommand("add", "make a role").argument("<name>"), async ({ cluster, print }, [name]) => {
    print.show(changed(await cluster.call<RoleReply>("auth/role/add", { name }), text(`Role ${name} created`)));
  });
}

function remove(): Command {
  return onCluster(newCommand("delete", "delete a role").argument("<name>"), async ({ cluster, print }, [role]) => {
    print.show(changed(await cluster.call<RoleReply>("auth/role/delete", { role }), text(`Role ${role} deleted`)));
  });
}

function get(): Command {
  return onCluster(newCommand("get", "tell what a role may do").argument("<name>"), async ({ cluster, print }, [role]) => {
    const reply = await cluster.call<RoleReply>("auth/role/get", { role }, { repeatable: true });
    print.show({
      simple: () => roleLines(role!, reply),
      json: () => reply,
      fields: () => [
        ...headerFields(reply.header),
        ...(reply.perm ?? []).flatMap(({ permType = "READ", key, range_end }): FieldLine[] => [
          ["PermType", ` ${permType}`],
          ["Key", goQuote(bytesOf(key))],
          ["RangeEnd", goQuote(bytesOf(range_end))],
        ]),
      ],
    });
  });
}

function list(): Command {
  return onCluster(newCommand("list", "list all roles"), async ({ cluster, print }) => {
    const reply = await cluster.call<RoleReply>("auth/role/list", {}, { repeatable: true });
    const roles = reply.roles ?? [];
    print.show({
      simple: () => roles.map(text).join(""),
      json: () => reply,
      fields: () => [...headerFields(reply.header), ["Roles", roles.map((role) => JSON.stringify(role)).join(" ")]],
    });
  });
}

function withRange(command: Command): Command {
  command.argument("<key>").argument("[end]", "of the range, without it");
  return command.option("--prefix", "all keys that begin with the key").option("--from-key", "all keys from the key on");
}

function grant(): Command {
  const command = newCommand("grant-permission", "let users of a role do more")
    .argument("<role>")
    .argument("<type>", "read, write or readwrite");
  return onCluster<RangeFlags>(withRange(command), async ({ cluster, print }, [name, type, key, end], flags) => {
    const permType = type!.toUpperCase();
    if (!["READ", "WRITE", "READWRITE"].includes(permType)) throw new CommandError(`invalid permission type: ${type}`, EXIT.usage);
    const perm = { permType, ...rangeOf(key!, end, flags) };
    print.show(changed(await cluster.call<RoleReply>("auth/role/grant", { name, perm }), text(`Role ${name} updated`)));
  });
}

function revoke(): Command {
  const command = newCommand("revoke-permission", "let users of a role do less").argument("<role>");
  return onCluster<RangeFlags>(withRange(command), async ({ cluster, print }, [role, key, end], flags) => {
    const range = rangeOf(key!, end, flags);
    const reply = await cluster.call<RoleReply>("auth/role/revoke", { role, ...range });
    const to = bytesOf(range.range_end);
    const of = to === "" ? `key ${bytesOf(range.key)}` : `range [${bytesOf(range.key)}, ${to === "\0" ? "<open ended>" : `${to})`}`;
    print.show(changed(reply, `Permission of ${of} is revoked from role ${text(role!)}`));
  });
}
