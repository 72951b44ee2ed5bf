/** Files of settings: what they may say, what is refused, and what a running member takes over from them. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { QUORATE_SCRIPT, startQuorate } from "../test/helpers/start-quorate.ts";
import { tempDir } from "../test/helpers/temp-dir.ts";
import { CONFIGURATION_PAGE } from "./configuration-page.ts";
import { parseConfig } from "./config-file.ts";
import { readSettings } from "./config.ts";

const settingsOf = (text: string, flags = {}, environment = {}) => readSettings(flags, environment, parseConfig(text, "q.yaml"));

describe("a file of settings", () => {
  test("says what flags say, with lists, numbers and marks as YAML has them", () => {
    const text = "name: a\nlisten-client-urls: [http://127.0.0.1:1, http://127.0.0.1:2]\nsnapshot-count: 5\nenable-v2: false\n";
    expect(settingsOf(text)).toMatchObject({
      name: "a",
      "listen-client-urls": ["http://127.0.0.1:1", "http://127.0.0.1:2"],
      "snapshot-count": 5,
      "enable-v2": false,
    });
    expect(settingsOf("")).toEqual(readSettings({}, {}));
  });

  test("takes etcd's sections of TLS", () => {
    const text = "client-transport-security:\n  cert-file: a.pem\n  client-cert-auth: true\npeer-transport-security:\n  cert-file: b.pem\n";
    expect(settingsOf(text)).toMatchObject({ "cert-file": "a.pem", "client-cert-auth": true, "peer-cert-file": "b.pem" });
  });

  test("is overruled by variables, and these by flags", () => {
    expect(settingsOf("name: file", {}, { QUORATE_NAME: "variable" }).name).toBe("variable");
    expect(settingsOf("name: file", { name: "flag" }, { QUORATE_NAME: "variable" }).name).toBe("flag");
  });

  test.each([
    ["name: a\ndata-dri: x\n", "q.yaml line 2: data-dri is no setting; did you mean data-dir?"],
    ["snapshot-count: many\n", 'q.yaml line 1: snapshot-count is "many"; wanted: a whole number'],
    ["peer-transport-security:\n  cert: x\n", "q.yaml line 2: cert is no setting; did you mean peer-cert-file?"],
    ["name:\n", "q.yaml line 1: name has no value"],
    ["name: {a: 1}\n", "q.yaml line 1: name has no value"],
    ["- name\n", "wanted are lines such as data-dir: /var/lib/quorate"],
    ["name: [a\n", "q.yaml line 2: "],
    ["name: a\nname: b\n", "q.yaml line 2: Map keys must be unique"],
  ])("%j is refused", (text, message) => {
    expect(() => settingsOf(text)).toThrow(message);
  });

  test("the one in the documentation can be taken", () => {
    const [, text] = /```yaml\n([^]*?)```/.exec(readFileSync(CONFIGURATION_PAGE, "utf8"))!;
    expect(settingsOf(text!)).toMatchObject({ name: "a", "cert-file": "/etc/quorate/server.pem" });
  });
});

describe("quorate serve", () => {
  test("--print-config prints a file that says the same", () => {
    const path = join(tempDir("config"), "q.yaml");
    writeFileSync(path, "name: from-file\nlisten-client-urls: http://127.0.0.1:1,http://127.0.0.1:2\n");
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [QUORATE_SCRIPT, "serve", ...args, "--print-config"], { encoding: "utf8", timeout: 30_000 });
    const printed = run("--config-file", path, "--log-level", "warn").stdout;
    expect(settingsOf(printed)).toEqual(settingsOf(readFileSync(path, "utf8"), { "log-level": "warn" }));
    expect(run("--config-file", `${path}.none`)).toMatchObject({ status: 2, stderr: expect.stringContaining("cannot be read") });
  });

  test("takes the log level over on SIGHUP, names what has to wait, and keeps what it has when the file is wrong", async () => {
    const path = join(tempDir("reload"), "q.yaml");
    writeFileSync(path, "log-level: warn\n");
    const server = await startQuorate({ flags: ["--config-file", path] });
    try {
      expect(server.output()).not.toContain('"listening"');
      writeFileSync(path, "log-level: info\nsnapshot-count: 7\n");
      server.signal("SIGHUP");
      await expect.poll(server.output).toContain('"the log level was changed"');
      await expect.poll(server.output).toContain('"settings":["snapshot-count"]');
      writeFileSync(path, "log-levle: info\n");
      server.signal("SIGHUP");
      await expect.poll(server.output).toContain("log-levle is no setting; did you mean log-level?");
      expect((await fetch(`${server.url}/health`)).status).toBe(200);
    } finally {
      await server.stop();
    }
  });
});
