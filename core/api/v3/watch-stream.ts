/**
 * One watch stream: the watches opened on it, and what is still to be sent. It sends when the client reads, and only then: while the
 * client is slow nothing is taken from the watchers, which cost a bounded amount wherever they are (`WatchHub`).
 *
 * Order on the stream: notices (created, canceled, progress) in the order of their requests; a watch's events after its `created` and
 * none after its `canceled`. Watches take turns, so that a busy one holds up no other.
 *
 * Source: etcd 3.4's v3rpc/watch.go and mvcc/watcher.go, as a running etcd answers.
 */
import { type Bytes, EMPTY, ZERO } from "../../bytes/bytes.ts";
import { isQuorateError } from "../../errors.ts";
import type { KeyRange } from "../../store/command.ts";
import type { StoreView } from "../../store/store-view.ts";
import type { Watcher } from "../../store/watch/watcher.ts";
import type { ReplySink } from "../exchange.ts";
import { FILTER_TYPE, type WatchCreateRequestMessage, type WatchRequestMessage } from "./messages.ts";
import type { WatchEncoder } from "./watch-encoder.ts";

/** Text gathered for one write. */
const WRITE_BYTES_MAX = 256 * 1024;
/** Bytes of keys and values that a watch may send in one turn. */
const TURN_BYTES_MAX = 64 * 1024;
/** What one stream sends before others have their turn, and before the host's event loop has. */
const ROUND_BYTES_MAX = 1024 * 1024;
/** What reading a piece of history without finding anything counts as: it takes about as long. */
const EMPTY_TURN_BYTES = 256 * 1024;
/** Notices that may wait for a slow client before its requests are no longer read. */
const NOTICES_MAX = 1000;
/** Watches on one stream, ended by compaction and not yet canceled ones included. */
export const STREAM_WATCHES_MAX = 100_000;

/** The id in messages about no particular watch, or about one that was refused. */
const NO_WATCH = "-1";
const AUTOMATIC_ID = "0";

const NO_PUT = FILTER_TYPE.values.indexOf("NOPUT");
const NO_DELETE = FILTER_TYPE.values.indexOf("NODELETE");

interface Watch {
  readonly id: string;
  readonly watcher: Watcher;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
  /** It may have something to take, and stands in the row of those whose turn comes. */
  inRow: boolean;
  /** No event was sent since the last progress interval began. */
  quiet: boolean;
}

export interface WatchStreamDeps {
  readonly store: StoreView;
  /** @throws QuorateError when whoever opened the stream may not read all of it */
  readonly permit: (range: KeyRange) => void;
  readonly encoder: WatchEncoder;
  /** Bytes that a watch with fragments takes at once, so that what belongs together is split by size alone. */
  readonly fragmentTurnBytes: number;
  /** Asks for a call of `send` soon; asking again before it comes changes nothing. */
  readonly schedule: (stream: WatchStream) => void;
  /** Tells the client of an error and ends the stream. */
  readonly fail: (error: unknown) => void;
}

export class WatchStream {
  readonly #deps: WatchStreamDeps;
  readonly #sink: ReplySink;
  readonly #watches = new Map<string, Watch>();
  #row: Watch[] = [];
  #notices: Bytes[] = [];
  /** Progress requests to be answered once everything is sent. */
  #progressAsked = 0;
  #notifying = 0;
  #nextId = 0;
  /** What this round has cost so far. */
  #spent = 0;
  #blocked = false;
  #closed = false;
  #whenRoom: (() => void) | null = null;
  /** A call of `send` has been asked for; kept here for the scheduler. */
  scheduled = false;

  constructor(sink: ReplySink, deps: WatchStreamDeps) {
    this.#sink = sink;
    this.#deps = deps;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  get watchCount(): number {
    return this.#watches.size;
  }

  // ---- requests

