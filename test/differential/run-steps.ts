/**
 * Sends the same steps to two servers and compares the answers, one after the other. Every run begins on clean stores, so that two running
 * servers serve any number of runs.
 */
import { differences } from "./difference.ts";
import type { OpenStream } from "./exchange.ts";
import type { Comparable, Side } from "./side.ts";
import { describeStep, type Step, type Template, type View } from "./step.ts";

export interface Difference {
  /** Where in the steps. */
  readonly step: number;
  readonly request: Template;
  /** `where: left | right` */
  readonly found: readonly string[];
  readonly left: Comparable | undefined;
  readonly right: Comparable | undefined;
}

export interface RunResult {
  readonly requests: number;
  readonly difference: Difference | undefined;
}

/** Nothing new on any stream for so long: all is there. etcd looks after watchers of the past every 100 ms. */
const QUIET_MS = 280;
const SETTLE_MS = 8_000;

interface Watching {
  readonly step: number;
  readonly request: Template;
  readonly streams: readonly [OpenStream, OpenStream];
}

/** Stops at the first difference. @throws Error when a server did not answer */
export async function runSteps(left: Side, right: Side, view: View, steps: readonly Step[]): Promise<RunResult> {
  await Promise.all([left.begin(view), right.begin(view)]);
  const open: Watching[] = [];
  let requests = 0;
  try {
    for (const [n, step] of [...steps, { kind: "settle" } as const].entries()) {
      let difference: Difference | undefined;
      if (step.kind === "send") {
        for (const request of step.requests) {
          requests++;
          const [a, b] = await Promise.all([left.send(request), right.send(request)]);
          difference ??= compare(n, request, a, b);
        }
      } else if (step.kind === "open") {
        requests++;
        open.push({ step: n, request: step.request, streams: await Promise.all([left.open(step.request), right.open(step.request)]) });
      } else {
        difference = await settle(left, right, open.splice(0));
      }
      if (difference !== undefined) return { requests, difference };
    }
    return { requests, difference: undefined };
  } finally {
    for (const { streams } of open) for (const stream of streams) stream.close();
  }
}

function compare(step: number, request: Template, left: Comparable | undefined, right: Comparable | undefined): Difference | undefined {
  const found = differences(left, right);
  return found.length === 0 ? undefined : { step, request, found, left, right };
}

async function settle(left: Side, right: Side, open: readonly Watching[]): Promise<Difference | undefined> {
  const streams = open.flatMap((watching) => watching.streams);
  const end = performance.now() + SETTLE_MS;
  const quiet = (): boolean => streams.every((stream) => stream.ended() || performance.now() - stream.changedAt() > QUIET_MS);
  while (!quiet() && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 10));
  let difference: Difference | undefined;
  for (const { step, request, streams: pair } of open) {
    difference ??= compare(step, request, told(left, request, pair[0]), told(right, request, pair[1]));
    for (const stream of pair) stream.close();
  }
  return difference;
}

/** What came on a stream; undefined while a request still waits without even a head. */
function told(side: Side, request: Template, stream: OpenStream): Comparable | undefined {
  const answer = stream.answer();
  if (answer === undefined) return undefined;
  if (request.path.startsWith("/v3")) return side.comparableStream(answer);
  const events = answer.body.split("\n").filter((line) => line !== "");
  const body = events.map((line) => side.comparable({ status: 200, headers: {}, body: line }).body);
  return { ...side.comparable({ ...answer, body: "" }), body };
}

export function describeDifference(difference: Difference, names: readonly [string, string]): string {
  const { request, found, left, right } = difference;
  const show = (answer: Comparable | undefined): string => JSON.stringify(answer)?.slice(0, 1_500) ?? "nothing";
  return [
    `request:  ${request.method} ${request.path} ${request.body ?? ""}`,
    `differs (${names.join(" | ")}):`,
    ...found.map((text) => `  ${text.slice(0, 400)}`),
    `${names[0]}: ${show(left)}`,
    `${names[1]}: ${show(right)}`,
  ].join("\n");
}

export function describeSteps(steps: readonly Step[]): string {
  return steps.map((step, n) => `  ${n}. ${describeStep(step)}`).join("\n");
}
