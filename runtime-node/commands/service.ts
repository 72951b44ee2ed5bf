/** `quorate service`: who serves what, and where. */
import type { Command } from "commander";
import { type Instance, type ServiceStatus, listServices, registerService, watchServices } from "../../core/recipes/services.ts";
import { newCommand, onCluster, wholeOf } from "./client-command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { untilTold } from "./hold-command.ts";
import { holdSeconds } from "./hold-flags.ts";
import type { Shown } from "./printer.ts";

export function command(): Command {
  const group = newCommand("service", "who serves what, and where", [
    "service register web web-1 10.0.0.1 --port 8080 --tag blue     until ctrl-C",
    "service list web --status passing",
    "service watch web",
  ]);
  for (const part of [register(), list(), watch()]) group.addCommand(part);
  return group;
}

interface RegisterFlags {
  readonly port?: string;
  readonly zone?: string;
  readonly weight?: string;
  readonly tag?: readonly string[];
  readonly ttl: string;
}

const collect = (one: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), one];

function register(): Command {
  const command = newCommand("register", "keep an instance on the list until it is told to end")
    .argument("<name>")
    .argument("<id>")
    .argument("<address>");
  command.option("--port <N>", "where it listens").option("--zone <TEXT>", "where it is").option("--weight <N>", "of what it should get");
  command
    .option("--tag <TEXT>", "may be given several times", collect)
    .option("--ttl <SECONDS>", "how long it stays when this process dies", "15");
  return onCluster<RegisterFlags>(command, async ({ cluster, print }, [name, id, address], { port, zone, weight, tag, ttl }) => {
    const told = untilTold();
    const info = {
      address: address!,
      ...(port === undefined ? {} : { port: wholeOf(port, "--port") }),
      ...(weight === undefined ? {} : { weight: wholeOf(weight, "--weight") }),
      zone,
      tags: tag,
    };
    const registration = await registerService(cluster.client(), name!, id!, info, { ttl: holdSeconds(ttl) });
    print.write(`${name}/${id} is registered\n`);
    const alive = setInterval(() => {}, 60_000);
    if (!told.aborted) await new Promise((resolve) => told.addEventListener("abort", resolve));
    clearInterval(alive);
    await registration.leave();
  });
}

interface FilterFlags {
  readonly status?: string;
  readonly tag?: string;
  readonly zone?: string;
}

function filterOf({ status, tag, zone }: FilterFlags) {
  if (status !== undefined && !["passing", "warning", "critical"].includes(status)) {
    throw new CommandError(`--status is ${JSON.stringify(status)}; wanted: passing, warning or critical`, EXIT.usage);
  }
  return { status: status as ServiceStatus | undefined, tag, zone };
}

const withFilter = (command: Command): Command =>
  command
    .option("--status <STATUS>", "passing, warning or critical")
    .option("--tag <TEXT>", "those with it")
    .option("--zone <TEXT>", "those in it");

const addressOf = ({ address, port }: Instance): string => (port === undefined ? address : `${address}:${port}`);

function shown(instances: readonly Instance[]): Shown {
  const rows = instances.map((one) => [one.id, addressOf(one), one.status, one.tags.join(","), String(one.weight)]);
  return {
    simple: () => Buffer.from(rows.map((row) => `${row.slice(0, 3).join(" ")}\n`).join("")).toString("latin1"),
    json: () => instances,
    table: () => ({ heads: ["ID", "ADDRESS", "STATUS", "TAGS", "WEIGHT"], rows }),
  };
}

function list(): Command {
  const command = withFilter(newCommand("list", "list the instances").argument("<name>"));
  return onCluster<FilterFlags>(command, async ({ cluster, print }, [name], flags) => {
    print.show(shown((await listServices(cluster.client(), name!, filterOf(flags))).instances));
  });
}

function watch(): Command {
  const command = withFilter(newCommand("watch", "print the list, and again when it changes").argument("<name>"));
  return onCluster<FilterFlags>(command, async ({ cluster, print }, [name], flags) => {
    const signal = untilTold();
    for await (const { instances } of watchServices(cluster.client(), name!, filterOf(flags), { signal })) {
      print.show(shown(instances));
      if (print.format === "simple") print.write("\n");
    }
  });
}
