/** A message in the hands of one consumer: kept for as long as it works, and ended once. */
import { errReceiptExpired, isQuorateError } from "../errors.ts";
import type { TxnRequest } from "../store/command.ts";
import type { CallOptions, RecipeContext } from "./client-port.ts";
import { type RejectOptions, acknowledge, acknowledgedBy, extendMessage, rejectMessage } from "./queue-flight.ts";
import type { Message } from "./queue-take.ts";

/** Extended when so much of its time is over: two more tries fit in, should the first not be heard. */
const EXTEND_PART = 1 / 3;
/** Before its time is over, as a part of it: clocks differ, and the store's is not known exactly. */
const MARGIN_PART = 1 / 10;
const RETRY_MS = 500;

export class Delivery {
  readonly message: Message;
  readonly #context: RecipeContext;
  readonly #name: string;
  readonly #visibilityMs: number;
  readonly #lost = new AbortController();
  readonly #over = new AbortController();
  #receipt: string;
  #validUntil: number;
  /** Changes of the receipt, one after another: an acknowledgement needs the newest. */
  #moving: Promise<unknown> = Promise.resolve();

  /** @param sentMs on the host's monotonic clock: before the take was sent */
  constructor(context: RecipeContext, name: string, message: Message & { readonly receipt: string }, visibilityMs: number, sentMs: number) {
    this.#context = context;
    this.#name = name;
    this.message = message;
    this.#visibilityMs = visibilityMs;
    this.#receipt = message.receipt;
    this.#validUntil = sentMs + visibilityMs * (1 - MARGIN_PART);
  }

  /** Fires when the message may be another's. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** It was acknowledged, given back, or lost. */
  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** The newest one. */
  get receipt(): string {
    return this.#receipt;
  }

  /** Adds to a transaction that it takes effect only while the message is this consumer's, and acknowledges it. */
  guard(txn: TxnRequest): TxnRequest {
    return acknowledgedBy(txn, this.#name, this.#receipt);
  }

  /** It is done. @throws QuorateError receiptExpired when it was another's before */
  async ack(options: CallOptions = {}): Promise<void> {
    await this.#ended(() => acknowledge(this.#context, this.#name, this.#receipt, options));
  }

  /** It could not be done. @throws QuorateError receiptExpired, badField */
  async reject(options: RejectOptions = {}): Promise<void> {
    await this.#ended(() => rejectMessage(this.#context, this.#name, this.#receipt, options));
  }

  /** More time for it, from now on. @throws QuorateError receiptExpired, badField */
  async extend(visibilityMs = this.#visibilityMs, options: CallOptions = {}): Promise<void> {
    await this.#move(async () => {
      const sentMs = this.#context.host.monotonicMs();
      this.#receipt = await extendMessage(this.#context, this.#name, this.#receipt, visibilityMs, options);
      this.#validUntil = sentMs + visibilityMs * (1 - MARGIN_PART);
    });
  }

  /** Extends it again and again until it is over. Never throws: what goes wrong is that it is lost. */
  async keep(): Promise<void> {
    await Promise.all([this.#extendAgain(), this.#untilInvalid()]);
  }

  async #extendAgain(): Promise<void> {
    const { host } = this.#context;
    let pause = this.#visibilityMs * EXTEND_PART;
    while (!this.isOver) {
      // Woken by its end: there is nothing to keep.
      await host.sleep(pause, this.#over.signal).catch(() => {});
      if (this.isOver) return;
      try {
        await this.extend(this.#visibilityMs, { signal: this.#over.signal });
        pause = this.#visibilityMs * EXTEND_PART;
      } catch (error) {
        if (this.isOver) return;
        if (isQuorateError(error) && error.reason === "receiptExpired") return this.#lose(error);
        pause = RETRY_MS;
      }
    }
  }

  /** Whether somebody hears of it or not. */
  async #untilInvalid(): Promise<void> {
    const { host } = this.#context;
    while (!this.isOver) {
      const leftMs = this.#validUntil - host.monotonicMs();
      if (leftMs <= 0) return this.#lose(errReceiptExpired());
      await host.sleep(leftMs, this.#over.signal).catch(() => {});
    }
  }

  /** Keeps it no longer: what is not acknowledged is handed out again when its time is over. */
  stop(): void {
    this.#over.abort();
  }

  async #ended(act: () => Promise<unknown>): Promise<void> {
    await this.#move(act);
    this.#over.abort();
  }

  #lose(reason: unknown): void {
    this.#lost.abort(reason);
    this.#over.abort();
  }

  #move<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#moving.then(act);
    this.#moving = done.catch(() => {}); // told to whoever asked
    return done;
  }
}
