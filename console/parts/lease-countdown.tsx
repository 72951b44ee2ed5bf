/** How long a lease lives if nobody renews it, second by second where there is one. */
import { ask, send } from "../api.ts";
import { textOf } from "./failure.tsx";
import { usePoll } from "./poll.ts";

const EVERY_MS = 1_000;

interface TimeToLive {
  readonly TTL?: string;
  readonly grantedTTL?: string;
}

/** @param everyMs seldom, where there are many */
export function LeaseCountdown({ id, everyMs = EVERY_MS }: { readonly id: string; readonly everyMs?: number }) {
  const { value, error } = usePoll((signal) => send<TimeToLive>(ask("lease/timetolive", { ID: id }), signal), everyMs, id);
  const hex = BigInt(id).toString(16);
  if (value === undefined) return <span class="mono">{error === undefined ? hex : `${hex}: ${textOf(error)}`}</span>;
  return (
    <span class="mono" data-lease={hex}>
      {hex}: {value.TTL === "-1" ? "over" : `${value.TTL ?? 0} s of ${value.grantedTTL} s left`}
    </span>
  );
}