  /** @returns undefined, or a promise to wait for before the next request is read, because the client does not read */
  request({ createRequest, cancelRequest, progressRequest }: WatchRequestMessage): Promise<void> | undefined {
    if (createRequest !== null) this.#create(createRequest);
    else if (cancelRequest !== null) this.#cancel(cancelRequest.watchId);
    else if (progressRequest !== null) this.#progressAsked++;
    this.#wake();
    if (this.#closed || this.#notices.length + this.#progressAsked < NOTICES_MAX) return undefined;
    return new Promise((resolve) => (this.#whenRoom = resolve));
  }

  #create(request: WatchCreateRequestMessage): void {
    const { store } = this.#deps;
    const key = request.key === EMPTY ? ZERO : request.key;
    const end = request.rangeEnd;
    const { revision } = store;
    const denial = this.#denial({ key, end });
    if (denial !== null) return this.#refuse(revision, denial);
    if (end !== EMPTY && end !== ZERO && key >= end) return this.#refuse(revision, "mvcc: watcher range is empty");
    if (request.watchId !== AUTOMATIC_ID && this.#watches.has(request.watchId)) {
      return this.#refuse(revision, "mvcc: duplicate watch ID provided on the WatchStream");
    }
    if (this.#watches.size >= STREAM_WATCHES_MAX) return this.#refuse(revision, "too many watches on the stream");
    const watcher = store.watch({
      key,
      end,
      startRevision: request.startRevision,
      noPut: request.filters.includes(NO_PUT),
      noDelete: request.filters.includes(NO_DELETE),
      prevKv: request.prevKv,
      onReady: () => this.#ready(watch),
    });
    const watch: Watch = {
      id: this.#idFor(request.watchId),
      watcher,
      fragment: request.fragment,
      progressNotify: request.progressNotify,
      inRow: false,
      quiet: true,
    };
    this.#watches.set(watch.id, watch);
    if (watch.progressNotify) this.#notifying++;
    this.#notice({ watchId: watch.id, created: true }, revision);
    if (request.startRevision < 0) this.#startNegative(watch, request.startRevision);
    else this.#ready(watch);
  }

  /** In the words of gRPC, as etcd gives the reason. */
  #denial(range: KeyRange): string | null {
    try {
      this.#deps.permit(range);
      return null;
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      return `rpc error: code = ${error.code.charAt(0).toUpperCase()}${error.code.slice(1)} desc = ${error.message}`;
    }
  }

  /** etcd takes a negative start for a place before all history: gone, once anything is compacted; -1 is then as good as now. */
  #startNegative(watch: Watch, startRevision: number): void {
    const { compactedRevision } = this.#deps.store;
    if (startRevision < compactedRevision) this.#compacted(watch, compactedRevision);
    else this.#ready(watch);
  }

  #idFor(wanted: string): string {
    if (wanted !== AUTOMATIC_ID) return wanted;
    while (this.#watches.has(String(this.#nextId))) this.#nextId++;
    return String(this.#nextId++);
  }

  #refuse(revision: number, cancelReason: string): void {
    this.#notice({ watchId: NO_WATCH, created: true, canceled: true, cancelReason }, revision);
  }

  #cancel(watchId: string): void {
    const watch = this.#watches.get(watchId);
    if (watch === undefined) return;
    watch.watcher.close();
    this.#watches.delete(watchId);
    if (watch.progressNotify) this.#notifying--;
    this.#notice({ watchId, canceled: true }, this.#deps.store.revision);
  }

