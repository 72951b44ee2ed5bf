/**
 * A process that does one scenario of recipe-scenarios.ts, and is killed, or stops itself, at one of its requests: before it is sent, or when
 * its answer is there. Prints `stopping` first; `finished` when it came to its end, `lost` when the store had taken from it what it held.
 *
 *     node test/cluster/recipe-user.ts <url> <scenario> <name> <kill|pause> <before|after> <which request>
 */
import { writeSync } from "node:fs";
import { connectAll } from "../../client/all.ts";
import { SCENARIOS, isLoss } from "./recipe-scenarios.ts";

const [url = "", scenario = "", name = "", how = "", when = "", which = ""] = process.argv.slice(2);
let requests = 0;

function stop(at: string, request: number): void {
  if (at !== when || request !== Number(which)) return;
  writeSync(1, "stopping\n"); // at once: nothing of this process comes after the signal
  process.kill(process.pid, how === "kill" ? "SIGKILL" : "SIGSTOP");
}

const q = connectAll({
  url,
  fetch: async (input, init) => {
    const request = ++requests;
    stop("before", request);
    const reply = await fetch(input, init);
    stop("after", request);
    return reply;
  },
});
try {
  await SCENARIOS[scenario]!.act(q, name, "first");
  writeSync(1, `finished after ${requests}\n`);
} catch (error) {
  if (!isLoss(error)) throw error;
  writeSync(1, `lost ${String(error)}\n`);
}
process.exit(0);
