/** The notes of v2 revisions in MessagePack, for snapshots: positions in the list of actions are the numbers on disk, append only. */
import { type MsgpackReader, type MsgpackWriter, errMalformed } from "../bytes/msgpack.ts";
import type { V2Node, V2Note } from "./v2-tree/v2-command.ts";

const ACTIONS = ["set", "create", "update", "delete", "compareAndSwap", "compareAndDelete", "expire"] as const;

export function writeNote(writer: MsgpackWriter, note: V2Note): void {
  writer.array(5);
  writer.number(ACTIONS.indexOf(note.action));
  writer.bytes(note.path);
  writer.boolean(note.silent);
  writeNode(writer, note.node);
  if (note.prev === null) writer.nil();
  else writeNode(writer, note.prev);
}

function writeNode(writer: MsgpackWriter, node: V2Node): void {
  writer.array(5);
  writer.bytes(node.path);
  if (node.value === null) writer.nil();
  else writer.bytes(node.value);
  writer.number(node.createdIndex);
  writer.number(node.modifiedIndex);
  if (node.expiresAt === null) writer.nil();
  else writer.number(node.expiresAt);
}

export function readNote(reader: MsgpackReader): V2Note {
  if (reader.array() !== 5) throw errMalformed("a note has five fields");
  const action = ACTIONS[reader.number()];
  if (action === undefined) throw errMalformed("a note with an action that is not known");
  const path = reader.bytes();
  const silent = reader.boolean();
  const node = readNode(reader);
  const prev = reader.isNil() ? null : readNode(reader);
  return { action, path, silent, node, prev };
}

function readNode(reader: MsgpackReader): V2Node {
  if (reader.array() !== 5) throw errMalformed("a node has five fields");
  return {
    path: reader.bytes(),
    value: reader.isNil() ? null : reader.bytes(),
    createdIndex: reader.number(),
    modifiedIndex: reader.number(),
    expiresAt: reader.isNil() ? null : reader.number(),
  };
}
