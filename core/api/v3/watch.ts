/**
 * The watch streams of a member, whatever carries them. Sending goes in rounds over all streams that have something to send: what became
 * ready while one batch of commands was applied leaves in one write a stream, and is encoded once for all of them.
 */
import { errNotForLearner } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { Credentials, ReplySink } from "../exchange.ts";
import { WatchEncoder } from "./watch-encoder.ts";
import type { WatchFormat } from "./watch-format.ts";
import { WatchStream } from "./watch-stream.ts";

/** Calls a function again and again, the first time after one interval. @returns ends it */
export type Every = (intervalMs: number, call: () => void) => () => void;

export interface WatchDeps {
  readonly authenticator: Authenticator;
  readonly member: Member;
  /** As of other requests. It limits the messages that open watches, and what one message of a watch with fragments holds. */
  readonly maxRequestBytes: number;
  /** How often watches with `progress_notify` are told the revision when nothing happens; etcd's is ten minutes. */
  readonly progressIntervalMs: number;
  readonly every: Every;
  /** Lets the host's event loop take its turn, between rounds of much sending. */
  readonly pause: () => Promise<void>;
}

/** Who opens a stream, and how it is answered. */
export interface WatchOpening {
  readonly credentials: Credentials;
  readonly format: WatchFormat;
  readonly sink: ReplySink;
  /** Ends the stream because of an error. */
  readonly fail: (error: unknown) => void;
}

/** What etcd adds to the limit of a request where it limits a message (`grpcOverheadBytes`). */
const ENVELOPE_BYTES = 512 * 1024;
/** Streams that one round serves before the host's event loop takes its turn. */
const ROUND_STREAMS_MAX = 256;

export class WatchService {
  readonly #deps: WatchDeps;
  readonly #encoders = new Map<WatchFormat, WatchEncoder>();
  readonly #streams = new Set<WatchStream>();
  /** null: no stream is open, and no timer keeps the host from its sleep. */
  #endProgress: (() => void) | null = null;
  /** Of one message that opens a watch. */
  readonly messageBytesMax: number;
  #due: WatchStream[] = [];
  /** A round will come, or is under way. */
  #underWay = false;

  constructor(deps: WatchDeps) {
    this.#deps = deps;
    this.messageBytesMax = deps.maxRequestBytes + ENVELOPE_BYTES;
  }

  /** Streams open now, for metrics. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** Ends the timer; streams end with their connections. */
  stop(): void {
    this.#endProgress?.();
    this.#endProgress = null;
  }

  /** @throws QuorateError notForLearner */
  checkServed(): void {
    if (this.#deps.member.isLearner) throw errNotForLearner();
  }

  /** A stream that answers requests until its sink is closed. */
  open({ credentials, format, sink, fail }: WatchOpening): WatchStream {
    const stream = new WatchStream(sink, {
      store: this.#deps.member.store,
      permit: (range) => this.#deps.authenticator.checkRead(credentials, range),
      encoder: this.#encoderOf(format),
      fragmentTurnBytes: this.messageBytesMax,
      schedule: (one) => this.#schedule(one),
      fail,
    });
    this.#streams.add(stream);
    this.#endProgress ??= this.#deps.every(this.#deps.progressIntervalMs, () => {
      for (const one of this.#streams) one.progressInterval();
    });
    sink.onClose(() => {
      this.#streams.delete(stream);
      if (this.#streams.size === 0) this.stop();
      stream.close();
    });
    return stream;
  }

  #encoderOf(format: WatchFormat): WatchEncoder {
    let encoder = this.#encoders.get(format);
    if (encoder === undefined) {
      encoder = new WatchEncoder(this.#deps.member, format, this.messageBytesMax);
      this.#encoders.set(format, encoder);
    }
    return encoder;
  }

  #schedule(stream: WatchStream): void {
    if (stream.scheduled) return;
    stream.scheduled = true;
    this.#due.push(stream);
    if (this.#underWay) return;
    this.#underWay = true;
    queueMicrotask(() => this.#round());
  }

  /** Serves those that are due now; those that become due meanwhile have the next round. */
  #round(): void {
    const due = this.#due;
    this.#due = due.length > ROUND_STREAMS_MAX ? due.splice(ROUND_STREAMS_MAX) : [];
    for (const encoder of this.#encoders.values()) encoder.beginRound();
    for (const stream of due) {
      stream.scheduled = false;
      try {
        stream.send();
      } catch (error) {
        stream.fail(error);
      }
    }
    for (const encoder of this.#encoders.values()) encoder.endRound();
    this.#underWay = this.#due.length > 0;
    if (this.#underWay) void this.#deps.pause().then(() => this.#round());
  }
}
