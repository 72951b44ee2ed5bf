/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998): each node draws a number for a key, and the highest has it. When a node goes, only its
 * own keys move, and to all the others alike; with weights, in proportion to them (Schindelhauer and Schomaker, 2005).
 */

/** The node that a key belongs to; undefined when there is none. @param weight of a node; 0: it gets nothing. Default: all alike */
export function highest<T extends { readonly id: string }>(
  key: string,
  nodes: Iterable<T>,
  weight: (node: T) => number = () => 1,
): T | undefined {
  let best: T | undefined;
  let most = -1;
  for (const node of nodes) {
    const weighs = weight(node);
    if (!(weighs > 0)) continue;
    const score = weighs / -Math.log(drawn(`${node.id}\n${key}`));
    // Of equals, the same one in whatever order they come.
    if (score > most || (score === most && node.id < best!.id)) [best, most] = [node, score];
  }
  return best;
}

/** Above 0 and below 1, from the text alone: FNV-1a, and the last mixing of MurmurHash3, because FNV alone leaves the high bits much alike. */
function drawn(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / 2 ** 32;
}
