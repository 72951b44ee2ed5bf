/**
 * A file system in memory that loses what was not synced: each 512-byte sector, each change of a length, and each creation, rename
 * and removal on its own, as the person asking chooses.
 *
 * Every call is a step. `dieAtStep` stops the machine in the middle of that step: what it does to the cache has been done, nothing of
 * it is durable yet, and its promise never settles, nor does any later one. `losses()` then tells how many things are undecided and
 * `afterCrash(keep)` gives the disk of the next boot, for each choice anew.
 *
 * A failed sync behaves as in Linux: the pages are dropped from the list of what must be written, the cache goes on showing them, and
 * the next sync succeeds.
 */
import type { FileSystem, OpenFile, OpenMode } from "../../adapters/file-storage/file-system.ts";

const SECTOR = 512;

/** `keep(n)` decides whether the n-th undecided thing reached the disk. */
export type Keep = (n: number) => boolean;

/** What a step is asked before it takes place. Throw to make it fail; return a number from "write" to make it short. */
export type Fault = (step: { readonly call: string; readonly path: string; readonly number: number }) => number | void;

class Inode {
  /** The same buffer as `durable` until the first write. */
  cache: Buffer = Buffer.alloc(0);
  durable: Buffer = Buffer.alloc(0);
  /** Sectors written since the last sync. */
  dirty = new Set<number>();
}

type Change =
  | { readonly kind: "set"; readonly name: string; readonly inode: Inode }
  | { readonly kind: "drop"; readonly name: string }
  | Rename;
interface Rename {
  readonly kind: "rename";
  readonly from: string;
  readonly to: string;
  readonly inode: Inode;
}

class Directory {
  entries = new Map<string, Inode>();
  durable = new Map<string, Inode>();
  changes: Change[] = [];
}

export function hostError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/** One for each call: who waits for a promise is kept for as long as the promise is. */
const never = (): Promise<never> => new Promise(() => undefined);

export class SimulatedDisk implements FileSystem {
  #directories = new Map<string, Directory>();
  #locked = new Set<string>();
  /** Steps taken so far. */
  steps = 0;
  dieAtStep = Infinity;
  fault: Fault | null = null;
  /** Bytes that files may have in all; beyond it a write fails with ENOSPC and writes nothing. */
  capacity = Infinity;
  /** Runs when the machine dies. */
  onDeath: () => void = () => undefined;

  get dead(): boolean {
    return this.steps > this.dieAtStep;
  }

