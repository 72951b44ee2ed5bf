/** Calls over a link: numbers questions, matches answers, and says of each broken one whether it may have been heard. */
import { CODES, type ErrorCode, QuorateError, isQuorateError } from "../../core/errors.ts";

/** Questions under way on one link; more fail at once. */
export const CALLS_MAX = 20_000;

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: QuorateError) => void;
  readonly timer: NodeJS.Timeout;
}

/** The wire form of an answer: `{ re, ok }` or `{ re, error }`. */
export interface Answer {
  readonly re: number;
  readonly ok?: unknown;
  readonly error?: { readonly code: string; readonly reason: string; readonly message: string; readonly details?: Record<string, never> };
}

export function errNotSent(peer: string): QuorateError {
  return new QuorateError("unavailable", "notSent", `member ${peer} cannot be reached`, { peer });
}

export function encodeError(error: unknown): NonNullable<Answer["error"]> {
  if (isQuorateError(error)) {
    return { code: error.code, reason: error.reason, message: error.message, details: { ...error.details } as Record<string, never> };
  }
  return { code: "internal", reason: "internal", message: error instanceof Error ? error.message : String(error) };
}

export class Calls {
  readonly #peer: string;
  readonly #waiting = new Map<number, Waiting>();
  #number = 0;

  constructor(peer: string) {
    this.#peer = peer;
  }

  /** @param send puts the numbered question on the wire; false: it was not */
  ask(send: (number: number) => boolean, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const number = ++this.#number;
      if (this.#waiting.size >= CALLS_MAX || !send(number)) {
        reject(errNotSent(this.#peer));
        return;
      }
      const timer = setTimeout(() => this.#settle(number)?.reject(errUnknown(this.#peer, `no answer within ${timeoutMs} ms`)), timeoutMs);
      this.#waiting.set(number, { resolve, reject, timer });
    });
  }

  answered(answer: Answer): void {
    const waiting = this.#settle(answer.re);
    if (waiting === undefined) return; // it came after its time-out
    if (answer.error === undefined) waiting.resolve(answer.ok);
    else {
      const { code, reason, message, details } = answer.error;
      waiting.reject(new QuorateError(code in CODES ? (code as ErrorCode) : "unknown", reason, message, details ?? {}));
    }
  }

  /** The link broke: what was asked may have happened. */
  broken(): void {
    for (const number of [...this.#waiting.keys()]) this.#settle(number)?.reject(errUnknown(this.#peer, "the connection broke"));
  }

  #settle(number: number): Waiting | undefined {
    const waiting = this.#waiting.get(number);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(number);
    clearTimeout(waiting.timer);
    return waiting;
  }
}

function errUnknown(peer: string, why: string): QuorateError {
  return new QuorateError("unavailable", "timeout", "etcdserver: request timed out", { peer, why });
}
