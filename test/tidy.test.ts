/**
 * Rules about the text of this repository that no other tool holds, and proof that the tools which hold the others do: for each rule of
 * .oxlintrc.json a file that breaks it is planted in a copy and has to be found.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { PROJECT_ROOT } from "./helpers/start-quorate.ts";
import { tempDir } from "./helpers/temp-dir.ts";

interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** Tracked files that are text, with what is in the work tree. */
function trackedFiles(): SourceFile[] {
  const names = execFileSync("git", ["ls-files", "-z", "--cached", "--deduplicate"], { cwd: PROJECT_ROOT, encoding: "utf8" });
  return names
    .split("\0")
    .filter((path) => path !== "" && !/\.(png|ico|woff2|bin|tgz)$/.test(path))
    .flatMap((path) => {
      try {
        return [{ path, text: readFileSync(join(PROJECT_ROOT, path), "utf8") }];
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return []; // removed, not yet committed
        throw error;
      }
    });
}

const files = trackedFiles();
const product = files.filter(
  ({ path }) => /^(core|adapters|runtime-\w+|client|testing)\/.*\.ts$/.test(path) && !/\.(test|d)\.ts$/.test(path),
);

/** `path:line text` of each line that matches. */
function linesWith(pattern: RegExp, among: readonly SourceFile[]): string[] {
  return among.flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, at) => (pattern.test(line) ? [`${path}:${at + 1} ${line.trim().slice(0, 120)}`] : [])),
  );
}

/** This file names what it forbids. */
const others = files.filter(({ path }) => path !== "test/tidy.test.ts");

