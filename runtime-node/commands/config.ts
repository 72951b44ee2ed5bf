/** `quorate config`: values of a namespace, published together, with their history. */
import type { Command } from "commander";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { utf8Decode } from "../../core/bytes/utf8.ts";
import { type ConfigSnapshot, readConfig, subscribeConfig } from "../../core/recipes/config.ts";
import { newCommand, onCluster, wholeOf } from "./client-command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { untilTold } from "./hold-command.ts";
import type { Shown } from "./printer.ts";

export function command(): Command {
  const group = newCommand("config", "values of a namespace, published together", [
    "config publish shop color='\"blue\"' limit=10 old=       several in one revision; old is deleted",
    "config get shop",
    "config get shop --rev 42          as it was then",
    "config rollback shop 42",
    "config watch shop",
  ]);
  for (const part of [get(), publish(), rollBack(), watch()]) group.addCommand(part);
  return group;
}

function shown({ entries, revision }: ConfigSnapshot): Shown {
  const all = [...entries];
  return {
    simple: () => all.map(([key, { value }]) => `${key}=${value}\n`).join("") as Bytes,
    json: () => ({ revision, values: Object.fromEntries(all.map(([key, { value }]) => [key, utf8Decode(value)])) }),
    table: () => ({
      heads: ["KEY", "VALUE", "REVISION"],
      rows: all.map(([key, one]) => [key, utf8Decode(one.value), String(one.revision)]),
    }),
  };
}

function get(): Command {
  const command = newCommand("get", "print the values").argument("<namespace>").option("--rev <N>", "as of this revision");
  return onCluster<{ rev?: string }>(command, async ({ cluster, print }, [namespace], { rev }) => {
    print.show(shown(await readConfig(cluster.client(), namespace!, { revision: rev === undefined ? undefined : wholeOf(rev, "--rev") })));
  });
}

/** Published by the member, which checks the schema of the namespace. */
function publish(): Command {
  const command = newCommand("publish", "set and delete values, all of them in one revision")
    .argument("<namespace>")
    .argument("<key=value...>", "JSON, or text; without a value: it is deleted");
  return onCluster(command, async ({ cluster, print }, [namespace, ...pairs]) => {
    const change: { set: Record<string, unknown>; delete: string[] } = { set: {}, delete: [] };
    for (const pair of pairs) {
      const at = pair.indexOf("=");
      if (at < 1) throw new CommandError(`${JSON.stringify(pair)} cannot be taken; wanted: KEY=VALUE`, EXIT.usage);
      const [key, value] = [pair.slice(0, at), pair.slice(at + 1)];
      if (value === "") change.delete.push(key);
      else change.set[key] = jsonOr(value);
    }
    const { revision } = await cluster.v1<{ revision: number }>("PATCH", `/v1/config/${encodeURIComponent(namespace!)}`, change);
    print.show({ simple: () => `published at revision ${revision}\n`, json: () => ({ revision }) });
  });
}

function rollBack(): Command {
  const command = newCommand("rollback", "publish again what was in force at a revision").argument("<namespace>").argument("<revision>");
  return onCluster(command, async ({ cluster, print }, [namespace, to]) => {
    const path = `/v1/config/${encodeURIComponent(namespace!)}/rollback`;
    const { revision } = await cluster.v1<{ revision: number }>("POST", path, { to: wholeOf(to!, "the revision") });
    print.show({ simple: () => `published at revision ${revision}\n`, json: () => ({ revision }) });
  });
}

function watch(): Command {
  return onCluster(
    newCommand("watch", "print the values, and again when they change").argument("<namespace>"),
    async (run, [namespace]) => {
      for await (const step of subscribeConfig(run.cluster.client(), namespace!, { signal: untilTold() })) {
        run.print.show(shown(step));
        if (run.print.format === "simple") run.print.write("\n");
      }
    },
  );
}

/** JSON as it is; what is none is text. */
function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
