/** The simulated disk with time: what is written is in the cache at once and durable later, so that a crash can come in between. */
import type { FileSystem, OpenFile, OpenMode } from "../../../adapters/file-storage/file-system.ts";
import type { SimulatedDisk } from "../../helpers/simulated-disk.ts";
import type { Life } from "./life.ts";

export class SlowDisk implements FileSystem {
  readonly #disk: SimulatedDisk;
  readonly #life: Life;
  readonly #latency: () => number;

  /** @param latency milliseconds of the next write or sync */
  constructor(disk: SimulatedDisk, life: Life, latency: () => number) {
    this.#disk = disk;
    this.#life = life;
    this.#latency = latency;
  }

  #wait(): Promise<void> {
    return this.#life.sleep(this.#latency());
  }

  makeDirectory(path: string): Promise<void> {
    return this.#disk.makeDirectory(path);
  }

  list(directory: string): Promise<string[]> {
    return this.#disk.list(directory);
  }

  async open(path: string, mode: OpenMode): Promise<OpenFile> {
    const file = await this.#disk.open(path, mode);
    return {
      read: (into, position) => file.read(into, position),
      write: (data, position) => file.write(data, position),
      writeDurably: async (data, position) => {
        const written = await file.write(data, position);
        await this.#wait();
        if (written === data.length) await file.sync();
        return written;
      },
      sync: async () => {
        await this.#wait();
        await file.sync();
      },
      truncate: (length) => file.truncate(length),
      size: () => file.size(),
      close: () => file.close(),
    };
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#disk.rename(from, to);
    await this.#wait();
  }

  async remove(path: string): Promise<void> {
    await this.#disk.remove(path);
    await this.#wait();
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#wait();
    await this.#disk.syncDirectory(path);
  }

  lock(path: string): Promise<(() => void) | undefined> {
    return this.#disk.lock(path);
  }
}
