/**
 * The file system of Node, Deno and Bun.
 *
 * A durable write is one asynchronous call on a descriptor with O_DSYNC where the platform means it; elsewhere a write and a sync.
 * (Apple's O_DSYNC does not flush the drive's cache, its F_FULLFSYNC does, and that is what `fdatasync` of the runtime calls.)
 * The lock is the kernel's own record lock, taken by SQLite on an empty file: the only lock that all three runtimes offer and that
 * no kill leaves behind. Figures and choices: docs/decisions/0003-log-on-disk.md.
 */
import * as fs from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { errorCode } from "./file-system.ts";
import type { FileSystem, OpenFile, OpenMode } from "./file-system.ts";

const DSYNC_IS_HONEST = process.platform === "linux" && typeof fs.constants.O_DSYNC === "number";

const FLAGS: Record<OpenMode, string | number> = {
  read: "r",
  write: "r+",
  log: DSYNC_IS_HONEST ? fs.constants.O_RDWR | fs.constants.O_DSYNC : "r+",
  create: "wx+",
};

/** Callbacks rather than `fs/promises`: half the cost a call. */
function call<T>(start: (done: (error: NodeJS.ErrnoException | null, value?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => start((error, value) => (error ? reject(error) : resolve(value as T))));
}

class NodeFile implements OpenFile {
  readonly #fd: number;
  readonly #durableWrites: boolean;

  constructor(fd: number, durableWrites: boolean) {
    this.#fd = fd;
    this.#durableWrites = durableWrites;
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return call((done) => fs.read(this.#fd, into, 0, into.length, position, done));
  }
  write(data: Uint8Array, position: number): Promise<number> {
    return call((done) => fs.write(this.#fd, data, 0, data.length, position, done));
  }
  async writeDurably(data: Uint8Array, position: number): Promise<number> {
    const written = await this.write(data, position);
    if (!this.#durableWrites && written === data.length) await call<void>((done) => fs.fdatasync(this.#fd, done));
    return written;
  }
  sync(): Promise<void> {
    return call((done) => fs.fsync(this.#fd, done));
  }
  truncate(length: number): Promise<void> {
    return call((done) => fs.ftruncate(this.#fd, length, done));
  }
  async size(): Promise<number> {
    return (await call<fs.Stats>((done) => fs.fstat(this.#fd, done))).size;
  }
  close(): Promise<void> {
    return call((done) => fs.close(this.#fd, done));
  }
}

export class NodeFileSystem implements FileSystem {
  /** Not the host's recursive call: on a file system that takes no directories, as /proc, Node's never ends. */
  async makeDirectory(path: string): Promise<void> {
    const make = (at: string) => call<void>((done) => fs.mkdir(at, { mode: 0o700 }, done));
    try {
      await make(path);
    } catch (error) {
      const code = errorCode(error);
      if (code === "EEXIST" && (await call<fs.Stats>((done) => fs.stat(path, done))).isDirectory()) return;
      if (code !== "ENOENT" || dirname(path) === path) throw error;
      await this.makeDirectory(dirname(path));
      await make(path);
    }
    await this.syncDirectory(dirname(path)); // a new name is durable once the directory that holds it is synced
  }

  list(directory: string): Promise<string[]> {
    return call((done) => fs.readdir(directory, done));
  }

  async open(path: string, mode: OpenMode): Promise<OpenFile> {
    const fd = await call<number>((done) => fs.open(path, FLAGS[mode], 0o600, done));
    return new NodeFile(fd, mode === "log" && DSYNC_IS_HONEST);
  }

  rename(from: string, to: string): Promise<void> {
    return call((done) => fs.rename(from, to, done));
  }

  remove(path: string): Promise<void> {
    return call((done) => fs.unlink(path, done));
  }

  async syncDirectory(path: string): Promise<void> {
    if (process.platform === "win32") return; // a directory cannot be opened there; NTFS journals its entries
    const fd = await call<number>((done) => fs.open(path, "r", done));
    try {
      await call<void>((done) => fs.fsync(fd, done));
    } finally {
      await call<void>((done) => fs.close(fd, done));
    }
  }

  async lock(path: string): Promise<(() => void) | undefined> {
    const database = new DatabaseSync(path, { timeout: 0 });
    try {
      database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    } catch (error) {
      database.close();
      if (error instanceof Error && /locked|busy/.test(error.message)) return undefined;
      throw error;
    }
    return () => database.close();
  }
}
