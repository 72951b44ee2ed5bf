/** `quorate snapshot`: its parts are in the folder of that name. */
export { snapshotCommand as command } from "../snapshot/snapshot-command.ts";