describe("tracked files", () => {
  test("there are some", () => {
    console.log(`tidy looked at ${files.length} files, ${product.length} of them sources of the product`);
    expect(files.length).toBeGreaterThan(100);
    expect(product.length).toBeGreaterThan(50);
  });

  test("hold no mark of unfinished work", () => {
    expect(linesWith(/\b(TODO|FIXME|XXX)\b/, others)).toEqual([]);
  });

  test("name no path of somebody's machine", () => {
    expect(linesWith(/(^|[\s"'`(=])(\/work\/|\/root\/|\/home\/\w+\/|\/Users\/\w+\/)/, others)).toEqual([]);
  });

  test("name no package registry, and the lock file has no addresses", () => {
    expect(linesWith(/https?:\/\/[^\s"']*\b(registry|artifactory|nexus|verdaccio)\b/i, others)).toEqual([]);
    const lock = files.find(({ path }) => path === "package-lock.json");
    expect(lock?.text).toContain('"integrity"');
    expect(linesWith(/"resolved": "https?:/, [lock!])).toEqual([]);
  });

  test("the lock file names every optional package of those it names: npm ci refuses it otherwise", () => {
    type Locked = Readonly<Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>>;
    const { packages } = JSON.parse(readFileSync(join(PROJECT_ROOT, "package-lock.json"), "utf8")) as { packages: Locked };
    const wanted = Object.values(packages).flatMap(({ optionalDependencies }) => Object.keys(optionalDependencies ?? {}));
    expect(wanted.length).toBeGreaterThan(20);
    expect(wanted.filter((name) => packages[`node_modules/${name}`] === undefined)).toEqual([]);
  });

  test("pin every dependency to one version", () => {
    const { dependencies, devDependencies } = JSON.parse(readFileSync(join(PROJECT_ROOT, "package.json"), "utf8")) as Record<
      string,
      Record<string, string>
    >;
    const versions = Object.entries({ ...dependencies, ...devDependencies });
    expect(versions.length).toBeGreaterThan(5);
    expect(versions.filter(([, version]) => !/^(\d+\.\d+\.\d+|file:.*)$/.test(version))).toEqual([]);
  });
});

describe("the package", () => {
  test("has a source for each of its entries", () => {
    type Entry = { readonly default: string; readonly "quorate-source": string };
    type Entries = Readonly<Record<string, string | Entry>>;
    const { exports } = JSON.parse(readFileSync(join(PROJECT_ROOT, "package.json"), "utf8")) as { exports: Entries };
    const entries = Object.values(exports).filter((entry) => typeof entry !== "string");
    expect(entries.length).toBeGreaterThan(3);
    const sources = entries.map((entry) => entry.default.replace(/^\.\/dist\//, "").replace(/\.js$/, ".ts"));
    expect(sources.filter((source) => !product.some(({ path }) => path === source))).toEqual([]);
    // The first condition that fits counts: what is imported by name in this repository is what the package has.
    expect(entries.map((entry) => Object.entries(entry)[0])).toEqual(sources.map((source) => ["quorate-source", `./${source}`]));
  });
});

describe("sources of the product", () => {
  test("begin with what the file owns", () => {
    expect(product.filter(({ text }) => !/^(#!.*\n)?\/\*\*/.test(text)).map(({ path }) => path)).toEqual([]);
  });

  test("say what a longer exported function does, unless it is all that the file exports", () => {
    expect(product.flatMap(undocumented)).toEqual([]);
  });

  test("gather no folder in an index", () => {
    expect(product.filter(({ path }) => basename(path) === "index.ts").map(({ path }) => path)).toEqual([]);
  });
});

/** Lines up to which an exported function may speak for itself. */
const SHORT_LINES = 24;

function undocumented({ path, text }: SourceFile): string[] {
  const lines = text.split("\n");
  const isExport = (line: string): boolean => /^export (async )?(function|class|const)/.test(line);
  if (lines.filter(isExport).length < 2) return [];
  return lines.flatMap((line, at) => {
    if (!/^export (async )?function/.test(line) || lines[at - 1]?.trim().endsWith("*/")) return [];
    const length = lines.slice(at).findIndex((later) => later === "}");
    return length > SHORT_LINES ? [`${path}:${at + 1} ${line}`] : [];
  });
}

/** Ports without a suite of their own, with the reason. */
const NO_SUITE: Readonly<Record<string, string>> = {
  "core/replica/clock-port.ts": "two numbers of the host, with nothing to get wrong but the host",
  "core/replica/consensus-port.ts": "Solo and Raft promise different things about who may propose; each has tests of its own",
  "core/api/metrics-port.ts": "one page of text, whose content runtime-node/process.test.ts and the conformance cases look at",
};

describe("ports", () => {
  const ports = files.map(({ path }) => path).filter((path) => /^(core|client)\/.*-port\.ts$/.test(path));
  const suites = files.map(({ path }) => path).filter((path) => /^test\/contract\/[^/]*-port\.ts$/.test(path));

  test("each has a suite of its name, or a reason for none", () => {
    expect(ports.length).toBeGreaterThan(3);
    const without = ports.filter((path) => !suites.includes(`test/contract/${basename(path)}`) && NO_SUITE[path] === undefined);
    expect(without).toEqual([]);
  });

  test("each suite has its port", () => {
    expect(suites.filter((suite) => !ports.some((port) => basename(port) === basename(suite)))).toEqual([]);
  });

  test("the reasons are for ports that are there and have no suite", () => {
    expect(Object.keys(NO_SUITE).filter((path) => !ports.includes(path) || suites.includes(`test/contract/${basename(path)}`))).toEqual([]);
  });
});

/** Files that break one rule each: where, what, and the words that the report must have. */
const PLANTS: readonly (readonly [path: string, text: string, report: readonly string[]])[] = [
  ["core/a1.ts", 'import { readFileSync } from "node:fs";\nexport const a = readFileSync;\n', ["no-restricted-imports", "through a port"]],
  [
    "core/a2.ts",
    'import type { A } from "../adapters/some/a.ts";\nexport type B = A;\n',
    ["no-restricted-imports", "Adapters implement ports"],
  ],
  [
    "core/a3.ts",
    'import type { A } from "../runtime-node/a.ts";\nexport type B = A;\n',
    ["no-restricted-imports", "Runtimes choose parts"],
  ],
  ["core/a4.ts", 'import type { A } from "../client/a.ts";\nexport type B = A;\n', ["no-restricted-imports", "use the port"]],
  ["core/raft/a5.ts", 'import type { A } from "../store/a.ts";\nexport type B = A;\n', ["no-restricted-imports", "pure state machine"]],
  ["core/raft/a6.ts", 'import "node:fs";\n', ["no-restricted-imports", "through a port"]],
  ["core/store/a7.ts", 'import type { A } from "../replica/a.ts";\nexport type B = A;\n', ["no-restricted-imports", "who drives it"]],
  ["adapters/a8.ts", 'import type { A } from "../runtime-node/a.ts";\nexport type B = A;\n', ["no-restricted-imports"]],
  ["client/a9.ts", 'import { A } from "../core/store/a.ts";\nexport const a = A;\n', ["no-restricted-imports", "types of the store only"]],
  ["client/a10.ts", 'import "zod";\n', ["no-restricted-imports", "nothing of the server"]],
  ["client/a11.ts", 'import "node:fs";\n', ["no-restricted-imports", "runs everywhere"]],
  ["client/a12.ts", "export const chance = (): number => Math.random();\n", ["no-restricted-properties", "randomBytes"]],
  ["core/b1.ts", "export const now = (): number => Date.now();\n", ["no-restricted-globals", "clock-port"]],
  ["core/b2.ts", "export const later = (f: () => void): unknown => setTimeout(f, 1);\n", ["no-restricted-globals", "tick()"]],
  ["core/b3.ts", "export const id = (): string => crypto.randomUUID();\n", ["no-restricted-properties", "randomBytes"]],
  ["core/b4.ts", "export const now = (): number => performance.now();\n", ["no-restricted-globals", "clock-port"]],
  ["core/b5.ts", 'export const get = (): unknown => fetch("http://x");\n', ["no-restricted-globals", "transport port"]],
  ["core/b6.ts", "export const chance = (): number => Math.random();\n", ["no-restricted-properties", "seeded"]],
  ["core/c1.ts", 'import { d } from "./c2.ts";\nexport const c = (): unknown => d;\n', ["no-cycle"]],
  ["core/c2.ts", 'import { c } from "./c1.ts";\nexport const d = (): unknown => c;\n', ["no-cycle"]],
  ["core/d1.ts", "export const a = (b: any): unknown => b;\n", ["no-explicit-any"]],
  ["core/d2.ts", "export const a = (b: unknown): boolean => b == 1;\n", ["eqeqeq"]],
  ["core/d3.ts", 'export const a = (): never => {\n  throw "text";\n};\n', ["only-throw-error"]],
  ["core/d4.ts", 'import { T } from "./d5.ts";\nexport type U = T;\n', ["consistent-type-imports"]],
  ["core/d6.ts", "export const a = (b: () => Promise<void>): void => {\n  b();\n};\n", ["no-floating-promises"]],
  [
    "core/d7.ts",
    'export function a(b: "x" | "y"): number {\n  switch (b) {\n    case "x":\n      return 1;\n  }\n  return 2;\n}\n',
    ["switch-exhaustiveness-check"],
  ],
  ["core/d8.ts", 'console.log("x");\n', ["no-console"]],
];

/** Nothing in these breaks a rule. */
const CLEAN: readonly (readonly [path: string, text: string])[] = [
  ["core/d5.ts", "export type T = number;\n"],
  ["core/store/a.ts", "export type A = number;\n"],
  ["core/replica/a.ts", "export type A = number;\n"],
  ["runtime-node/a.ts", "export type A = number;\nconsole.log(Date.now(), Math.random());\n"],
  ["client/a.ts", 'import type { A as B } from "../core/store/a.ts";\nexport type A = B;\n'],
  ["adapters/some/a.ts", 'import "node:fs";\nexport type A = number;\n'],
];

/** A folder with this repository's rules and the given files. */
function plant(given: readonly (readonly [path: string, text: string, ...rest: unknown[]])[]): string {
  const dir = tempDir("tidy");
  copyFileSync(join(PROJECT_ROOT, ".oxlintrc.json"), join(dir, ".oxlintrc.json"));
  copyFileSync(join(PROJECT_ROOT, "tsconfig.base.json"), join(dir, "tsconfig.base.json"));
  writeFileSync(join(dir, "package.json"), '{ "type": "module" }\n');
  symlinkSync(join(PROJECT_ROOT, "node_modules"), join(dir, "node_modules"));
  for (const [path, text] of given) {
    mkdirSync(join(dir, dirname(path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  return dir;
}

describe("oxlint", () => {
  interface Report {
    readonly message: string;
    readonly code: string;
    readonly help?: string;
    readonly filename: string;
  }
  let reports: readonly Report[] = [];
  beforeAll(() => {
    const dir = plant([...PLANTS, ...CLEAN]);
    writeFileSync(join(dir, "tsconfig.json"), '{ "extends": "./tsconfig.base.json", "include": ["**/*.ts"] }\n');
    const { stdout, stderr } = spawnSync(
      join(PROJECT_ROOT, "node_modules", ".bin", "oxlint"),
      ["--format=json", "core", "adapters", "runtime-node", "client"],
      {
        cwd: dir,
        encoding: "utf8",
      },
    );
    expect(stdout, stderr).toContain('"diagnostics"');
    reports = (JSON.parse(stdout) as { diagnostics: Report[] }).diagnostics;
  });

  test.each(PLANTS)("finds what is wrong with %s", (path, _text, words) => {
    const mine = reports.filter(({ filename }) => filename === path).map(({ code, message, help }) => `${code}: ${message} ${help ?? ""}`);
    for (const word of words) expect(mine.join("\n")).toContain(word);
  });

  test.each(CLEAN)("finds nothing wrong with %s", (path) => {
    expect(reports.filter(({ filename }) => filename === path)).toEqual([]);
  });
});

describe("the compiler", () => {
  /** What `tsc` says of one more file in a folder of the core. */
  function compile(path: string, text: string): string {
    const dir = plant([[path, text]]);
    for (const config of ["core/tsconfig.json", "core/api/tsconfig.json"]) {
      mkdirSync(join(dir, dirname(config)), { recursive: true });
      copyFileSync(join(PROJECT_ROOT, config), join(dir, config));
    }
    cpSync(join(PROJECT_ROOT, "core", "globals.d.ts"), join(dir, "core", "globals.d.ts"));
    const tsc = join(PROJECT_ROOT, "node_modules", ".bin", "tsc");
    const { stdout, stderr } = spawnSync(tsc, ["-p", join(dir, dirname(path)), "--noEmit", "--composite", "false"], {
      cwd: dir,
      encoding: "utf8",
    });
    return stdout + stderr;
  }

  test.each([
    ["process", "export const a = process.pid;\n"],
    ["Buffer", "export const a = Buffer.alloc(1);\n"],
    ["setTimeout", "export const a = (): unknown => setTimeout(() => {}, 1);\n"],
    ["fetch", "export const a = fetch;\n"],
    ["performance", "export const a = performance.now();\n"],
    ["node:fs", 'import { readFileSync } from "node:fs";\nexport const a = readFileSync;\n'],
  ])("does not know %s in the core", (name, text) => {
    expect(compile("core/planted.ts", text)).toMatch(new RegExp(`Cannot find (name|module) '${name}'`));
  });

  test("knows fetch but not process in the API", () => {
    expect(compile("core/api/planted.ts", "export const a = process.pid;\n")).toContain("Cannot find name 'process'");
    expect(compile("core/api/planted.ts", "export const a: typeof Request = Request;\n")).toBe("");
  });
});
