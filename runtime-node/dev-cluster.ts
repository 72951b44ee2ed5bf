/**
 * `npm run dev`: three members on this machine to play with, and a line a second that shows how they are. Typing `kill b` ends a member
 * as `kill -9` does, `start b` starts it again, `pause b` and `go b` stop and resume its process. An argument takes the place of the
 * six ports: client and peer port of each, separated by commas.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

interface Member {
  readonly name: string;
  readonly client: string;
  readonly peer: string;
  process: ChildProcess | null;
}

/** Client ports and peer ports as etcd's own example cluster has them. */
const PORTS = [2379, 2380, 22379, 22380, 32379, 32380];
const MEMBERS: readonly Member[] = membersAt(process.argv[2]?.split(",").map(Number) ?? PORTS);
const SCRIPT = fileURLToPath(new URL("./quorate.js", import.meta.url));
const LINE_MS = 1_000;
const ANSWER_MS = 500;
/** How long members may take to end before they are killed. */
const END_MS = 5_000;

/** @param ports client and peer port of each of three */
function membersAt(ports: readonly number[]): Member[] {
  const at = (n: number): string => `http://127.0.0.1:${ports[n] ?? 0}`;
  return ["a", "b", "c"].map((name, n) => ({ name, client: at(2 * n), peer: at(2 * n + 1), process: null }));
}

function start(member: Member): void {
  if (member.process !== null) return;
  const initial = MEMBERS.map(({ name, peer }) => `${name}=${peer}`).join(",");
  const addresses = [
    "--listen-client-urls",
    member.client,
    "--listen-peer-urls",
    member.peer,
    "--initial-advertise-peer-urls",
    member.peer,
  ];
  const flags = ["--name", member.name, "--data-dir", `quorate.dev/${member.name}`, "--initial-cluster", initial, "--log-level", "warn"];
  // In a process group of its own: a Ctrl-C in the terminal goes to whole groups, and members that are told twice to end do it at once.
  const child = spawn(process.execPath, [SCRIPT, "serve", ...flags, ...addresses], {
    detached: true,
    stdio: ["ignore", "ignore", "inherit"],
  });
  member.process = child;
  child.once("error", (error) => console.error(`${member.name} could not be started: ${error.message}`));
  child.once("exit", (code, signal) => {
    if (member.process === child) member.process = null;
    console.log(`${member.name} ended (${signal ?? code})`);
  });
}

interface Status {
  readonly id: string;
  readonly leader: string;
  readonly term: string;
  readonly commit: number;
  readonly revision: string;
}

async function statusOf(member: Member): Promise<Status | null> {
  try {
    const reply = await fetch(`${member.client}/v3/maintenance/status`, {
      method: "POST",
      body: "{}",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const body = (await reply.json()) as { header: Record<string, string>; leader?: string; raftTerm: string; raftIndex: string };
    const { member_id: id = "", revision = "" } = body.header;
    return { id, revision, leader: body.leader ?? "0", term: body.raftTerm, commit: Number(body.raftIndex) };
  } catch {
    return null; // shown as down
  }
}

/** One line: who leads, in which term, and how far each member is. */
export function describeStatuses(statuses: ReadonlyMap<string, Status | null>): string {
  const known = [...statuses].filter((one): one is [string, Status] => one[1] !== null);
  const newest = known.reduce<Status | null>(
    (best, [, status]) => (best === null || Number(status.term) > Number(best.term) ? status : best),
    null,
  );
  const leader = known.find(([, { id, leader: led, term }]) => id === led && term === newest?.term)?.[0] ?? "none";
  const commit = Math.max(0, ...known.map(([, status]) => status.commit));
  const lags = [...statuses].map(
    ([name, status]) => `${name} ${status === null ? "down" : status.commit === commit ? "ok" : `-${commit - status.commit}`}`,
  );
  return `leader ${leader.padEnd(4)}  term ${newest?.term ?? "?"}  commit ${commit}  revision ${newest?.revision ?? "?"}  lag: ${lags.join(", ")}`;
}

async function tell(): Promise<void> {
  const statuses = await Promise.all(MEMBERS.map(async (member) => [member.name, await statusOf(member)] as const));
  console.log(describeStatuses(new Map(statuses)));
}

const COMMANDS: Readonly<Record<string, (member: Member) => void>> = {
  start,
  kill: (member) => void member.process?.kill("SIGKILL"),
  pause: (member) => void member.process?.kill("SIGSTOP"),
  go: (member) => void member.process?.kill("SIGCONT"),
};

function obey(line: string): void {
  const [word = "", name = ""] = line.trim().split(/\s+/);
  if (word === "") return;
  const [command, member] = [COMMANDS[word], MEMBERS.find((one) => one.name === name)];
  if (command === undefined || member === undefined) console.log(`wanted: one of ${Object.keys(COMMANDS).join(", ")} and one of a, b, c`);
  else command(member);
}

function end(): void {
  for (const { process: child } of MEMBERS) {
    child?.kill("SIGCONT");
    child?.kill("SIGTERM");
  }
  setTimeout(() => {
    for (const { process: child } of MEMBERS) child?.kill("SIGKILL");
    process.exit(1);
  }, END_MS).unref();
  const ending = setInterval(() => {
    if (MEMBERS.every((member) => member.process === null)) {
      clearInterval(ending);
      process.exit(0);
    }
  }, 50);
}

if (import.meta.main) {
  console.log(`Three members: ${MEMBERS.map(({ name, client }) => `${name} on ${client}`).join(", ")}; data in ./quorate.dev`);
  console.log("Type: kill a, start a, pause a, go a. Ctrl-C ends all.");
  MEMBERS.forEach(start);
  const telling = setInterval(() => void tell(), LINE_MS);
  createInterface({ input: process.stdin }).on("line", obey);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      clearInterval(telling);
      end();
    });
  }
}
