/** `quorate context`: clusters by name, so that their addresses need not be typed. */
import type { Command } from "commander";
import { newCommand, told } from "./client-command.ts";
import { type GivenSettings, readClientSettings } from "./client-settings.ts";
import { readContexts, unknownContext, writeContexts } from "./contexts.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { Printer } from "./printer.ts";

export function command(): Command {
  const group = newCommand("context", "clusters by name: addresses, users, certificates", [
    "context add prod --endpoints https://a:2379,https://b:2379 --cacert ca.pem --user ann:secret",
    "context use prod",
    "get greeting --context staging",
    "context list",
  ]);
  for (const part of [add(), use(), list(), remove()]) group.addCommand(part);
  return group;
}

function onContexts(command: Command, act: (args: readonly string[], given: GivenSettings) => void): Command {
  return command.action(() => told(async () => act(command.args, command.optsWithGlobals<GivenSettings>())));
}

function add(): Command {
  const command = newCommand("add", "keep the given settings under a name, in place of those that it had").argument("<name>");
  return onContexts(command, ([name], given) => {
    const { context: _, ...values } = given;
    readClientSettings(values, {}); // refuses what no command could use
    const { current, contexts } = readContexts(process.env);
    // The first one is used from now on.
    writeContexts(process.env, { current: current ?? name!, contexts: { ...contexts, [name!]: values as Record<string, string> } });
    console.log(`Context ${name} added${current === undefined ? ", and used from now on" : ""}`);
  });
}

function use(): Command {
  return onContexts(newCommand("use", "use a context where none is named").argument("<name>"), ([name]) => {
    const { contexts } = readContexts(process.env);
    if (contexts[name!] === undefined) throw new CommandError(unknownContext(name!, contexts), EXIT.usage);
    writeContexts(process.env, { current: name!, contexts });
    console.log(`Context ${name} is used from now on`);
  });
}

/** Secrets are not printed. */
function list(): Command {
  return onContexts(newCommand("list", "list the contexts"), (_, given) => {
    const { current, contexts } = readContexts(process.env);
    const rows = Object.entries(contexts).map(([name, { endpoints = "", user = "" }]) => ({
      name,
      used: name === current,
      endpoints: String(endpoints),
      user: String(user).replace(/:.*/s, ""),
    }));
    new Printer(readClientSettings({ ...(given.writeOut === undefined ? {} : { writeOut: given.writeOut }) }, process.env)).show({
      simple: () => rows.map(({ name, used, endpoints }) => `${used ? "*" : " "} ${name} ${endpoints}\n`).join(""),
      json: () => rows,
      table: () => ({
        heads: ["NAME", "USED", "ENDPOINTS", "USER"],
        rows: rows.map(({ name, used, endpoints, user }) => [name, String(used), endpoints, user]),
      }),
    });
  });
}

function remove(): Command {
  return onContexts(newCommand("remove", "forget a context").argument("<name>"), ([name]) => {
    const { current, contexts } = readContexts(process.env);
    if (contexts[name!] === undefined) throw new CommandError(unknownContext(name!, contexts), EXIT.usage);
    const { [name!]: _, ...rest } = contexts;
    writeContexts(process.env, { ...(current === name || current === undefined ? {} : { current }), contexts: rest });
    console.log(`Context ${name} removed`);
  });
}
