/** `quorate member`: who is part of the cluster. */
import type { Command } from "commander";
import { hexOf, idOf, newCommand, onCluster } from "./client-command.ts";
import type { Header } from "./cluster.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { headerFields } from "./messages.ts";
import type { FieldLine, Shown } from "./printer.ts";

export interface MemberMessage {
  readonly ID?: string;
  readonly name?: string;
  readonly peerURLs?: readonly string[];
  readonly clientURLs?: readonly string[];
  readonly isLearner?: boolean;
}

export interface MembersReply {
  readonly header?: Header;
  readonly member?: MemberMessage;
  readonly members?: readonly MemberMessage[];
}

export function command(): Command {
  const group = newCommand("member", "who is part of the cluster", [
    "member list -w table",
    "member add node-4 --peer-urls=http://10.0.0.4:2380 --learner",
    "member promote 8e9e05c52164694d",
    "member remove 8e9e05c52164694d",
  ]);
  for (const part of [list(), add(), promote(), update(), remove()]) group.addCommand(part);
  return group;
}

const rowOf = ({ ID, name = "", peerURLs = [], clientURLs = [], isLearner = false }: MemberMessage): string[] => [
  hexOf(ID),
  // A member without a name has not been heard of yet.
  name === "" ? "unstarted" : "started",
  name,
  peerURLs.join(","),
  clientURLs.join(","),
  String(isLearner),
];

function list(): Command {
  return onCluster(newCommand("list", "list the members"), async ({ cluster, print }) => {
    const reply = await cluster.call<MembersReply>("cluster/member/list", {}, { repeatable: true });
    const members = reply.members ?? [];
    print.show({
      simple: () => Buffer.from(members.map((member) => `${rowOf(member).join(", ")}\n`).join("")).toString("latin1"),
      json: () => reply,
      fields: () => [...headerFields(reply.header), ...members.flatMap(memberFields)],
      table: () => ({ heads: ["ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"], rows: members.map(rowOf) }),
    });
  });
}

function memberFields({ ID = "0", name = "", peerURLs = [], clientURLs = [], isLearner = false }: MemberMessage): FieldLine[] {
  return [
    ["ID", ID],
    ["Name", JSON.stringify(name)],
    ...peerURLs.map((url): FieldLine => ["PeerURL", JSON.stringify(url)]),
    ...clientURLs.map((url): FieldLine => ["ClientURL", JSON.stringify(url)]),
    ["IsLearner", String(isLearner)],
    ["", ""],
  ];
}

function peerUrlsOf(given: string | undefined): string[] {
  if (given === undefined) throw new CommandError("member peer urls not provided", EXIT.usage);
  return given.split(",").map((url) => url.trim());
}

/** One line for people; the reply itself in the other forms. */
const changed = (reply: MembersReply, line: string): Shown => ({
  simple: () => `${line}\n`,
  json: () => reply,
  fields: () => [...headerFields(reply.header), ...(reply.member === undefined ? [] : memberFields(reply.member))],
});

const clusterOf = ({ header }: MembersReply): string => `cluster ${hexOf(header?.cluster_id, 16)}`;

function add(): Command {
  const command = newCommand("add", "tell the cluster of a new member, which then is started").argument("<name>");
  command.option("--peer-urls <URLS>", "where the others reach it").option("--learner", "without a vote, until it is promoted");
  return onCluster<{ peerUrls?: string; learner?: boolean }>(command, async ({ cluster, print }, [name], { peerUrls, learner = false }) => {
    const urls = peerUrlsOf(peerUrls);
    const reply = await cluster.call<MembersReply>("cluster/member/add", { peerURLs: urls, isLearner: learner });
    const id = reply.member?.ID;
    const own = (one: MemberMessage): string => (one.ID === id ? name! : (one.name ?? ""));
    const all = (reply.members ?? []).flatMap((one) => (one.peerURLs ?? []).map((url) => `${own(one)}=${url}`));
    const lines = [
      `Member ${hexOf(id, 16)} added to ${clusterOf(reply)}`,
      "",
      `ETCD_NAME="${name}"`,
      `ETCD_INITIAL_CLUSTER="${all.join(",")}"`,
      `ETCD_INITIAL_ADVERTISE_PEER_URLS="${urls.join(",")}"`,
      'ETCD_INITIAL_CLUSTER_STATE="existing"',
    ];
    print.show(changed(reply, Buffer.from(lines.join("\n")).toString("latin1")));
  });
}

function promote(): Command {
  const command = newCommand("promote", "give a learner a vote").argument("<id>");
  return onCluster(command, async ({ cluster, print }, [id]) => {
    const ID = idOf(id!, "member ID arg");
    const reply = await cluster.call<MembersReply>("cluster/member/promote", { ID });
    print.show(changed(reply, `Member ${hexOf(ID, 16)} promoted in ${clusterOf(reply)}`));
  });
}

function update(): Command {
  const command = newCommand("update", "change where the others reach a member")
    .argument("<id>")
    .option("--peer-urls <URLS>", "the new ones");
  return onCluster<{ peerUrls?: string }>(command, async ({ cluster, print }, [id], { peerUrls }) => {
    const ID = idOf(id!, "member ID arg");
    const reply = await cluster.call<MembersReply>("cluster/member/update", { ID, peerURLs: peerUrlsOf(peerUrls) });
    print.show(changed(reply, `Member ${hexOf(ID, 16)} updated in ${clusterOf(reply)}`));
  });
}

function remove(): Command {
  const command = newCommand("remove", "take a member out of the cluster").argument("<id>");
  return onCluster(command, async ({ cluster, print }, [id]) => {
    const ID = idOf(id!, "member ID arg");
    const reply = await cluster.call<MembersReply>("cluster/member/remove", { ID });
    print.show(changed(reply, `Member ${hexOf(ID, 16)} removed from ${clusterOf(reply)}`));
  });
}
