/** What the Worker tells a namespace of a request, in headers that no client can set: they are taken off what comes from outside. */

/** Name of the namespace. */
export const NAME_HEADER = "quorate-internal-name";
/** The URL below which clients reach it. */
export const BASE_HEADER = "quorate-internal-base";
/** Present: asked by an administrator. */
export const INTERNAL_HEADER = "quorate-internal-admin";

export const INTERNAL_HEADERS: readonly string[] = [NAME_HEADER, BASE_HEADER, INTERNAL_HEADER];
