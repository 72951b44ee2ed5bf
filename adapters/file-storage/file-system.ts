/**
 * What the log asks of a file system: the seam at which a test puts a simulated disk that loses, tears and refuses.
 *
 * Paths are joined with `/`. A call that fails rejects with the host's error (`code` as Node has it: ENOENT, ENOSPC, EIO …).
 * Nothing is durable before `sync`, `writeDurably` or `syncDirectory` says so; of what was not synced, a crash may keep any part.
 */
export interface OpenFile {
  /** @returns bytes read: fewer than asked only at the end of the file */
  read(into: Uint8Array, position: number): Promise<number>;
  /** @returns bytes written; fewer than given is a failure of the device that the caller must act on */
  write(data: Uint8Array, position: number): Promise<number>;
  /** `write`, and durable when it resolves: the fastest way the host has that does not block the event loop. */
  writeDurably(data: Uint8Array, position: number): Promise<number>;
  /** Data and length of the file, durable when it resolves. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/**
 * read: nothing is written · write: an existing file · log: an existing file, opened so that `writeDurably` is cheap ·
 * create: a new file; fails with EEXIST
 */
export type OpenMode = "read" | "write" | "log" | "create";

export interface FileSystem {
  /** Creates the directory and its parents where they are missing; durable when it resolves. */
  makeDirectory(path: string): Promise<void>;
  /** Names in the directory, in no order. */
  list(directory: string): Promise<string[]>;
  open(path: string, mode: OpenMode): Promise<OpenFile>;
  /** Replaces `to`. Durable after `syncDirectory`. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(path: string): Promise<void>;
  /**
   * Takes an exclusive lock that ends with this process, however it ends.
   * @returns what releases it, or undefined when somebody else has it
   */
  lock(path: string): Promise<(() => void) | undefined>;
}

/** The host's error code, or undefined when it is no error of the host. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
