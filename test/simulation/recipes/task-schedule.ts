/** One seeded run of a task under the faults of schedule.ts, and what must be true of its directives and reports at every revision. */
import { ascii } from "../../../core/bytes/bytes.ts";
import { Session } from "../../../core/recipes/session.ts";
import { type Progress, directTask, reportProgress, taskState } from "../../../core/recipes/task.ts";
import type { Revision } from "../../../testing/memory-member.ts";
import { expected, runActors } from "./actors.ts";

const PREFIX = "/quorate/tasks/t/";
const TTL_MS = 5_000;
const STEP = 20;

/** @returns what was found wrong, and how much was directed, how many workers ended, and how many were seen as lost */
export async function runTask(
  seed: number,
): Promise<{ readonly faults: readonly string[]; directed: number; ended: number; lost: number }> {
  const ended: string[] = [];
  const directed: number[] = [];
  const seen: { readonly revision: number; readonly workers: string }[] = [];
  let [workers, specs, lost] = [0, 0, 0];
  const { lab, faults } = await runActors(seed, "task", async ({ context }, { chance, isFaulty }) => {
    const work = async (): Promise<void> => {
      const worker = `worker${++workers}`;
      const session = await Session.open(context, { ttl: TTL_MS });
      try {
        for (let percent = 0; percent < 100; percent += STEP) {
          await reportProgress(context, "t", worker, { state: "running", percent }, session.id);
          await context.host.sleep(chance.exponential(700));
        }
        await reportProgress(context, "t", worker, { state: "done" }, session.id);
        ended.push(worker);
      } finally {
        await session.end();
      }
    };
    const look = async (): Promise<void> => {
      const state = await taskState(context, "t");
      seen.push({ revision: state.revision, workers: state.workers.map(({ worker, state: is }) => `${worker} ${is}`).join() });
    };
    const direct = async (): Promise<void> => {
      const { modRevision } = await taskState(context, "t");
      directed.push((await directTask(context, "t", ascii(`${++specs}`), modRevision)).revision);
    };
    while (isFaulty()) {
      await context.host.sleep(chance.exponential(700));
      try {
        await chance.pick([work, look, direct])();
      } catch (error) {
        expected(error, "conflict", "leaseNotFound");
      }
    }
  });
  await lab.advance(2 * TTL_MS);
  const last = await lab.run(taskState(lab.client().context, "t"));
  for (const { worker, state } of last.workers) {
    if (state === "running") faults.push(`${worker} is there without a lease`);
    if (state === "lost") lost++;
  }
  for (const worker of ended)
    if (last.workers.find((one) => one.worker === worker)?.state !== "done") faults.push(`${worker} ended, and is lost`);
  if (new Set(directed).size < directed.length) faults.push("two directed the task under one condition");
  faults.push(...checkReports(lab.history, seen));
  await lab.close();
  return { faults, directed: directed.length, ended: ended.length, lost };
}

/** A report goes on, never back; one that says that a worker has ended stays; what was seen is what was there. */
function checkReports(history: readonly Revision[], seen: readonly { readonly revision: number; readonly workers: string }[]): string[] {
  const faults: string[] = [];
  const states = new Map<string, Progress["state"] | "lost">();
  const percents = new Map<string, number>();
  const at = new Map<number, string>();
  for (const { revision, events } of history) {
    for (const { type, kv } of events) {
      if (!kv.key.startsWith(`${PREFIX}p/`)) continue;
      const worker = kv.key.slice(PREFIX.length + 2);
      const report: { state: Progress["state"] | "lost"; percent?: number | undefined } =
        type === "put" ? (JSON.parse(kv.value) as Progress) : { state: "lost" };
      if (states.get(worker) === "done" && report.state !== "done") faults.push(`${revision}: ${worker} has ended, and is ${report.state}`);
      const percent = report.percent ?? 100;
      if (type === "put" && percent < (percents.get(worker) ?? 0)) faults.push(`${revision}: ${worker} goes back to ${percent}`);
      percents.set(worker, percent);
      states.set(worker, report.state);
    }
    at.set(
      revision,
      [...states]
        .map(([worker, state]) => `${worker} ${state}`)
        .toSorted()
        .join(),
    );
  }
  for (const { revision, workers } of seen) {
    const should = at.get(revision);
    if (should !== undefined && workers.split(",").toSorted().join() !== should)
      faults.push(`${revision}: seen ${workers}, and there was ${should}`);
  }
  return faults;
}
