/**
 * How a member without a log begins: it founds a new cluster together with the others that `--initial-cluster` names, or joins one that
 * is there and has been told of it (`member add`). As etcd's static bootstrap:
 * https://etcd.io/docs/v3.4/op-guide/clustering/#static
 */
import { QuorateError } from "../../core/errors.ts";
import type { ConsensusMember } from "../../core/replica/consensus-port.ts";
import type { Identity } from "../../core/replica/log-storage-port.ts";
import type { Beginning } from "../../core/replica/raft-consensus.ts";
import type { Greeting } from "../../core/replica/transport-port.ts";
import { clusterIdOf, memberIdOf } from "./ids.ts";
import { type NamedMember, sameUrls } from "./initial-cluster.ts";

export interface BeginningOptions {
  readonly state: "new" | "existing";
  /** This member among them. */
  readonly initialCluster: readonly NamedMember[];
  readonly name: string;
  readonly token: string;
  readonly peerUrls: readonly string[];
  /** Asks whoever listens at an address who the members are. @throws when nobody answers */
  readonly greet: (url: string) => Promise<Greeting>;
  readonly newDiskId: () => string;
  readonly pause: (ms: number) => Promise<void>;
  readonly onNotice: (message: string, details: Record<string, unknown>) => void;
}

/** How long a member that is to join asks around before it gives up, and how often. */
const JOIN_ATTEMPTS = 30;
const JOIN_PAUSE_MS = 1_000;

/**
 * @param known who the directory belongs to already
 * @throws QuorateError notAdded, alreadyStarted, noPeer
 */
export function beginningOf(options: BeginningOptions, known: Identity | null): Promise<Beginning> {
  return options.state === "new" ? found(options, known) : join(options, known);
}

async function found(options: BeginningOptions, known: Identity | null): Promise<Beginning> {
  const { initialCluster, token, name } = options;
  const founding = initialCluster.map((one) => ({
    id: memberIdOf(one.peerUrls, token),
    meta: { name: one.name, peerUrls: one.peerUrls, clientUrls: [] },
  }));
  const clusterId = clusterIdOf(founding.map(({ id }) => id));
  const memberId = founding.find(({ meta }) => meta.name === name)!.id;
  if (known !== null && (known.memberId !== memberId || known.clusterId !== clusterId)) {
    throw new QuorateError(
      "failedPrecondition",
      "otherCluster",
      "the data directory was begun for another --initial-cluster or --initial-cluster-token, and holds nothing yet: delete it",
    );
  }
  if (known === null) await refuseSecondLife(options, clusterId, memberId);
  return { identity: known ?? { clusterId, memberId, diskId: options.newDiskId() }, founding, joinIndex: 0, bootstrapPeers: [] };
}

/**
 * A founder that has been up before and comes with an empty disk has forgotten its votes and what it acknowledged. Whoever can be
 * asked now says so; those who cannot be asked recognise the disk later (`MemberMeta.diskId`).
 */
async function refuseSecondLife(options: BeginningOptions, clusterId: string, memberId: string): Promise<void> {
  const others = options.initialCluster.filter(({ name }) => name !== options.name).flatMap(({ peerUrls }) => peerUrls);
  const answers = await Promise.allSettled(others.map((url) => options.greet(url)));
  for (const answer of answers) {
    if (answer.status === "rejected" || answer.value.clusterId !== clusterId) continue;
    const self = membersIn(answer.value).find(({ id }) => id === memberId);
    if (self !== undefined && self.meta.boot === undefined) continue;
    throw new QuorateError(
      "failedPrecondition",
      "alreadyStarted",
      `member ${hex(memberId)} has already been bootstrapped, and its data directory is empty: remove the member and add it as a new one`,
      { memberId },
    );
  }
}

async function join(options: BeginningOptions, known: Identity | null): Promise<Beginning> {
  const greeting = await greetAny(options);
  const members = membersIn(greeting);
  const self =
    known === null
      ? members.find(({ meta }) => sameUrls(meta.peerUrls, options.peerUrls))
      : members.find(({ id }) => id === known.memberId);
  if (self === undefined || (known !== null && known.clusterId !== greeting.clusterId)) {
    throw new QuorateError(
      "failedPrecondition",
      "notAdded",
      `the cluster knows no member at ${options.peerUrls.join(",")}: add it first (member add), with the addresses of --initial-advertise-peer-urls`,
    );
  }
  if (known === null && self.meta.boot !== undefined) {
    throw new QuorateError(
      "failedPrecondition",
      "alreadyStarted",
      `member ${hex(self.id)} has been started before, and its data directory is empty: remove the member and add it as a new one`,
    );
  }
  return {
    identity: known ?? { clusterId: greeting.clusterId, memberId: self.id, diskId: options.newDiskId() },
    founding: [],
    joinIndex: greeting.configIndex,
    bootstrapPeers: members.filter(({ id }) => id !== self.id).map(({ id, meta }) => ({ id, urls: meta.peerUrls })),
  };
}

/** The first answer of anybody whom `--initial-cluster` names. They may still be on their way up. */
async function greetAny(options: BeginningOptions): Promise<Greeting> {
  const urls = options.initialCluster.filter(({ name }) => name !== options.name).flatMap(({ peerUrls }) => peerUrls);
  if (urls.length === 0) {
    throw new QuorateError(
      "failedPrecondition",
      "noPeer",
      "--initial-cluster-state is existing, and --initial-cluster names no member of that cluster but this one",
    );
  }
  const problems: string[] = [];
  for (let attempt = 1; attempt <= JOIN_ATTEMPTS; attempt++) {
    problems.length = 0;
    for (const url of urls) {
      try {
        return await options.greet(url);
      } catch (error) {
        problems.push(`${url}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    options.onNotice("nobody of --initial-cluster answers yet; asking again", { problems });
    await options.pause(JOIN_PAUSE_MS);
  }
  throw new QuorateError("unavailable", "noPeer", `nobody of --initial-cluster answered: ${problems.join("; ")}`);
}

/** What came over the wire and has the form of a member. */
function membersIn({ members }: Greeting): ConsensusMember[] {
  return members.filter((value): value is ConsensusMember => {
    const { id, meta } = (value ?? {}) as { id?: unknown; meta?: { peerUrls?: unknown } };
    return typeof id === "string" && Array.isArray(meta?.peerUrls) && meta.peerUrls.every((url) => typeof url === "string");
  });
}

const hex = (id: string): string => BigInt(id).toString(16);
