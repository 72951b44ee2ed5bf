/**
 * When to compact without being asked, as etcd's two modes do: `periodic` keeps every revision of the last so many milliseconds,
 * `revision` keeps the last so many revisions (etcd documentation, "Maintenance", auto compaction).
 */

export type AutoCompactionPolicy =
  | { readonly mode: "off" }
  | { readonly mode: "periodic"; readonly retentionMs: number }
  | { readonly mode: "revision"; readonly retentionRevisions: number };

/** How often `revision` mode looks, as etcd does. */
const REVISION_INTERVAL_MS = 5 * 60_000;
/** Samples a retention period: the age of what is kept is exact to a tenth of it. */
const SAMPLES = 10;

export class AutoCompaction {
  readonly #policy: AutoCompactionPolicy;
  #samples: { at: number; revision: number }[] = [];
  #lookedAt: number | null = null;

  constructor(policy: AutoCompactionPolicy) {
    this.#policy = policy;
  }

  /**
   * To be asked every second or so while leading.
   * @param now on the monotonic clock, in milliseconds
   * @returns the revision to compact at, or undefined when it is not time or there is nothing to do
   */
  due(now: number, revision: number, compactedRevision: number): number | undefined {
    const policy = this.#policy;
    if (policy.mode === "off") return undefined;
    const interval = policy.mode === "revision" ? REVISION_INTERVAL_MS : policy.retentionMs / SAMPLES;
    if (this.#lookedAt !== null && now - this.#lookedAt < interval) return undefined;
    this.#lookedAt = now;
    let target: number;
    if (policy.mode === "revision") {
      target = revision - policy.retentionRevisions;
    } else {
      this.#samples.push({ at: now, revision });
      let old: number | undefined;
      while (this.#samples[0] && now - this.#samples[0].at >= policy.retentionMs) old = this.#samples.shift()!.revision;
      if (old === undefined) return undefined;
      target = old;
    }
    return target > compactedRevision && target > 0 ? target : undefined;
  }
}
