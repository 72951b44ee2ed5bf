/**
 * The first frame in each direction of a connection between members: who speaks, for which cluster, what for. A member that is not
 * who the other meant, or of another cluster, is refused by name before anything else is read.
 */
import * as z from "zod/mini";

const decimal = z.string().check(z.regex(/^\d{1,20}$/));

/** What the connection is for. `greeting` needs no membership: a member that wants to join asks who is there. */
export const Hello = z.object({
  hello: z.literal(1),
  purpose: z.enum(["messages", "snapshot", "greeting"]),
  clusterId: decimal,
  from: decimal,
  /** "0" with a greeting. */
  to: decimal,
  /** Openings of the sender's storage: an older one than was seen is a copy of an old disk. */
  boot: z.int().check(z.nonnegative()),
  /** Of the sender's storage: another one than the member had is a disk that forgot what it had acknowledged. */
  diskId: z.optional(decimal),
  /** Where the sender can be reached: for a member that does not know it yet, because its log is behind. */
  urls: z.optional(z.array(z.string().check(z.maxLength(1024))).check(z.maxLength(64))),
  /** With `snapshot`: which one. */
  snapshot: z.optional(z.string().check(z.maxLength(256))),
  /** With `snapshot`: how many of its bytes the sender has already. */
  offset: z.optional(z.int().check(z.nonnegative())),
});
export type Hello = z.infer<typeof Hello>;

export const Welcome = z.object({
  welcome: z.literal(1),
  clusterId: decimal,
  id: decimal,
  boot: z.int().check(z.nonnegative()),
  diskId: z.optional(decimal),
  members: z.optional(z.array(z.unknown())),
  configIndex: z.optional(z.int().check(z.nonnegative())),
});
export type Welcome = z.infer<typeof Welcome>;

/** The other side closes after this. */
export const Refusal = z.object({
  refused: z.string().check(z.maxLength(1024)),
  kind: z.optional(z.enum(["removed", "replaced", "stale", "stranger"])),
});

/** A handshake that takes longer is given up, in milliseconds. */
export const HANDSHAKE_MS_MAX = 5_000;

/** Bytes that a caller's first frame may have: addresses fit, and who is nobody yet costs little memory. */
export const HELLO_BYTES_MAX = 128 * 1024;