  /** Number of things whose fate a crash now would leave open. */
  losses(): number {
    let count = 0;
    for (const directory of this.#directories.values()) count += directory.changes.length;
    for (const inode of this.#inodes()) count += inode.dirty.size + (inode.cache.length === inode.durable.length ? 0 : 1);
    return count;
  }

  /** The disk of the next boot; this one is left as it is. Things are numbered as `losses` counts them. */
  afterCrash(keep: Keep): SimulatedDisk {
    const next = new SimulatedDisk();
    let n = 0;
    const directories = [...this.#directories].map(([path, directory]) => {
      const entries = new Map(directory.durable);
      for (const change of directory.changes) {
        if (!keep(n++)) continue;
        if (change.kind === "rename") entries.delete(change.from);
        if (change.kind === "drop") entries.delete(change.name);
        else entries.set(change.kind === "rename" ? change.to : change.name, change.inode);
      }
      return { path, entries };
    });
    const copies = new Map<Inode, Inode>();
    for (const inode of this.#inodes()) {
      const grown = inode.cache.length !== inode.durable.length && keep(n++);
      const data = Buffer.alloc(grown ? inode.cache.length : inode.durable.length);
      inode.durable.copy(data);
      for (const sector of [...inode.dirty].sort((a, b) => a - b)) {
        if (keep(n++)) inode.cache.copy(data, sector * SECTOR, sector * SECTOR, (sector + 1) * SECTOR);
      }
      copies.set(inode, Object.assign(new Inode(), { cache: data, durable: data }));
    }
    for (const { path, entries } of directories) {
      const directory = new Directory();
      for (const [name, inode] of entries) directory.entries.set(name, copies.get(inode)!);
      directory.durable = new Map(directory.entries);
      next.#directories.set(path, directory);
    }
    return next;
  }

  /** The process dies, the machine goes on: what was written is there. */
  afterKill(): SimulatedDisk {
    return this.afterCrash(() => true);
  }

  /** Content as a reader sees it; a change of it is rot. */
  content(path: string): Buffer {
    return this.#inode(path).cache;
  }

  replaceContent(path: string, data: Uint8Array): void {
    const inode = this.#inode(path);
    inode.cache = Buffer.from(data);
    inode.durable = Buffer.from(data);
    inode.dirty.clear();
  }

  paths(directory: string): string[] {
    return [...(this.#directories.get(directory)?.entries.keys() ?? [])].sort().map((name) => `${directory}/${name}`);
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#step("makeDirectory", path, () => {
      if (!this.#directories.has(path)) this.#directories.set(path, new Directory());
      const slash = path.lastIndexOf("/");
      const parent = path.slice(0, slash);
      if (slash > 0 && !this.#directories.has(parent)) this.#directories.set(parent, new Directory());
    });
  }

  list(path: string): Promise<string[]> {
    return this.#step("list", path, () => [...this.#directory(path).entries.keys()]);
  }

  open(path: string, mode: OpenMode): Promise<OpenFile> {
    return this.#step("open", path, () => {
      const { directory, name } = this.#split(path);
      if (mode === "create") {
        if (directory.entries.has(name)) throw hostError("EEXIST");
        const inode = new Inode();
        directory.entries.set(name, inode);
        directory.changes.push({ kind: "set", name, inode });
      }
      return this.#file(path, this.#inode(path));
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#step("rename", to, () => {
      const source = this.#split(from);
      const target = this.#split(to);
      const inode = this.#inode(from);
      source.directory.entries.delete(source.name);
      target.directory.entries.set(target.name, inode);
      target.directory.changes.push({ kind: "rename", from: source.name, to: target.name, inode });
    });
  }

  remove(path: string): Promise<void> {
    return this.#step("remove", path, () => {
      const { directory, name } = this.#split(path);
      this.#inode(path);
      directory.entries.delete(name);
      directory.changes.push({ kind: "drop", name });
    });
  }

  syncDirectory(path: string): Promise<void> {
    return this.#step("syncDirectory", path, null, () => {
      const directory = this.#directory(path);
      directory.durable = new Map(directory.entries);
      directory.changes = [];
    });
  }

  lock(path: string): Promise<(() => void) | undefined> {
    return this.#step("lock", path, () => {
      if (this.#locked.has(path)) return undefined;
      this.#locked.add(path);
      return () => void this.#locked.delete(path);
    });
  }

  #file(path: string, inode: Inode): OpenFile {
    const write = (data: Uint8Array, position: number, limit: number | void): number => {
      if (inode.cache === inode.durable) inode.cache = Buffer.from(inode.cache);
      const taken = typeof limit === "number" ? data.subarray(0, limit) : data;
      const end = position + taken.length;
      if (end > inode.cache.length) {
        if (this.usedBytes() + end - inode.cache.length > this.capacity) throw hostError("ENOSPC");
        inode.cache = Buffer.concat([inode.cache, Buffer.alloc(end - inode.cache.length)]);
      }
      inode.cache.set(taken, position);
      for (let sector = Math.floor(position / SECTOR); sector * SECTOR < end; sector++) inode.dirty.add(sector);
      return taken.length;
    };
    const sync = () => {
      if (inode.durable.length === inode.cache.length) {
        for (const sector of inode.dirty) inode.cache.copy(inode.durable, sector * SECTOR, sector * SECTOR, (sector + 1) * SECTOR);
      } else {
        inode.durable = Buffer.from(inode.cache);
      }
      inode.dirty.clear();
    };
    /** The kernel reports the error once and forgets the pages. */
    const drop = () => inode.dirty.clear();
    return {
      read: (into, position) => this.#step("read", path, () => inode.cache.copy(into, 0, position, position + into.length)),
      write: (data, position) => this.#step("write", path, (limit) => write(data, position, limit)),
      writeDurably: async (data, position) => {
        const written = await this.#step("write", path, (limit) => write(data, position, limit));
        if (written === data.length) await this.#step("sync", path, null, sync, drop);
        return written;
      },
      sync: () => this.#step("sync", path, null, sync, drop),
      truncate: (length) =>
        this.#step("truncate", path, () => {
          inode.cache = Buffer.concat([inode.cache.subarray(0, length), Buffer.alloc(Math.max(0, length - inode.cache.length))]);
        }),
      size: () => this.#step("size", path, () => inode.cache.length),
      close: () => this.#step("close", path, () => undefined),
    };
  }

  /**
   * @param now what happens in the cache at once; also when the machine dies in this step
   * @param durable what makes it durable: does not happen when the machine dies in this step
   */
  async #step<T>(
    call: string,
    path: string,
    now: ((limit: number | void) => T) | null,
    durable?: () => T,
    onFault?: () => void,
  ): Promise<T> {
    if (this.dead) return never();
    const number = ++this.steps;
    const dies = number === this.dieAtStep;
    let result: T | undefined;
    try {
      const limit = this.#limitOf({ call, path, number }, onFault);
      result = now?.(limit);
    } catch (error) {
      if (!dies) throw error; // a machine that dies here hears of nothing
    }
    if (dies) {
      this.steps++;
      this.onDeath();
      return never();
    }
    return durable ? durable() : (result as T);
  }

  /** How much of it the device takes. @throws what it was told to fail with */
  #limitOf(step: Parameters<Fault>[0], onFault: (() => void) | undefined): number | void {
    try {
      return this.fault?.(step);
    } catch (error) {
      onFault?.();
      throw error;
    }
  }

  /** Of all files, as `capacity` counts them. */
  usedBytes(): number {
    let bytes = 0;
    for (const { entries } of this.#directories.values()) for (const inode of entries.values()) bytes += inode.cache.length;
    return bytes;
  }

  #inodes(): Set<Inode> {
    const all = new Set<Inode>();
    for (const { durable, entries, changes } of this.#directories.values()) {
      for (const inode of [...durable.values(), ...entries.values()]) all.add(inode);
      for (const change of changes) if (change.kind !== "drop") all.add(change.inode);
    }
    return all;
  }

  #directory(path: string): Directory {
    const directory = this.#directories.get(path);
    if (!directory) throw hostError("ENOENT");
    return directory;
  }

  #split(path: string): { directory: Directory; name: string } {
    const slash = path.lastIndexOf("/");
    return { directory: this.#directory(path.slice(0, slash)), name: path.slice(slash + 1) };
  }

  #inode(path: string): Inode {
    const { directory, name } = this.#split(path);
    const inode = directory.entries.get(name);
    if (!inode) throw hostError("ENOENT");
    return inode;
  }
}
