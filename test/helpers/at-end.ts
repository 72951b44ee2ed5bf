/**
 * What has to be done when this process ends, also by a signal: the test runner ends its workers with SIGTERM, which alone gives no exit
 * event. Without this, servers go on and directories stay.
 */
const SIGNALS = [
  ["SIGINT", 2],
  ["SIGTERM", 15],
  ["SIGHUP", 1],
] as const;

/** Module state, for the process is global. */
const acts = new Set<() => void>();
let hooked = false;

/** @param act synchronous; called once. @returns takes it back */
export function atEnd(act: () => void): () => void {
  if (!hooked) {
    hooked = true;
    process.once("exit", runAll);
    for (const [signal, number] of SIGNALS) process.once(signal, () => process.exit(128 + number));
  }
  acts.add(act);
  return () => void acts.delete(act);
}

function runAll(): void {
  // The newest first: servers are ended before the directories that they write to are removed.
  for (const act of [...acts].reverse()) act();
}
