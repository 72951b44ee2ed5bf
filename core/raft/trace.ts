/**
 * Trace of every transition, for replay in a viewer and for validation against a specification: one plain object an event, which a
 * host writes as one line of JSON. Order of fields and values depend on nothing but the inputs of the node.
 */
import type { Role } from "./state.ts";
import type { Index, NodeId, Term } from "./types.ts";

export type TraceEvent = { readonly node: NodeId; readonly term: Term } & (
  | { readonly event: "role"; readonly role: Role; readonly leader: NodeId | null }
  | { readonly event: "campaign"; readonly transfer: boolean; readonly pre: boolean }
  | { readonly event: "vote"; readonly to: NodeId; readonly granted: boolean; readonly pre: boolean }
  | { readonly event: "append"; readonly first: Index; readonly last: Index }
  | { readonly event: "truncate"; readonly from: Index }
  | { readonly event: "commit"; readonly index: Index }
  | { readonly event: "config"; readonly index: Index; readonly voters: readonly NodeId[]; readonly outgoing: readonly NodeId[] }
  | { readonly event: "progress"; readonly peer: NodeId; readonly state: string; readonly match: Index; readonly next: Index }
  | { readonly event: "offer"; readonly to: NodeId; readonly index: Index; readonly id: string }
  | { readonly event: "install"; readonly index: Index; readonly id: string; readonly ok: boolean }
  | { readonly event: "transfer"; readonly to: NodeId | null }
  | { readonly event: "amnesia"; readonly of: NodeId }
  | { readonly event: "dropped"; readonly from: NodeId; readonly kind: string; readonly why: string }
);
