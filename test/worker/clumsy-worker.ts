/** The Worker of this project on a platform at its worst: each alarm rings late, and then twice at once. */
import { QuorateNamespace as Namespace } from "../../runtime-worker/namespace-object.ts";

export { QuorateDirectory } from "../../runtime-worker/directory-object.ts";
export { default } from "../../runtime-worker/worker.ts";

const LATE_MS = 700;

export class QuorateNamespace extends Namespace {
  override async alarm(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, LATE_MS));
    await Promise.all([super.alarm(), super.alarm()]);
  }
}
