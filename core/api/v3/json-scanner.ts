/**
 * A scanner for JSON text as it arrives: finds where a value ends, and says what is wrong with a malformed one in the words of Go's
 * encoding/json, because those are what clients of etcd's gateway see. It keeps no text and builds no value.
 *
 * The regular case never comes here (JSON.parse is many times faster); this is for streams, for bodies with something after the
 * first value, and for naming a fault.
 *
 * One state a position in the grammar, and a stack of what is open. Example, `{"a":[1]}`: value, keyOrClose, text, afterValue (colon),
 * value, valueOrClose, digits, afterValue (pops the list), afterValue (pops the object: the end).
 * Source: RFC 8259.
 */
import type { Bytes } from "../../bytes/bytes.ts";

/** Deeper nesting is refused, as Go does. */
const NESTING_MAX = 10_000;

const IN_KEY = 0;
const IN_OBJECT = 1;
const IN_LIST = 2;

type State =
  | "value"
  | "valueOrClose"
  | "key"
  | "keyOrClose"
  | "afterValue"
  | "text"
  | "escape"
  | "hex"
  | "minus"
  | "zero"
  | "digits"
  | "point"
  | "fraction"
  | "exponent"
  | "exponentSign"
  | "exponentDigits"
  | "literal"
  | "closed"
  | "passed"
  | "failed";

export class JsonScanner {
  #state: State = "value";
  #open: number[] = [];
  #started = false;
  /** In "literal": the word and how much of it was seen; in "hex": how many digits. */
  #word = "";
  #seen = 0;
  #error = "";

  /** What is wrong, once `scan` has returned "failed". */
  get error(): string {
    return this.#error;
  }

  /** False while nothing but white space was seen. */
  get started(): boolean {
    return this.#started;
  }

  /**
   * Reads on. A number at the top ends only with the byte after it or with the text, see `finish`.
   *
   * @returns the index after the value's last byte; "more" when `text` is used up before; "failed" when it is malformed
   */
  scan(text: Bytes, from: number): number | "more" | "failed" {
    for (let at = from; at < text.length; at++) {
      const code = text.charCodeAt(at);
      this.#step(code);
      const state: State = this.#state;
      if (state === "failed") return state;
      if (state === "closed") return at + 1;
      if (state === "passed") return at;
    }
    return "more";
  }

  /** The text is over. @returns whether a value is complete */
  finish(): boolean {
    if (this.#started) this.#step(SPACE);
    return this.#state === "closed" || this.#state === "passed";
  }

  #step(code: number): void {
    if (!this.#started && !isSpace(code)) this.#started = true;
    switch (this.#state) {
      case "value":
      case "valueOrClose":
        return this.#beginValue(code);
      case "key":
      case "keyOrClose":
        return this.#beginKey(code);
      case "afterValue":
        return this.#afterValue(code);
      case "text":
        if (code === QUOTE) return this.#valueDone();
        if (code === BACKSLASH) this.#state = "escape";
        else if (code < SPACE) this.#fail(code, "in string literal");
        return;
      case "escape":
        if (code === 0x75) this.#enter("hex");
        else if (SIMPLE_ESCAPES.includes(String.fromCharCode(code))) this.#state = "text";
        else this.#fail(code, "in string escape code");
        return;
      case "hex":
        if (!isHex(code)) return this.#fail(code, "in \\u hexadecimal character escape");
        if (++this.#seen === 4) this.#state = "text";
        return;
      case "literal":
        return this.#inLiteral(code);
      case "closed":
      case "passed":
      case "failed":
        return;
      default:
        return this.#inNumber(code);
    }
  }

  #beginValue(code: number): void {
    if (isSpace(code)) return;
    if (code === CLOSE_LIST && this.#state === "valueOrClose") return this.#afterValue(code);
    if (code === OPEN_OBJECT) return this.#push(IN_KEY, "keyOrClose", code);
    if (code === OPEN_LIST) return this.#push(IN_LIST, "valueOrClose", code);
    if (code === QUOTE) this.#state = "text";
    else if (code === MINUS) this.#state = "minus";
    else if (code === DIGIT_0) this.#state = "zero";
    else if (isDigit(code)) this.#state = "digits";
    else {
      const word = LITERALS.find((literal) => literal.charCodeAt(0) === code);
      if (word === undefined) return this.#fail(code, "looking for beginning of value");
      this.#enter("literal");
      this.#word = word;
      this.#seen = 1;
    }
  }

  #beginKey(code: number): void {
    if (isSpace(code)) return;
    if (code === CLOSE_OBJECT && this.#state === "keyOrClose") {
      this.#open[this.#open.length - 1] = IN_OBJECT;
      return this.#afterValue(code);
    }
    if (code !== QUOTE) return this.#fail(code, "looking for beginning of object key string");
    this.#state = "text";
  }

  #afterValue(code: number): void {
    const open = this.#open[this.#open.length - 1];
    if (open === undefined) {
      this.#state = "passed"; // a number, with the byte after it
      return;
    }
    this.#state = "afterValue";
    if (isSpace(code)) return;
    if (open === IN_KEY) {
      if (code !== COLON) return this.#fail(code, "after object key");
      this.#open[this.#open.length - 1] = IN_OBJECT;
      this.#state = "value";
    } else if (open === IN_OBJECT) {
      if (code === CLOSE_OBJECT) return this.#pop();
      if (code !== COMMA) return this.#fail(code, "after object key:value pair");
      this.#open[this.#open.length - 1] = IN_KEY;
      this.#state = "key";
    } else {
      if (code === CLOSE_LIST) return this.#pop();
      if (code !== COMMA) return this.#fail(code, "after array element");
      this.#state = "value";
    }
  }

