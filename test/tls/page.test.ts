/** Every command of docs/tls.md, run as it stands there, but for the port: certificates in a directory, servers that start with them, clients. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { hasOpenssl } from "../helpers/authority.ts";
import { freePort } from "../helpers/free-port.ts";
import { etcdVersion } from "../helpers/start-etcd.ts";
import { PROJECT_ROOT } from "../helpers/start-quorate.ts";
import { type ServerProcess, startServer } from "../helpers/start-server.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { untilTrue } from "../helpers/until-ready.ts";

const page = readFileSync(join(PROJECT_ROOT, "docs", "tls.md"), "utf8");
const commands = [...page.matchAll(/```sh\n([^]*?)```/g)].flatMap(([, block]) => block!.trim().split("\n"));
const SERVE = "npm start -- ";

let server: ServerProcess | undefined;
afterEach(() => server?.stop());

/** @returns once it listens */
async function serve(command: string, directory: string, port: number): Promise<void> {
  await server?.stop();
  const script = join(PROJECT_ROOT, "runtime-node", "quorate.js");
  const flags = command.slice(SERVE.length);
  const plain = flags.includes("--listen-client-urls") ? "" : ` --listen-client-urls http://127.0.0.1:${port}`;
  const line = `cd ${directory} && exec ${process.execPath} ${script} serve ${flags}${plain}`.replaceAll(
    "127.0.0.1:2379",
    `127.0.0.1:${port}`,
  );
  const started = await startServer({ name: "page", command: "sh", args: ["-c", line], port, dataDir: directory, waitReady: false });
  server = started;
  await untilTrue(() => started.output().includes("ready to serve") || started.exit() !== undefined, { what: started.output });
  expect(started.exit(), started.output()).toBeUndefined();
}

test.skipIf(!hasOpenssl() || etcdVersion() === undefined)(
  "the commands of docs/tls.md do what the page says",
  { timeout: 60_000 },
  async () => {
    const directory = tempDir("page");
    const port = await freePort();
    const printed: string[] = [];
    expect(commands.length).toBeGreaterThan(15);
    for (const command of commands) {
      if (command.startsWith(SERVE)) await serve(command, directory, port);
      else {
        const here = command.replaceAll("127.0.0.1:2379", `127.0.0.1:${port}`).replace(/^curl /, "curl -sS --fail ");
        printed.push(execFileSync("sh", ["-c", here], { cwd: directory, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }));
      }
    }
    const text = printed.join("");
    expect(text).toContain('"etcdserver":"3.4');
    expect(text).toContain('"action":"set"');
    expect(text).toContain("OK\n");
    expect(text).toMatch(/Authentication Enabled\ngreeting\nhello\n$/);
  },
);
