/** `npm run faults -- [--seed N] [--minutes N]`: faults by chance for as long as wanted; the seed and the outcome are printed. */
import { parseArgs } from "node:util";
import { faultRun } from "./fault-run.ts";

const { values } = parseArgs({ options: { seed: { type: "string" }, minutes: { type: "string", default: "0" } } });
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const minutes = Number(values.minutes);
if (!Number.isSafeInteger(seed) || !(minutes >= 0)) {
  console.error("--seed wants a whole number, --minutes a number of at least 0");
  process.exit(2);
}
console.log(`seed ${seed}`);
const { violations, ...result } = await faultRun({ seed, minutes, progress: (text) => console.error(`  ${text}`) });
console.log(JSON.stringify(result));
for (const violation of violations.slice(0, 20)) console.log(violation);
console.log(violations.length === 0 ? "no violation" : `${violations.length} violations; again: npm run faults -- --seed ${seed}`);
process.exit(violations.length === 0 ? 0 : 1);
