/**
 * The certificates with which connections are made now. The files are looked at with each connection, as etcd does, and now and then
 * between: a renewed certificate is used by the next connection, and those that are open live on. What cannot be used is logged once, and
 * what was there before goes on being used.
 */
import { statSync } from "node:fs";
import type { SecureContextOptions } from "node:tls";
import { errorCode } from "../../adapters/file-storage/file-system.ts";
import { type TlsFile, type TlsFiles, type TlsMaterial, readTlsFiles } from "./tls-files.ts";

export type TlsNotice = (level: "info" | "warn" | "error", message: string, details?: Record<string, unknown>) => void;

export interface TlsSourceOptions {
  /** For the log: "clients", "members". */
  readonly name: string;
  readonly files: TlsFiles;
  /** Versions and cipher suites. */
  readonly base: SecureContextOptions;
  readonly notice: TlsNotice;
  readonly nowMs: () => number;
}

export class TlsSource {
  readonly #options: TlsSourceOptions;
  #material: TlsMaterial;
  /** Of the files that were read last, good or bad. */
  #seen: string;

  /** @throws ConfigError for a file that cannot be used */
  constructor(options: TlsSourceOptions) {
    this.#options = options;
    this.#seen = this.#look();
    this.#material = readTlsFiles(options.files, options.base, options.nowMs());
    for (const warning of this.#material.warnings) options.notice("warn", warning);
  }

  /** For the next connection. The same object as long as nothing has changed. */
  current(): SecureContextOptions {
    this.refresh();
    return this.#material.options;
  }

  /** Reads the files anew if one of them has changed. */
  refresh(): void {
    const seen = this.#look();
    if (seen === this.#seen) return;
    this.#seen = seen;
    const { files, base, name, notice, nowMs } = this.#options;
    try {
      this.#material = readTlsFiles(files, base, nowMs());
    } catch (error) {
      notice("error", `the changed certificates for ${name} cannot be used; those from before stay: ${(error as Error).message}`);
      return;
    }
    notice(
      "info",
      `the certificates for ${name} were read anew`,
      this.#material.certificate === undefined ? {} : { ...this.#material.certificate },
    );
    for (const warning of this.#material.warnings) notice("warn", warning);
  }

  /** A name for the state of the files. A file that is swapped by a link, as in Kubernetes' secrets, is another file. */
  #look(): string {
    const { cert, key, ca, crl } = this.#options.files;
    return [cert, key, ca, crl].map((file) => (file === undefined ? "" : stateOf(file))).join(" ");
  }
}

/** What is wrong with a file is told when it is read. */
function stateOf({ path }: TlsFile): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
  } catch (error) {
    return errorCode(error) ?? String(error);
  }
}
