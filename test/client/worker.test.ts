/** The client inside a Worker: bundled, run by workerd, against a real server. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect } from "../../client/client.ts";
import { freePort } from "../helpers/free-port.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";

/** The program of this machine, if the package brings one for it. */
function workerd(): string | undefined {
  try {
    const { resolve } = createRequire(createRequire(import.meta.url).resolve("workerd/package.json"));
    const name = `${process.platform}-${process.arch === "x64" ? "64" : process.arch}`;
    return resolve(`@cloudflare/workerd-${name}/bin/workerd`);
  } catch {
    return undefined;
  }
}

const program = workerd();

describe.skipIf(program === undefined)(`a Worker${program === undefined ? " (workerd is not there for this machine)" : ""}`, () => {
  let server: ServerProcess;
  let worker: ChildProcess;
  let output = "";
  let url = "";

  beforeAll(async () => {
    server = await startQuorate();
    const dir = tempDir("worker");
    const outfile = join(dir, "worker.js");
    await build({
      entryPoints: [join(import.meta.dirname, "worker.ts")],
      bundle: true,
      format: "esm",
      target: "es2022",
      platform: "neutral",
      outfile,
    });
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    writeFileSync(
      join(dir, "config.capnp"),
      `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2025-06-01",
      bindings = [(name = "STORE", text = "${server.url}")],
    )),
    (name = "internet", network = (allow = ["private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
`,
    );
    worker = spawn(program!, ["serve", join(dir, "config.capnp")], { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [worker.stdout!, worker.stderr!]) stream.on("data", (part: Buffer) => (output += part.toString()));
    await untilTrue(
      async () =>
        fetch(url).then(
          (reply) => reply.ok,
          () => false,
        ),
      { what: () => `workerd: ${output}` },
    );
  });
  afterAll(async () => {
    const ended = once(worker, "exit");
    worker.kill("SIGKILL");
    await Promise.all([ended, server.stop()]);
  });

  async function ask<T>(path: string): Promise<T> {
    const reply = await fetch(url + path);
    const body = await reply.text();
    expect(reply.status, `${body}\n${output}`).toBe(200);
    return JSON.parse(body) as T;
  }

  test("takes a lock, writes under its fence and releases it, request after request", async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask<{ succeeded: boolean; fence: string }>("/count")));
    expect(answers.every(({ succeeded }) => succeeded)).toBe(true);
    expect(new Set(answers.map(({ fence }) => fence)).size).toBe(5);
    expect((await connect(server.url).kv.get("count"))?.value).toBe("5");
    // Released behind the last answer.
    const line = connect(server.url).keys("/quorate/locks/worker/");
    await untilTrue(async () => (await line.count()) === 0, { what: () => "the release" });
  });

  test("watches", async () => {
    const seen = ask<string[]>("/watch");
    const keys = connect(server.url).keys("watched/");
    await keys.put("first", "1");
    await keys.put("last", "2");
    expect(await seen).toEqual(["first", "last"]);
  });

  test("fails where nobody is there, and has a clock", async () => {
    const { kind, clock } = await ask<{ kind: string; clock: number }>("/");
    expect(["failed", "unknown"]).toContain(kind);
    expect(clock).toBeGreaterThan(Date.UTC(2024, 0));
  });
});
