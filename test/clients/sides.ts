/** The servers that a client is tried on: a real etcd, where there is one, and this project's. */
import { execFileSync } from "node:child_process";
import { freePort } from "../helpers/free-port.ts";
import { etcdVersion, startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { expect } from "vitest";
import { type Script, Transcript, type TranscriptOptions } from "./transcript.ts";

export type Side = "etcd" | "quorate";

/** Expectations are etcd's own: where it is installed each of them is asked of it too. */
export const SIDES: readonly Side[] = etcdVersion() === undefined ? ["quorate"] : ["etcd", "quorate"];

export interface StartOptions {
  readonly dataDir?: string;
  readonly port?: number;
  readonly flags?: readonly string[];
}

export async function startSide(side: Side, options: StartOptions = {}): Promise<ServerProcess> {
  // How long a hash takes is not compared.
  if (side === "etcd") return startEtcd({ ...options, flags: ["--bcrypt-cost=4", ...(options.flags ?? [])] });
  // A port of its own for other members too: who adds one opens it.
  const peers = `http://127.0.0.1:${await freePort()}`;
  const flags = ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", `default=${peers}`];
  return startQuorate({ ...options, flags: [...flags, ...(options.flags ?? [])] });
}

/** The version of etcdctl on the path, or undefined when there is none. */
export function etcdctlVersion(): string | undefined {
  try {
    const text = execFileSync("etcdctl", ["version"], { encoding: "utf8", env: { ...process.env, ETCDCTL_API: "3" } });
    return /etcdctl version: (\S+)/.exec(text)?.[1];
  } catch {
    return undefined;
  }
}

/** Both are needed to compare what etcdctl prints. */
export const CAN_COMPARE = etcdVersion() !== undefined && etcdctlVersion() !== undefined;

/** Runs a script on a fresh etcd and on a fresh server of this project. @returns what the shell showed: etcd's, and ours */
export async function transcripts(
  script: Script,
  options: Omit<TranscriptOptions, "url"> & StartOptions = {},
): Promise<{ readonly etcd: string; readonly quorate: string }> {
  const one = async (side: Side): Promise<string> => {
    const server = await startSide(side, options);
    try {
      const shell = new Transcript({ ...options, url: server.url });
      await script(shell);
      return shell.text();
    } finally {
      await server.stop();
    }
  };
  const [etcd, quorate] = await Promise.all([one("etcd"), one("quorate")]);
  return { etcd, quorate };
}

/** Expects that a script shows the same of both. @returns what it shows */
export async function expectSame(script: Script, options: Parameters<typeof transcripts>[1] = {}): Promise<string> {
  const { etcd, quorate } = await transcripts(script, options);
  expect(quorate).toBe(etcd);
  return quorate;
}

/** Lines of shell, one after the other. */
export const lines =
  (...commands: readonly string[]): Script =>
  async (shell) => {
    for (const command of commands) await shell.run(command);
  };
