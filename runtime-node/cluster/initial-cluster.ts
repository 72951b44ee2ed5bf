/** `--initial-cluster`: the members a new cluster begins with, or those of the cluster to join, as `NAME=URL,NAME=URL`. */

export interface NamedMember {
  readonly name: string;
  /** Sorted. */
  readonly peerUrls: readonly string[];
}

/** @returns members in the order of their first mention; undefined when the text is not of that form */
export function parseInitialCluster(text: string): NamedMember[] | undefined {
  const urls = new Map<string, string[]>();
  for (const item of text.split(",")) {
    const found = /^\s*([^=\s]+)=(https?:\/\/(?:\[[0-9a-fA-F:.]+\]|[^/?#@:[\]\s]+):[0-9]{1,5})\/?\s*$/.exec(item);
    if (found === null) return undefined;
    const [, name, url] = found as unknown as [string, string, string];
    urls.set(name, [...(urls.get(name) ?? []), url]);
  }
  const all = [...urls.values()].flat();
  if (new Set(all).size !== all.length) return undefined; // two members at one address
  return [...urls].map(([name, peerUrls]) => ({ name, peerUrls: peerUrls.toSorted() }));
}

export function sameUrls(a: readonly string[], b: readonly string[]): boolean {
  return a.toSorted().join() === b.toSorted().join();
}
