/**
 * Certificates for a try-out (`--auto-tls`): connections are encrypted, but nobody can know whom they lead to, unless the certificate is
 * handed out. Kept in the data directory where etcd keeps its own, and made anew when it has expired.
 */
import { X509Certificate, createPrivateKey } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";

const YEAR_MS = 365 * 24 * 3_600_000;
const LOCAL = ["localhost", "127.0.0.1", "::1"];

export interface SelfSignedOptions {
  /** Made when it is missing. */
  readonly directory: string;
  /** Names and addresses under which the server is reached; `0.0.0.0` and `::` stand for all of this machine's. */
  readonly hosts: readonly string[];
  readonly validYears: number;
  readonly nowMs: number;
}

export interface SelfSigned {
  readonly cert: string;
  readonly key: string;
  /** Made now, not found. */
  readonly isNew: boolean;
}

/** @returns the paths of certificate and key. @throws the host's error when they cannot be written */
export async function selfSigned(options: SelfSignedOptions): Promise<SelfSigned> {
  const { directory, nowMs } = options;
  const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  if (isUsable(cert, key, nowMs)) return { cert, key, isNew: false };
  const made = await make(options);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const [path, text] of [
    [key, made.key],
    [cert, made.cert],
  ] as const) {
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
  return { cert, key, isNew: true };
}

function isUsable(cert: string, key: string, nowMs: number): boolean {
  try {
    const found = new X509Certificate(readFileSync(cert));
    return Date.parse(found.validTo) > nowMs && found.checkPrivateKey(createPrivateKey(readFileSync(key)));
  } catch {
    return false; // missing or damaged: made anew
  }
}

async function make({ hosts, validYears, nowMs }: SelfSignedOptions): Promise<{ cert: string; key: string }> {
  // The library wants this before it; both are loaded by those alone who ask for such a certificate.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const names = [...new Set([...LOCAL, ...hosts.flatMap(namesOf)])];
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "O=quorate",
    notBefore: new Date(nowMs),
    notAfter: new Date(nowMs + validYears * YEAR_MS),
    keys,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const), value })),
      ),
    ],
  });
  const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  return {
    cert: `${certificate.toString("pem")}\n`,
    key: createPrivateKey({ key, format: "der", type: "pkcs8" }).export({ type: "pkcs8", format: "pem" }) as string,
  };
}

function namesOf(host: string): string[] {
  if (host !== "0.0.0.0" && host !== "::") return [host];
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address.replace(/%.*$/, "")));
}
