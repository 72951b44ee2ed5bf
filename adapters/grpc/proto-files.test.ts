/**
 * The `.proto` files say what is served, and other people's compilers read them the same way: protoc makes of them the very descriptors
 * that reflection answers with. That names and numbers are etcd's is shown by talking to a real one (`test/differential`).
 */
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { loadSync } from "@grpc/proto-loader";
import { describe, expect, test } from "vitest";
import { protoFiles } from "./proto-files.ts";
import { FILE } from "../../core/api/grpc/descriptor-messages.ts";
import { describe as describeServices } from "../../core/api/grpc/describe.ts";
import { many, message } from "../../core/api/v3/message-table.ts";
import { protobufDecoder } from "../../core/api/v3/protobuf-codec.ts";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { servedServices } from "../../test/helpers/served-services.ts";
import { PROJECT_ROOT } from "../../test/helpers/start-quorate.ts";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { PROTO_FOLDER } from "../../test/helpers/proto-folder.ts";

const services = servedServices();
const files = protoFiles(services);
const paths = [...files.keys()];

describe("the .proto files", () => {
  test("are what is served: if not, npm run proto", () => {
    const found = readdirSync(PROTO_FOLDER, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(found.map(({ parentPath, name }) => join(parentPath, name)).toSorted()).toEqual(
      paths.map((path) => join(PROTO_FOLDER, path)).toSorted(),
    );
    for (const [path, text] of files) expect(readFileSync(join(PROTO_FOLDER, path), "utf8"), path).toBe(text);
  });

  test("and the page about them name every service", () => {
    const page = readFileSync(join(PROJECT_ROOT, "docs", "reference", "grpc.md"), "utf8");
    expect(services.map(({ name }) => name).filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  test("are read by protobufjs, which finds every service", () => {
    const loaded = loadSync(paths, { includeDirs: [PROTO_FOLDER] });
    for (const { name, methods } of services) {
      expect(Object.keys(loaded[name] ?? {}), name).toEqual(methods.map((method) => method.name));
    }
  });

  const installed = spawnSync("protoc", ["--version"]).status === 0;
  const skip = !installed && process.env["CI"] === undefined;
  test.skipIf(skip)(`are read by protoc as what reflection says${skip ? " (skipped: no protoc on the path)" : ""}`, () => {
    const out = join(tempDir("protoc"), "all.pb");
    const told = spawnSync("protoc", ["-I", PROTO_FOLDER, "--descriptor_set_out", out, ...paths], { encoding: "utf8" });
    expect(told.stderr).toBe("");
    const set = message<{ file: readonly object[] }>("google.protobuf.FileDescriptorSet", { file: many(() => FILE, "file", 1) });
    const { file } = protobufDecoder(set)(readFileSync(out, "latin1") as Bytes);
    const ours = describeServices(services);
    expect(file.length).toBe(ours.size);
    for (const one of file as { name: string }[]) expect(one).toEqual(ours.get(one.name));
  });
});
