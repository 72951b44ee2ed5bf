/** `quorate alarm`: what the cluster warns of, and the end of a warning. */
import type { Command } from "commander";
import { newCommand, onCluster } from "./client-command.ts";
import type { Header } from "./cluster.ts";
import { headerFields } from "./messages.ts";
import type { FieldLine } from "./printer.ts";

interface AlarmReply {
  readonly header?: Header;
  readonly alarms?: readonly { readonly memberID?: string; readonly alarm?: string }[];
}

export function command(): Command {
  const group = newCommand("alarm", "what the cluster warns of: NOSPACE, CORRUPT", ["alarm list", "alarm disarm"]);
  group.addCommand(part("list", "list the alarms", "GET"));
  group.addCommand(part("disarm", "end all alarms, after their cause was removed", "DEACTIVATE"));
  return group;
}

function part(name: string, description: string, action: string): Command {
  return onCluster(newCommand(name, description), async ({ cluster, print }) => {
    const ask = async (message: object): Promise<AlarmReply> => cluster.call("maintenance/alarm", message, { repeatable: true });
    const found = await ask({ action: "GET" });
    // Each is ended by its member and its kind.
    if (action === "DEACTIVATE")
      for (const { memberID = "0", alarm = "NONE" } of found.alarms ?? []) await ask({ action, memberID, alarm });
    const { header, alarms = [] } = found;
    print.show({
      simple: () => alarms.map(({ memberID = "0", alarm = "NONE" }) => `memberID:${memberID} alarm:${alarm} \n`).join(""),
      json: () => found,
      fields: () => [
        ...headerFields(header),
        ...alarms.flatMap(({ memberID = "0", alarm = "NONE" }): FieldLine[] => [
          ["MemberID", memberID],
          ["AlarmType", alarm],
        ]),
      ],
    });
  });
}
