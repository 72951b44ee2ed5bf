/**
 * The v2 tree as readers see it: nodes, listings, and watches with etcd's rules about who hears of what.
 *
 * The state machine passes every revision to `committed` and calls `flush` after a batch; watches are told then. Where nobody watches,
 * a revision costs next to nothing. A watch on a path hears of
 * - what happens at the path itself;
 * - when recursive, what happens below, unless a name on the way begins with an underscore;
 * - the end of its node when a directory above goes.
 * A watch that is not `once` hears of the end of its own node twice, as in etcd, which tells the nodes that go and then the path.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import type { QuorateError } from "../../errors.ts";
import type { RevisionRecord } from "../version-store-port.ts";
import { type V2Node, isRemoval } from "./v2-command.ts";
import type { V2Context } from "./v2-context.ts";
import { type V2Event, V2History, eventsOf } from "./v2-history.ts";
import { findNode, listChildren, whyNotFound } from "./v2-nodes.ts";
import { ROOT, ancestors, isBelow, isHiddenBelow, pathOfKey } from "./v2-path.ts";
import type { V2TreeView, V2WatchOptions } from "./v2-tree-view.ts";

interface Watch {
  readonly options: V2WatchOptions;
  /** Events before this index are not for it. */
  next: number;
  /** From the history, not delivered yet. */
  backlog: V2Event[];
  closed: boolean;
}

export class V2Tree implements V2TreeView {
  readonly #context: V2Context;
  readonly #history: V2History;
  readonly #watches = new Map<Bytes, Set<Watch>>();
  #watchCount = 0;
  #expired = 0;
  /** Committed, not told yet; only while somebody watches. */
  #untold: RevisionRecord[] = [];

  constructor(context: V2Context) {
    this.#context = context;
    this.#history = new V2History(context);
  }

  // ---- nodes

  get index(): number {
    return this.#context.store.revision;
  }

  node(path: Bytes): V2Node | undefined {
    return findNode(this.#context, path);
  }

  whyMissing(path: Bytes): QuorateError {
    return whyNotFound(this.#context, path);
  }

  children(path: Bytes): V2Node[] {
    return listChildren(this.#context, path, false);
  }

  // ---- events

  get watcherCount(): number {
    return this.#watchCount;
  }

  get expireCount(): number {
    return this.#expired;
  }

  /** Every revision, in order, as soon as it is committed. Tells nobody yet. */
  committed(record: RevisionRecord): void {
    if (record.note?.action === "expire") this.#expired++;
    this.#history.add(record);
    if (this.#watchCount > 0) this.#untold.push(record);
  }

  /** Tells the watches of what was committed. */
  flush(): void {
    if (this.#untold.length === 0) return;
    const records = this.#untold;
    this.#untold = [];
    for (const record of records) {
      for (const event of eventsOf(this.#context, record)) if (!event.note.silent) this.#tell(event, record);
    }
  }

  /** The state was replaced as a whole (a snapshot was restored), or its revision raised without a record. */
  reset(): void {
    this.#untold = [];
    this.#history.forget();
  }

  watch(options: V2WatchOptions): { close(): void } {
    const { path, recursive, sinceIndex } = options;
    const now = this.index;
    const past = sinceIndex > 0 && sinceIndex <= now;
    const backlog = past
      ? this.#history.read({ path, recursive, since: sinceIndex, max: options.once === true ? 1 : Number.MAX_SAFE_INTEGER })
      : [];
    const watch: Watch = { options, next: Math.max(now + 1, sinceIndex), backlog, closed: false };
    let watches = this.#watches.get(path);
    if (watches === undefined) this.#watches.set(path, (watches = new Set()));
    watches.add(watch);
    this.#watchCount++;
    if (backlog.length > 0) queueMicrotask(() => this.#deliverBacklog(watch));
    return { close: () => this.#close(watch) };
  }

  #close(watch: Watch): void {
    if (watch.closed) return;
    watch.closed = true;
    watch.backlog = [];
    this.#watchCount--;
    const { path } = watch.options;
    const watches = this.#watches.get(path);
    watches?.delete(watch);
    if (watches?.size === 0) this.#watches.delete(path);
  }

  #deliverBacklog(watch: Watch): void {
    const backlog = watch.backlog;
    watch.backlog = [];
    for (const event of backlog) this.#deliver(watch, event);
  }

  #deliver(watch: Watch, event: V2Event): void {
    if (watch.closed) return;
    if (watch.options.once === true) this.#close(watch);
    watch.options.onEvent(event.note, event.index, event.time);
  }

  // ---- who hears of what

  #tell(event: V2Event, record: RevisionRecord): void {
    const { note } = event;
    if (isRemoval(note.action)) for (const path of this.#removedPaths(event, record)) this.#tellAt(path, event, true);
    this.#tellAt(ROOT, event, false);
    for (const path of ancestors(note.path)) this.#tellAt(path, event, false);
    if (note.path !== ROOT) this.#tellAt(note.path, event, false);
  }

  #tellAt(path: Bytes, event: V2Event, removed: boolean): void {
    const watches = this.#watches.get(path);
    if (watches === undefined) return;
    const own = path === event.note.path;
    if (!own && isHiddenBelow(event.note.path, path)) return;
    for (const watch of watches) {
      if (event.index < watch.next || !(watch.options.recursive || own || removed)) continue;
      if (watch.backlog.length > 0) this.#deliverBacklog(watch);
      this.#deliver(watch, event);
    }
  }

  /** Paths that went with the event's node, itself among them, and where somebody may watch. */
  #removedPaths(event: V2Event, record: RevisionRecord): Set<Bytes> {
    const { path } = event.note;
    const removed = new Set<Bytes>();
    if (record.note !== null) {
      for (const kv of record.kvs) {
        const gone = pathOfKey(kv.key);
        if (!isBelow(gone, path)) continue;
        removed.add(gone);
        // Directories between that had no marker go too.
        for (const above of ancestors(gone)) if (isBelow(above, path)) removed.add(above);
      }
    }
    removed.add(path);
    return removed;
  }
}
