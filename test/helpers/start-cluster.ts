/** A cluster of real servers, ours or etcd's: members with fixed ports, each with its own directory, that can be ended and started again. */
import { freePorts } from "./free-port.ts";
import { defaultRuntime, type Runtime } from "./runtimes.ts";
import { QUORATE_SCRIPT } from "./start-quorate.ts";
import { startServer, type ServerProcess } from "./start-server.ts";
import { tempDir } from "./temp-dir.ts";
import { untilTrue } from "./until-ready.ts";

export interface ClusterMember {
  readonly name: string;
  readonly url: string;
  readonly peerUrl: string;
  /** Where the others are told to find it. */
  readonly advertised: string;
  readonly dataDir: string;
  /** The process that runs, or ran last. */
  process: ServerProcess;
}

export interface ClusterOptions {
  readonly size: number;
  readonly kind?: "quorate" | "etcd";
  /** Further flags of every member. */
  readonly flags?: readonly string[];
  /** Where members are told to find one another instead of at their own address: through something that stands between. */
  readonly advertise?: (member: { readonly name: string; readonly peerUrl: string }) => Promise<string>;
  readonly scheme?: "http" | "https";
  /** The program to run instead of this checkout's: another release's. */
  readonly script?: string;
  /** What each member runs on. Default: Node, or what `QUORATE_TEST_RUNTIME` says. */
  readonly runtime?: (name: string) => Runtime;
  readonly env?: (name: string) => Readonly<Record<string, string>>;
}

interface Place {
  readonly name: string;
  readonly url: string;
  readonly peerUrl: string;
  /** Where the others are told to find it. */
  readonly advertised: string;
  readonly dataDir: string;
}

/** What `/v3/maintenance/status` says, as far as tests look at it. */
export interface MemberStatus {
  readonly id: string;
  readonly leader: string;
  readonly term: number;
  readonly applied: number;
  readonly revision: number;
  readonly learner: boolean;
}

export class Cluster {
  readonly members: ClusterMember[] = [];
  readonly #options: ClusterOptions;

  private constructor(options: ClusterOptions) {
    this.#options = options;
  }

  /** Resolves when all members serve. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options);
    const places = await Promise.all(Array.from({ length: options.size }, (_, n) => cluster.place(`m${n + 1}`)));
    const initial = places.map((one) => `${one.name}=${one.advertised}`).join(",");
    const started = await Promise.all(places.map((one) => cluster.#run(one, ["--initial-cluster", initial])));
    cluster.members.push(...started);
    return cluster;
  }

  get urls(): string[] {
    return this.members.map(({ url }) => url);
  }

  async #run(one: Place, flags: readonly string[], waitReady = true): Promise<ClusterMember> {
    const etcd = this.#options.kind === "etcd";
    const runtime = this.#options.runtime?.(one.name) ?? defaultRuntime();
    const scheme = one.peerUrl.replace(/:\/\/.*/, "");
    const args = [
      ...(etcd ? ["--enable-v2", "--logger=zap", "--log-level=error"] : [...runtime.args, this.#options.script ?? QUORATE_SCRIPT, "serve"]),
      ...["--name", one.name, "--data-dir", one.dataDir],
      ...["--listen-client-urls", one.url, "--advertise-client-urls", one.url],
      ...["--listen-peer-urls", `${scheme}://127.0.0.1:${new URL(one.peerUrl).port}`],
      ...["--initial-advertise-peer-urls", one.advertised],
      ...(this.#options.flags ?? []),
      ...flags,
    ];
    const process_ = await startServer({
      name: one.name,
      command: etcd ? "etcd" : runtime.command,
      args,
      port: Number(new URL(one.url).port),
      dataDir: one.dataDir,
      env: this.#options.env?.(one.name) ?? {},
      waitReady,
    });
    return { ...one, process: process_ };
  }

  member(name: string): ClusterMember {
    const found = this.members.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no member ${name}`);
    return found;
  }

  /** Starts an ended member again, on what its directory holds. */
  async restart(name: string, flags: readonly string[] = [], waitReady = true): Promise<void> {
    const one = this.member(name);
    await one.process.stop();
    one.process = (await this.#run(one, flags, waitReady)).process;
  }

  /** A place for a further member; `join` starts it once the cluster has been told. */
  async place(name: string): Promise<Place> {
    const [client, peer] = await freePorts(2);
    const scheme = this.#options.scheme ?? "http";
    const peerUrl = `${scheme}://127.0.0.1:${peer}`;
    const advertised = (await this.#options.advertise?.({ name, peerUrl })) ?? peerUrl;
    return { name, url: `http://127.0.0.1:${client}`, peerUrl, advertised, dataDir: tempDir(name) };
  }

  /** Starts a member that the cluster was told of. */
  async join(one: Place, waitReady = true, flags: readonly string[] = []): Promise<ClusterMember> {
    const initial = [...this.members, one].map((each) => `${each.name}=${each.advertised}`).join(",");
    const joined = await this.#run(one, ["--initial-cluster", initial, "--initial-cluster-state", "existing", ...flags], waitReady);
    this.members.push(joined);
    return joined;
  }

  forget(name: string): void {
    this.members.splice(this.members.indexOf(this.member(name)), 1);
  }

  /** Of those that are asked and answer. */
  async statuses(names = this.members.map(({ name }) => name)): Promise<Map<string, MemberStatus>> {
    const found = new Map<string, MemberStatus>();
    await Promise.all(
      names.map(async (name) => {
        const status = await statusOf(this.member(name).url);
        if (status !== null) found.set(name, status);
      }),
    );
    return found;
  }

  /** Waits until all of them name the same leader, and it is one of them. @returns its name */
  async untilLeader(names = this.members.map(({ name }) => name), timeoutMs = 20_000): Promise<string> {
    let leader = "";
    await untilTrue(
      async () => {
        const statuses = await this.statuses(names);
        const ids = new Set([...statuses.values()].map((status) => status.leader));
        const [id] = ids;
        leader = [...statuses].find(([, status]) => status.id === id)?.[0] ?? "";
        return statuses.size === names.length && ids.size === 1 && leader !== "";
      },
      { timeoutMs, what: () => `one leader of ${names.join(", ")}` },
    );
    return leader;
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((one) => one.process.stop()));
  }
}

/** null: it did not answer within a second. */
export async function statusOf(url: string): Promise<MemberStatus | null> {
  try {
    const reply = await fetch(`${url}/v3/maintenance/status`, { method: "POST", body: "{}", signal: AbortSignal.timeout(1_000) });
    const body = (await reply.json()) as Record<string, string> & { header: Record<string, string>; isLearner?: boolean };
    return {
      id: body.header["member_id"] ?? "0",
      leader: body["leader"] ?? "0",
      term: Number(body["raftTerm"]),
      applied: Number(body["raftAppliedIndex"]),
      revision: Number(body.header["revision"]),
      learner: body.isLearner === true,
    };
  } catch {
    return null; // asked again by whoever waits for it
  }
}
