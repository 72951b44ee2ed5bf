/**
 * What the log says of connections that were turned away. Whoever knocks without end fills no log: each address is named once a second,
 * with the number of times that were left out.
 */
const INTERVAL_MS = 1_000;
/** Addresses remembered; the one that was named longest ago is forgotten first. */
const REMOTES_MAX = 1_000;

export interface Refusal {
  /** The address, without the port. */
  readonly remote: string;
  readonly reason: string;
  /** Of a peer that said who it is. */
  readonly member?: string;
}

/**
 * @param tell called with the refusals that are to be logged, and the number of those that were left out
 * @param monotonicMs of any origin
 */
export function refusalNotices(
  tell: (refusal: Refusal & { readonly leftOut?: number }) => void,
  monotonicMs: () => number,
): (refusal: Refusal) => void {
  /** In the order of `namedAt`. */
  const remotes = new Map<string, { readonly namedAt: number; leftOut: number }>();
  return (refusal) => {
    const { remote } = refusal;
    const now = monotonicMs();
    const known = remotes.get(remote);
    if (known !== undefined && now - known.namedAt < INTERVAL_MS) {
      known.leftOut++;
      return;
    }
    const leftOut = known?.leftOut ?? 0;
    remotes.delete(remote);
    remotes.set(remote, { namedAt: now, leftOut: 0 });
    for (const oldest of remotes.keys()) {
      if (remotes.size <= REMOTES_MAX) break;
      remotes.delete(oldest);
    }
    tell(leftOut === 0 ? refusal : { ...refusal, leftOut });
  };
}
