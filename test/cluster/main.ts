/** `npm run crash -- --cycles 60 --seed 7 [--against etcd]`: the crash test of crash.test.ts, for as long as wanted. */
import { parseArgs } from "node:util";
import { startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";
import { CrashRun } from "./crash-run.ts";

const { values } = parseArgs({
  options: { cycles: { type: "string", default: "60" }, seed: { type: "string" }, against: { type: "string", default: "quorate" } },
});
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const againstEtcd = values.against === "etcd";
const place = (at: ServerProcess | undefined): { port?: number; dataDir?: string } =>
  at === undefined ? {} : { port: at.port, dataDir: at.dataDir };

console.log(`seed ${seed}`);
const result = await new CrashRun({
  seed,
  cycles: Number(values.cycles),
  endings: againstEtcd ? ["kill", "terminate"] : ["kill", "garbage", "kill", "append", "kill", "terminate"],
  start: (at) => (againstEtcd ? startEtcd(place(at)) : startQuorate({ ...place(at), flags: ["--snapshot-count", "1500"] })),
  onCycle: (text) => console.log(text),
}).run();
for (const fault of result.faults) console.log(`FAULT ${fault}`);
console.log(
  `${result.cycles} crashes, ${result.acknowledged} acknowledged writes, ${result.events} events, ${result.faults.length} faults`,
);
process.exit(result.faults.length === 0 ? 0 : 1);
