/** What a server says of itself on /metrics. */

export async function readMetrics(url: string): Promise<string> {
  return (await fetch(`${url}/metrics`)).text();
}

/** @param name with its labels @throws Error when there is no such metric */
export function metric(text: string, name: string): number {
  const line = text.split("\n").find((entry) => entry.startsWith(`${name} `));
  const value = line?.slice(name.length + 1);
  if (value === undefined) throw new Error(`/metrics has no ${name}`);
  return Number(value);
}
