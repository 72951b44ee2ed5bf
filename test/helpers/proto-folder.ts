/** Where the `.proto` files are; `node test/helpers/proto-folder.ts` (`npm run proto`) writes them anew. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { protoFiles } from "../../adapters/grpc/proto-files.ts";
import { servedServices } from "./served-services.ts";
import { PROJECT_ROOT } from "./start-quorate.ts";

export const PROTO_FOLDER = join(PROJECT_ROOT, "adapters", "grpc", "proto");

if (import.meta.main) {
  rmSync(PROTO_FOLDER, { recursive: true, force: true });
  for (const [path, text] of protoFiles(servedServices())) {
    mkdirSync(dirname(join(PROTO_FOLDER, path)), { recursive: true });
    writeFileSync(join(PROTO_FOLDER, path), text);
  }
}
