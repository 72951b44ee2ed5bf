/**
 * Certificates, keys, authorities and revocation lists, read from files and checked before anything is served with them: a mistake is told
 * by the name of its flag, its file and what is wrong, and a bad renewal never takes the place of what works.
 */
import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { type SecureContextOptions, createSecureContext } from "node:tls";
import { ConfigError } from "../config.ts";

/** A file, and the flag that named it, without dashes. */
export interface TlsFile {
  readonly flag: string;
  readonly path: string;
}

export interface TlsFiles {
  /** The own certificate, followed by those between it and its authority. */
  readonly cert?: TlsFile | undefined;
  readonly key?: TlsFile | undefined;
  /** Authorities whose certificates others may show. */
  readonly ca?: TlsFile | undefined;
  /** Certificates that these authorities have taken back. */
  readonly crl?: TlsFile | undefined;
}

export interface TlsMaterial {
  readonly options: SecureContextOptions;
  /** What is odd and no error, such as a certificate that has expired. */
  readonly warnings: readonly string[];
  /** Of the own certificate, for the log; left out when there is none. */
  readonly certificate?: { readonly subject: string; readonly validTo: string };
}

/**
 * @param base of every connection: versions, cipher suites
 * @throws ConfigError for the first file that cannot be used
 */
export function readTlsFiles(files: TlsFiles, base: SecureContextOptions, nowMs: number): TlsMaterial {
  const options: SecureContextOptions = { ...base };
  const warnings: string[] = [];
  let own: X509Certificate | undefined;
  if (files.cert !== undefined) {
    const chain = certificatesOf(files.cert);
    own = chain[0]!;
    options.cert = chain.map((one) => one.toString()).join("");
    warnings.push(...ageOf(own, files.cert, nowMs));
  }
  if (files.key !== undefined) {
    const text = read(files.key);
    const key = privateKey(text, files.key);
    if (own !== undefined && !own.checkPrivateKey(key)) {
      throw refusal(files.key, `which is not the key of the certificate in --${files.cert!.flag} ${quoted(files.cert!.path)}`);
    }
    options.key = text;
  }
  if (files.ca !== undefined) {
    const authorities = certificatesOf(files.ca);
    options.ca = authorities.map((one) => one.toString());
    warnings.push(...authorities.flatMap((one) => ageOf(one, files.ca!, nowMs)));
  }
  if (files.crl !== undefined) options.crl = revocationLists(files.crl);
  try {
    createSecureContext(options);
  } catch (error) {
    const blamed = files.cert ?? files.ca;
    const why = `TLS does not take: ${(error as Error).message}`;
    throw blamed === undefined ? new ConfigError(why) : refusal(blamed, `which ${why}`);
  }
  return { options, warnings, ...(own === undefined ? {} : { certificate: { subject: lineOf(own.subject), validTo: own.validTo } }) };
}

const quoted = (text: string): string => JSON.stringify(text);
const refusal = ({ flag, path }: TlsFile, why: string): ConfigError => new ConfigError(`--${flag} is ${quoted(path)}, ${why}`);
/** Node writes the parts of a name a line each. */
const lineOf = (name: string): string => name.split("\n").join(", ");

function read(file: TlsFile): Buffer {
  try {
    return readFileSync(file.path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw refusal(file, "which does not exist");
    throw refusal(file, `which cannot be read: ${code === "EACCES" ? "permission denied" : message}`);
  }
}

function blocksOf(text: Buffer, label: string): string[] {
  return text.toString("latin1").match(new RegExp(`-----BEGIN ${label}-----[^-]*-----END ${label}-----`, "g")) ?? [];
}

function certificatesOf(file: TlsFile): X509Certificate[] {
  const blocks = blocksOf(read(file), "(?:X509 |TRUSTED )?CERTIFICATE");
  if (blocks.length === 0) throw refusal(file, "which holds no certificate in PEM");
  return blocks.map((block, at) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw refusal(file, `whose certificate ${at + 1} cannot be read: ${(error as Error).message}`);
    }
  });
}

function privateKey(content: Buffer, file: TlsFile): ReturnType<typeof createPrivateKey> {
  const text = content.toString("latin1");
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) throw refusal(file, "which holds no private key in PEM");
  if (/-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(text))
    throw refusal(file, "which is encrypted: give a key without a passphrase");
  try {
    return createPrivateKey(content);
  } catch (error) {
    throw refusal(file, `whose private key cannot be read: ${(error as Error).message}`);
  }
}

/** In PEM or, as `openssl ca -gencrl -outform DER` and many authorities on the Web give them, in DER. */
function revocationLists(file: TlsFile): string[] {
  const content = read(file);
  const blocks = blocksOf(content, "X509 CRL");
  if (blocks.length === 0) {
    const lines = content.toString("base64").match(/.{1,64}/g) ?? [];
    blocks.push(`-----BEGIN X509 CRL-----\n${lines.join("\n")}\n-----END X509 CRL-----\n`);
  }
  try {
    createSecureContext({ crl: blocks });
  } catch {
    throw refusal(file, "which holds no list of revoked certificates, in PEM or DER");
  }
  return blocks;
}

function ageOf({ subject, validFrom, validTo }: X509Certificate, { flag, path }: TlsFile, nowMs: number): string[] {
  const what = `the certificate of ${lineOf(subject)} in --${flag} ${quoted(path)}`;
  if (Date.parse(validTo) < nowMs) return [`${what} has expired: ${validTo}`];
  return Date.parse(validFrom) > nowMs ? [`${what} is not valid yet: before ${validFrom}`] : [];
}
