/** Fields that several operations have. */
import { z } from "zod";
import type { Bytes } from "../../bytes/bytes.ts";
import { isQuorateError } from "../../errors.ts";
import { type Duration, milliseconds } from "../../recipes/durations.ts";

/** Longer waits are cut by proxies on the way. */
export const WAIT_MS_MAX = 55_000;

const DURATION = 'A duration such as "15s", "250ms" or a number of milliseconds.';

/** In milliseconds. */
export const durationField = z
  .union([z.string(), z.number()])
  .meta({ description: DURATION, examples: ["15s"] })
  .transform((value: Duration, context) => {
    try {
      return milliseconds(value, "duration");
    } catch (error) {
      context.addIssue({ code: "custom", message: `must be ${DURATION.toLowerCase().replace(/\.$/, "")}` });
      if (!isQuorateError(error)) throw error;
      return z.NEVER;
    }
  });

/** How long to wait for something to happen, in milliseconds; left out: not at all. */
export const waitParam = durationField
  .refine((ms) => ms <= WAIT_MS_MAX, "must be at most 55s")
  .optional()
  .describe("How long to wait for it, at most 55s; left out: not at all.");

/** Time to live of what is held, as it was written: the recipes check it. */
export const ttlParam = z.string().optional().describe(`How long it lives without being renewed. ${DURATION}`);

/** A name of a recipe: 1 to 256 bytes, one segment of the path. */
export const nameParam = z.string().min(1).describe("1 to 256 bytes; a slash is written %2F.");

/** Any bytes, in the path or in the query: percent-encoded where they are not safe there. */
export const bytesParam = z.custom<Bytes>((value) => typeof value === "string", "must be given once").meta({ type: "string", bytes: true });

/** A key in the path. */
export const keyParam = bytesParam.meta({
  type: "string",
  bytes: true,
  description: "Any bytes, percent-encoded; slashes may stand as they are.",
});

/** In the query, where it may be left out. */
export function optionalBytesParam(description: string): z.ZodOptional<typeof bytesParam> {
  return bytesParam.optional().meta({ type: "string", bytes: true, description });
}

export const leaseParam = z
  .string()
  .regex(/^[1-9]\d{0,18}$/, "must be a lease id: a decimal number up to 2^63 - 1")
  .describe("A lease id, decimal.");

/** What a value is (RFC 9110 section 8.3); as it is told, so it is kept. */
export const contentTypeField = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[\x20-\x7e]+$/, "must be ASCII")
  .describe("What the value is, such as text/plain; kept with it.");

export const revisionParam = z.coerce.number().pipe(z.int().min(1));

/** `true`, `1` or the bare name; `false` and `0`. */
export const flagParam = z
  .enum(["", "1", "true", "0", "false"])
  .optional()
  .transform((value) => value !== undefined && value !== "0" && value !== "false");
