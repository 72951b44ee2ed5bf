import { existsSync, statSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { NodeFileSystem } from "./node-file-system.ts";

test("makeDirectory() makes what is missing above, for the owner only, and is content with what is there", async () => {
  const directory = `${tempDir("made")}/a/b/c`;
  await new NodeFileSystem().makeDirectory(directory);
  await new NodeFileSystem().makeDirectory(directory);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  writeFileSync(`${directory}/file`, "");
  await expect(new NodeFileSystem().makeDirectory(`${directory}/file`)).rejects.toMatchObject({ code: "EEXIST" });
  await expect(new NodeFileSystem().makeDirectory(`${directory}/file/d`)).rejects.toMatchObject({ code: "ENOTDIR" });
});

test.skipIf(!existsSync("/proc/self"))("makeDirectory() fails where no directory can be made, rather than trying for ever", async () => {
  await expect(new NodeFileSystem().makeDirectory("/proc/quorate/log")).rejects.toMatchObject({ code: "ENOENT" });
});
