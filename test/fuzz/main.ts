/**
 * `npm run fuzz -- --seed N --minutes M [--attack NAME]`: every attack once, then any, drawn from the seed. Prints what was sent; exit code 1
 * when the server did what it must not.
 */
import { parseArgs } from "node:util";
import { ATTACKS, fuzz } from "./fuzz-run.ts";

const { values } = parseArgs({
  options: { seed: { type: "string" }, minutes: { type: "string", default: "1" }, attack: { type: "string" } },
});
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const first = ATTACKS.filter(({ name }) => values.attack === undefined || name === values.attack);
if (first.length === 0) throw new Error(`there is no attack ${values.attack}; there are:\n${ATTACKS.map(({ name }) => name).join("\n")}`);

const sums = new Map<string, number>();
try {
  const { inputs, attacks, growthBytes } = await fuzz({
    seed,
    first,
    more: () => values.attack === undefined && performance.now() < Number(values.minutes) * 60_000,
    onAttack: (name, sent) => {
      sums.set(name, (sums.get(name) ?? 0) + sent);
      if (process.env["FUZZ_VERBOSE"] !== undefined) console.log(`${(performance.now() / 1000).toFixed(1)}s ${name} ${sent}`);
    },
  });
  for (const [name, sum] of sums) console.log(`${String(sum).padStart(10)}  ${name}`);
  console.log(
    `seed ${seed}: ${inputs} inputs in ${attacks} attacks; the server grew by at most ${Math.round(growthBytes / 1024 ** 2)} MiB`,
  );
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