  #inLiteral(code: number): void {
    const expected = this.#word.charCodeAt(this.#seen);
    if (code !== expected) {
      return this.#fail(code, `in literal ${this.#word} (expecting '${this.#word[this.#seen]}')`);
    }
    if (++this.#seen === this.#word.length) this.#valueDone();
  }

  #inNumber(code: number): void {
    switch (this.#state) {
      case "minus":
        if (!isDigit(code)) return this.#fail(code, "in numeric literal");
        this.#state = code === DIGIT_0 ? "zero" : "digits";
        return;
      case "digits":
        if (isDigit(code)) return;
        return this.#afterInteger(code);
      case "zero":
        return this.#afterInteger(code);
      case "point":
        if (!isDigit(code)) return this.#fail(code, "after decimal point in numeric literal");
        this.#state = "fraction";
        return;
      case "fraction":
        if (isDigit(code)) return;
        if (isExponent(code)) this.#state = "exponent";
        else this.#afterValue(code);
        return;
      case "exponent":
        if (code === PLUS || code === MINUS) {
          this.#state = "exponentSign";
          return;
        }
        if (!isDigit(code)) return this.#fail(code, "in exponent of numeric literal");
        this.#state = "exponentDigits";
        return;
      case "exponentSign":
        if (!isDigit(code)) return this.#fail(code, "in exponent of numeric literal");
        this.#state = "exponentDigits";
        return;
      default:
        if (!isDigit(code)) this.#afterValue(code);
    }
  }

  #afterInteger(code: number): void {
    if (code === POINT) this.#state = "point";
    else if (isExponent(code)) this.#state = "exponent";
    else this.#afterValue(code);
  }

  /** A text or a word is complete with this byte. */
  #valueDone(): void {
    this.#state = this.#open.length > 0 ? "afterValue" : "closed";
  }

  #push(kind: number, next: State, code: number): void {
    if (this.#open.length >= NESTING_MAX) return this.#fail(code, "exceeded max depth");
    this.#open.push(kind);
    this.#state = next;
  }

  #pop(): void {
    this.#open.pop();
    this.#valueDone();
  }

  #enter(state: State): void {
    this.#state = state;
    this.#seen = 0;
  }

  #fail(code: number, context: string): void {
    this.#state = "failed";
    this.#error = `invalid character ${quoteByte(code)} ${context}`;
  }
}

const SPACE = 0x20;
const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const DIGIT_0 = 0x30;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SIMPLE_ESCAPES = 'bfnrt\\/"';
const LITERALS = ["true", "false", "null"];

export function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function isHex(code: number): boolean {
  return isDigit(code) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66);
}

function isExponent(code: number): boolean {
  return code === 0x65 || code === 0x45;
}

const NAMED: Readonly<Record<number, string>> = {
  0x07: "\\a",
  0x08: "\\b",
  0x09: "\\t",
  0x0a: "\\n",
  0x0b: "\\v",
  0x0c: "\\f",
  0x0d: "\\r",
  0x27: "\\'",
  0x5c: "\\\\",
};

/** A byte in single quotes as Go prints it: taken for the character of that number, escaped when it does not print. */
function quoteByte(code: number): string {
  const named = NAMED[code];
  if (named !== undefined) return `'${named}'`;
  if (code < 0x20 || code === 0x7f) return `'\\x${code.toString(16).padStart(2, "0")}'`;
  if ((code > 0x7f && code <= 0xa0) || code === 0xad) return `'\\u${code.toString(16).padStart(4, "0")}'`;
  return `'${String.fromCharCode(code)}'`;
}
