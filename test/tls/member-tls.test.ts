/** TLS between members, on real processes: whom they take for a member, and certificates that change. */
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Authority, type Issued, hasOpenssl, text } from "../helpers/authority.ts";
import { Cluster, type ClusterMember } from "../helpers/start-cluster.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";

let authority: Authority;
let cluster: Cluster | undefined;
beforeEach(() => {
  authority = new Authority(tempDir("tls"));
});
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

const flagsOf = ({ cert, key }: Issued): string[] => [
  "--peer-cert-file",
  cert,
  "--peer-key-file",
  key,
  "--peer-trusted-ca-file",
  authority.cert,
];

async function start(...flags: string[]): Promise<Cluster> {
  cluster = await Cluster.start({ size: 3, scheme: "https", flags });
  return cluster;
}

const put = async (url: string, value: string): Promise<number> =>
  (await fetch(`${url}/v2/keys/k`, { method: "PUT", body: new URLSearchParams({ value }) })).status;

/** @returns a member that leads, and another one */
async function leaderAndOther(running: Cluster): Promise<[ClusterMember, ClusterMember]> {
  const leader = await running.untilLeader();
  return [running.member(leader), running.members.find(({ name }) => name !== leader)!];
}

/** The certificate that whoever connects to a member is shown. */
function shown({ peerUrl }: ClusterMember, issued: Issued): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname: host, port } = new URL(peerUrl);
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false, cert: text(issued.cert), key: text(issued.key) }, () => {
      resolve(socket.getPeerX509Certificate()!.subject);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

describe.skipIf(!hasOpenssl())("members over TLS", { timeout: 60_000 }, () => {
  test("agree with certificates of their own making", async () => {
    const running = await start("--peer-auto-tls");
    const [leader, other] = await leaderAndOther(running);
    expect(await put(other.url, "1")).toBe(201);
    for (const { dataDir } of running.members) expect(existsSync(join(dataDir, "fixtures", "peer", "cert.pem"))).toBe(true);
    await running.restart(other.name);
    expect(await put(leader.url, "2")).toBe(200);
  });

  test("take nobody without a certificate of their authority, or with another name than is allowed", async () => {
    const [member, stranger] = [authority.issue("member"), authority.issue("stranger")];
    const running = await start(...flagsOf(member), "--peer-cert-allowed-cn", "member");
    const [leader, other] = await leaderAndOther(running);
    await running.restart(other.name, flagsOf(stranger), false);
    // Whoever connects to it, and whom it connects to.
    const told = 'the certificate has the common name \\"stranger\\", not member (--peer-cert-allowed-cn)';
    const { output } = leader.process;
    await untilTrue(() => output().includes(`"reason":"TLS: ${told}`), { what: output });
    await untilTrue(
      () =>
        output()
          .split("\n")
          .some((line) => line.includes("no connection to member") && line.includes(told)),
      { what: output },
    );
    expect(await put(leader.url, "1")).toBe(201);
    const unknown = new Authority(tempDir("tls"), "unknown").issue("member");
    await running.restart(other.name, flagsOf(unknown), false);
    const outcome = () => /"reason":"TLS: (?!the certificate)/.test(leader.process.output());
    await untilTrue(outcome, { what: leader.process.output });
    await running.restart(other.name);
    expect(await put(running.member(other.name).url, "2")).toBe(200);
  });

  test("take nobody whose certificate was taken back, and only those with an allowed alternative name", async () => {
    const [member, lost, named] = [
      authority.issue("member"),
      authority.issue("lost"),
      authority.issue("named", { alternativeNames: "IP:127.0.0.1,DNS:x.test" }),
    ];
    const list = authority.revocationList();
    const running = await start(...flagsOf(member), "--peer-crl-file", list, "--peer-cert-allowed-hostname", "localhost");
    const [leader, other] = await leaderAndOther(running);
    await running.restart(other.name, flagsOf(lost));
    authority.revoke(lost);
    authority.revocationList();
    await running.restart(other.name, flagsOf(lost), false);
    await untilTrue(() => leader.process.output().includes("certificate revoked"), { what: leader.process.output });
    await running.restart(other.name, flagsOf(named), false);
    await untilTrue(() => leader.process.output().includes("--peer-cert-allowed-hostname"), { what: leader.process.output });
    await running.restart(other.name);
    expect(await put(running.member(other.name).url, "1")).toBe(201);
  });

  test("meet with renewed certificates, also of another authority, without a restart of those that are up", async () => {
    const member = authority.issue("member");
    const running = await start(...flagsOf(member));
    const [leader, other] = await leaderAndOther(running);
    const next = new Authority(tempDir("tls"), "next");
    const renewed = next.issue("renewed");
    for (const [from, to] of [
      [next.cert, authority.cert],
      [renewed.cert, member.cert],
      [renewed.key, member.key],
    ] as const) {
      copyFileSync(from, to);
    }
    expect(await shown(leader, renewed)).toBe("CN=renewed");
    await running.restart(other.name);
    expect(await put(running.member(other.name).url, "1")).toBe(201);
  });
});
