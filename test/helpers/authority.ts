/** A certificate authority for tests, made with openssl: it issues certificates to files, and takes them back. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Issued {
  /** Paths. */
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** Default: the name of the files. */
  readonly commonName?: string;
  /** As openssl writes them. Default: `IP:127.0.0.1,DNS:localhost`; empty: none. */
  readonly alternativeNames?: string;
  /** As openssl writes them; default: now, and in two days. */
  readonly from?: string;
  readonly to?: string;
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

export function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"]);
    return true;
  } catch {
    return false;
  }
}

export class Authority {
  /** Its own certificate. */
  readonly cert: string;
  readonly #directory: string;
  readonly #name: string;

  /** @param directory where its files and those that it issues are put */
  constructor(directory: string, name = "authority") {
    this.#directory = directory;
    this.#name = name;
    this.cert = this.#path(`${name}.pem`);
    mkdirSync(this.#path(`${name}.issued`));
    writeFileSync(this.#path(`${name}.index`), "");
    writeFileSync(this.#path(`${name}.serial`), "1000\n");
    const lines = ["[ca]", "default_ca = own", "[own]", `database = ${name}.index`, `serial = ${name}.serial`, `certificate = ${name}.pem`];
    lines.push(
      `private_key = ${name}.key`,
      `new_certs_dir = ${name}.issued`,
      "default_md = sha256",
      "default_crl_days = 2",
      "policy = any",
    );
    lines.push("copy_extensions = copy", "unique_subject = no", "default_days = 2", "[any]", "commonName = supplied");
    writeFileSync(this.#path(`${name}.cnf`), lines.join("\n") + "\n");
    this.#run(["req", "-x509", ...EC, "-keyout", `${name}.key`, "-out", `${name}.pem`, "-days", "2", "-subj", `/CN=${name}`]);
  }

  /** @param file name of the files, without their ends; those of that name are written over */
  issue(file: string, options: CertificateOptions = {}): Issued {
    const names = options.alternativeNames ?? "IP:127.0.0.1,DNS:localhost";
    const asked = ["req", "-new", ...EC, "-keyout", `${file}.key`, "-out", `${file}.csr`, "-subj", `/CN=${options.commonName ?? file}`];
    this.#run(names === "" ? asked : [...asked, "-addext", `subjectAltName=${names}`]);
    const times = [
      ...(options.from === undefined ? [] : ["-startdate", options.from]),
      ...(options.to === undefined ? [] : ["-enddate", options.to]),
    ];
    this.#run(["ca", "-batch", "-notext", "-config", `${this.#name}.cnf`, ...times, "-in", `${file}.csr`, "-out", `${file}.pem`]);
    return { cert: this.#path(`${file}.pem`), key: this.#path(`${file}.key`) };
  }

  revoke({ cert }: Issued): void {
    this.#run(["ca", "-config", `${this.#name}.cnf`, "-revoke", cert]);
  }

  /** Writes what was taken back until now. @returns the path */
  revocationList(form: "PEM" | "DER" = "PEM"): string {
    this.#run(["ca", "-config", `${this.#name}.cnf`, "-gencrl", "-out", `${this.#name}.crl`]);
    if (form === "DER") this.#run(["crl", "-in", `${this.#name}.crl`, "-outform", "DER", "-out", `${this.#name}.crl`]);
    return this.#path(`${this.#name}.crl`);
  }

  #path(file: string): string {
    return join(this.#directory, file);
  }

  #run(args: readonly string[]): void {
    execFileSync("openssl", args, { cwd: this.#directory, stdio: ["ignore", "ignore", "pipe"] });
  }
}

export const text = (path: string): string => readFileSync(path, "utf8");
