/**
 * The refusals of the v2 tree. Each carries what etcd's v2 error body needs: `cause` (a byte string: a path, or what was compared) and
 * `index` (the store's revision when it was refused). The view maps `reason` to `errorCode`, `message` and status.
 * Source: etcd v2 API documentation, "error codes" (https://etcd.io/docs/v2.3/errorcode/).
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { type ErrorCode, QuorateError } from "../../errors.ts";

const make =
  (code: ErrorCode, reason: string, message: string) =>
  (cause: Bytes, index: number): QuorateError =>
    new QuorateError(code, reason, message, { cause, index });

/** `cause`: the first part of the path that is not there. */
export const errV2KeyNotFound = make("notFound", "v2KeyNotFound", "Key not found");
/** `cause`: each comparison that failed, `[wanted != present]`. */
export const errV2CompareFailed = make("failedPrecondition", "v2CompareFailed", "Compare failed");
export const errV2NotFile = make("failedPrecondition", "v2NotFile", "Not a file");
/** `cause`: the part of the path that is a file. */
export const errV2NotDirectory = make("failedPrecondition", "v2NotDirectory", "Not a directory");
export const errV2NodeExists = make("alreadyExists", "v2NodeExists", "Key already exists");
export const errV2RootReadOnly = make("invalidArgument", "v2RootReadOnly", "Root is read only");
export const errV2DirectoryNotEmpty = make("failedPrecondition", "v2DirectoryNotEmpty", "Directory not empty");
/** `cause`: `the requested history has been cleared [oldest kept/wanted]`, as etcd words it. */
export const errV2EventIndexCleared = make("outOfRange", "eventIndexCleared", "The event in requested index is outdated and cleared");