  /** The watch is over, but its id stays taken until it is canceled, as in etcd. */
  #compacted(watch: Watch, compactRevision: number): void {
    watch.watcher.close();
    this.#notice({ watchId: watch.id, canceled: true, compactRevision }, 0);
  }

  #notice(notice: Parameters<WatchEncoder["notice"]>[0], revision: number): void {
    this.#notices.push(this.#deps.encoder.notice(notice, revision));
  }

  /** Once in a progress interval: tells watches that want it, and were sent nothing in it, how far they are. */
  progressInterval(): void {
    if (this.#closed || this.#notifying === 0) return;
    const { store } = this.#deps;
    for (const watch of this.#watches.values()) {
      if (!watch.progressNotify) continue;
      const due = watch.quiet && this.#notices.length < NOTICES_MAX && watch.watcher.isSynced();
      if (due) this.#notice({ watchId: watch.id }, store.revision);
      watch.quiet = true;
    }
    this.#wake();
  }

  // ---- sending

  #ready(watch: Watch): void {
    if (watch.inRow) return;
    watch.inRow = true;
    this.#row.push(watch);
    this.#wake();
  }

  #wake(): void {
    if (this.#blocked || this.#closed || this.scheduled) return;
    this.#deps.schedule(this);
  }

  /** Sends what there is, as far as the client reads and one round goes. What is left has another call of `schedule`. */
  send(): void {
    this.#spent = 0;
    while (!this.#closed && !this.#blocked && this.#spent < ROUND_BYTES_MAX) {
      const text = this.#gather();
      if (text === EMPTY) break;
      if (!this.#sink.write(text)) this.#block();
    }
    if (this.#row.length > 0 || this.#notices.length > 0) this.#wake();
  }

  #block(): void {
    this.#blocked = true;
    this.#sink.onDrain(() => {
      this.#blocked = false;
      this.#wake();
    });
  }

  /** The next text to write; empty when there is nothing (more) to send. */
  #gather(): Bytes {
    let text = this.#takeNotices();
    const enough = () => text.length >= WRITE_BYTES_MAX || this.#spent >= ROUND_BYTES_MAX;
    while (this.#row.length > 0 && !enough()) {
      const row = this.#row;
      this.#row = [];
      for (let at = 0; at < row.length; at++) {
        if (enough()) {
          this.#row = [...row.slice(at), ...this.#row]; // those whose turn it was first
          break;
        }
        const added = this.#turn(row[at]!);
        this.#spent += added.length;
        text = (text + added) as Bytes;
      }
    }
    if (this.#row.length === 0 && this.#progressAsked > 0) text = (text + this.#answerProgress()) as Bytes;
    return text;
  }

  #takeNotices(): Bytes {
    if (this.#notices.length === 0) return EMPTY;
    const text = this.#notices.join("") as Bytes;
    this.#notices = [];
    this.#whenRoom?.();
    this.#whenRoom = null;
    return text;
  }

  /** One watch's share of a round. */
  #turn(watch: Watch): Bytes {
    const { encoder, fragmentTurnBytes } = this.#deps;
    const taken = watch.watcher.take(watch.fragment ? fragmentTurnBytes : TURN_BYTES_MAX);
    if (taken === undefined) {
      watch.inRow = false;
      return EMPTY;
    }
    if (taken.kind === "compacted") {
      watch.inRow = false;
      this.#compacted(watch, taken.compactRevision);
      return this.#takeNotices();
    }
    this.#row.push(watch);
    if (taken.events.length === 0) {
      this.#spent += EMPTY_TURN_BYTES;
      return EMPTY;
    }
    watch.quiet = false;
    if (watch.fragment) return encoder.fragments(watch.id, taken.revision, taken.events);
    return encoder.events(watch.id, taken.revision, taken.events);
  }

  /** All watches have nothing to take: everything up to now was sent, and a client may go on from here. */
  #answerProgress(): Bytes {
    const line = this.#deps.encoder.notice({ watchId: NO_WATCH }, this.#deps.store.revision);
    const text = line.repeat(this.#progressAsked) as Bytes;
    this.#progressAsked = 0;
    this.#whenRoom?.();
    this.#whenRoom = null;
    return text;
  }

  /** Ends the stream because of an error, unless it has ended. */
  fail(error: unknown): void {
    if (this.#closed) return;
    this.close();
    this.#deps.fail(error);
  }

  /** The client is gone: frees everything. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const watch of this.#watches.values()) watch.watcher.close();
    this.#watches.clear();
    this.#row = [];
    this.#notices = [];
    this.#whenRoom?.();
    this.#whenRoom = null;
  }
}
