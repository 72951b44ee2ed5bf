/** Flags that all commands have which hold something. */
import type { Duration } from "../../core/recipes/durations.ts";
import { wholeOf } from "./client-command.ts";

/** `--ttl` is in seconds, as etcdctl has it. @throws CommandError */
export function holdSeconds(ttl: string): Duration {
  return `${wholeOf(ttl, "--ttl")}s`;
}
