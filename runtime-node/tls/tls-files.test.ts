/** Forms of files that are taken. What is refused, and in which words, is tested on the command line: test/tls/client-tls.test.ts. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { Authority, type Issued, hasOpenssl, text } from "../../test/helpers/authority.ts";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { readTlsFiles } from "./tls-files.ts";

let directory: string;
let authority: Authority;
let issued: Issued;
const openssl = (...args: string[]): Buffer => execFileSync("openssl", args, { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
const write = (name: string, content: string): string => {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
};
const read = (files: Record<string, string>, nowMs = Date.now()) =>
  readTlsFiles(Object.fromEntries(Object.entries(files).map(([role, path]) => [role, { flag: `${role}-file`, path }])), {}, nowMs);

describe.skipIf(!hasOpenssl())("readTlsFiles()", () => {
  beforeAll(() => {
    directory = tempDir("files");
    authority = new Authority(directory);
    issued = authority.issue("one");
  });

  test("takes keys as PKCS #8, SEC 1 with and without parameters, and PKCS #1", () => {
    const forms = [issued.key, write("sec1.key", openssl("ec", "-in", issued.key).toString())];
    const parameters = openssl("ecparam", "-name", "prime256v1").toString();
    forms.push(write("parameters.key", parameters + text(forms[1]!)));
    for (const key of forms) expect(read({ cert: issued.cert, key }).warnings).toEqual([]);
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=rsa", "-keyout", "rsa.key", "-out", "rsa.pem");
    const pkcs1 = write("pkcs1.key", openssl("rsa", "-in", "rsa.key", "-traditional").toString());
    expect(text(pkcs1)).toContain("BEGIN RSA PRIVATE KEY");
    expect(read({ cert: join(directory, "rsa.pem"), key: pkcs1 }).certificate?.subject).toBe("CN=rsa");
  });

  test("takes a chain with words between its certificates, and the key in the same file", () => {
    const all = write(
      "all.pem",
      `the server\r\n${text(issued.cert)}\nits authority\n${text(authority.cert)}${text(issued.key)}`.replaceAll("\n", "\r\n"),
    );
    const { options, certificate } = read({ cert: all, key: all, ca: all });
    expect(certificate?.subject).toBe("CN=one");
    expect(String(options.cert).match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(options.ca).toHaveLength(2);
  });

  test("takes several lists of revoked certificates in one file", () => {
    const other = new Authority(directory, "other");
    const lists = write("lists.pem", text(authority.revocationList()) + text(other.revocationList()));
    expect(read({ ca: authority.cert, crl: lists }).options.crl).toHaveLength(2);
  });

  test("refuses a key with a passphrase, and says what to do", () => {
    openssl("pkcs8", "-topk8", "-in", issued.key, "-passout", "pass:secret", "-out", "locked.key");
    const key = join(directory, "locked.key");
    expect(() => read({ cert: issued.cert, key })).toThrow(
      `--key-file is ${JSON.stringify(key)}, which is encrypted: give a key without a passphrase`,
    );
  });

  test("warns of what has expired and of what is not valid yet, also among the authorities", () => {
    const DAY_MS = 86_400_000;
    const files = { cert: issued.cert, key: issued.key, ca: authority.cert };
    expect(read(files).warnings).toEqual([]);
    expect(read(files, Date.now() + 30 * DAY_MS).warnings).toEqual([
      expect.stringMatching(/^the certificate of CN=one in --cert-file .* has expired: /),
      expect.stringMatching(/^the certificate of CN=authority in --ca-file .* has expired: /),
    ]);
    expect(read(files, Date.now() - 30 * DAY_MS).warnings).toHaveLength(2);
  });
});
