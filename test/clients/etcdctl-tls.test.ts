/** `etcdctl` over TLS with certificates on both sides, with an endpoint as a URL and without, against a real etcd and this project's server. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority, hasOpenssl, type Issued } from "../helpers/authority.ts";
import { freePort } from "../helpers/free-port.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { CAN_COMPARE, SIDES } from "./sides.ts";
import { Transcript } from "./transcript.ts";
import { untilTrue } from "../helpers/until-ready.ts";

/** Sides are tried side by side, the tests of one in turn. */
const IN_TURN = { concurrent: false };

describe.skipIf(!CAN_COMPARE || !hasOpenssl()).each(SIDES)("etcdctl over mTLS on %s", { concurrent: true }, (side) => {
  let server: ServerProcess;
  let shell: Transcript;
  let authority: Authority;
  let client: Issued;
  let url: string;

  beforeAll(async () => {
    authority = new Authority(tempDir("clients"));
    const own = authority.issue("server");
    client = authority.issue("client", { commonName: "root" });
    const port = await freePort();
    url = `https://127.0.0.1:${port}`;
    const flags = ["--listen-client-urls", url, "--advertise-client-urls", url, "--cert-file", own.cert, "--key-file", own.key];
    flags.push("--client-cert-auth", "--trusted-ca-file", authority.cert);
    server = await (side === "etcd" ? startEtcd : startQuorate)({ port, flags, waitReady: false });
    const files = { ETCDCTL_CACERT: authority.cert, ETCDCTL_CERT: client.cert, ETCDCTL_KEY: client.key };
    shell = new Transcript({ url, env: files });
    await untilTrue(async () => (await shell.quietly("etcdctl get ready")).code === 0, { timeoutMs: 20_000, what: () => server.output() });
  });
  afterAll(() => server.stop());

  test("put, get, watch, lease, endpoint, snapshot, lock", IN_TURN, async () => {
    const prints = async (command: string, pattern: RegExp): Promise<void> =>
      expect(await shell.quietly(command)).toMatchObject({ code: 0, stdout: expect.stringMatching(pattern) as string });
    await prints("etcdctl put a 1", /^OK\n$/);
    await prints("etcdctl get a", /^a\n1\n$/);
    await prints("etcdctl lease grant 10", /granted with TTL\(10s\)/);
    await prints("etcdctl endpoint status", /^https:.*, true, false/);
    await prints(`ETCDCTL_ENDPOINTS=${url.slice("https://".length)} etcdctl endpoint status`, /^127.*, true, false/);
    await prints("etcdctl endpoint hashkv", /, \d+\n$/);
    await prints("etcdctl defrag", /Finished/);
    await prints(`etcdctl snapshot save ${tempDir("clients")}/s 2>/dev/null`, /Snapshot saved/);
    await prints("etcdctl lock l echo inside", /inside/);
    const watching = shell.start("etcdctl watch a --rev=1");
    await watching.until(/PUT\na\n1\n/);
    await watching.kill();
  });

  test("a client without a certificate, or with one of a stranger, is refused", IN_TURN, async () => {
    const stranger = new Authority(tempDir("clients"), "stranger").issue("client");
    for (const env of [{}, { ETCDCTL_CERT: stranger.cert, ETCDCTL_KEY: stranger.key }]) {
      const refused = new Transcript({ url, env: { ETCDCTL_CACERT: authority.cert, ...env } });
      expect((await refused.quietly("etcdctl get a --dial-timeout=1s --command-timeout=1s")).code).toBe(1);
    }
  });

  test("the common name of the certificate is the user", IN_TURN, async () => {
    await shell.quietly("etcdctl user add root:pw; etcdctl user grant-role root root; etcdctl auth enable");
    expect((await shell.quietly("etcdctl get a")).stdout).toBe("a\n1\n");
    const other = authority.issue("other", { commonName: "nobody" });
    const nobody = new Transcript({ url, env: { ...shell.env, ETCDCTL_CERT: other.cert, ETCDCTL_KEY: other.key } });
    expect((await nobody.quietly("etcdctl get a")).stderr).toContain("etcdserver: permission denied");
    expect((await shell.quietly("etcdctl auth disable")).code).toBe(0);
  });
});
