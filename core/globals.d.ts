/**
 * The whole list of what core asks of its host, beyond ECMAScript itself: text and base64 codecs, addresses and the like, which Node, Deno, Bun,
 * workerd and browsers all have. No clock, no timer, no random source: those enter through ports.
 */
declare class TextEncoder {
  encode(text?: string): Uint8Array<ArrayBuffer>;
  encodeInto(text: string, into: Uint8Array): { read: number; written: number };
}
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes?: Uint8Array): string;
}
declare function atob(base64: string): string;
declare function btoa(bytes: string): string;
/** Runs `task` after the present one, before timers: used to gather one batch of proposals. */
declare function queueMicrotask(task: () => void): void;
/** Tells those who work on something that nobody waits for it any longer. */
interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
  throwIfAborted(): void;
}
declare class AbortController {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}
/** Of the URL standard: addresses of services that are to be checked. */
declare class URL {
  constructor(text: string);
  static canParse(text: string): boolean;
  readonly protocol: string;
  readonly host: string;
  readonly hostname: string;
  readonly port: string;
  readonly username: string;
  readonly password: string;
}
/** Of the Web Crypto API: names of requests that must not be done twice are kept as digests, and tokens are signed by HMAC. */
interface CryptoKey {
  readonly type: string;
}
declare const crypto: {
  readonly subtle: {
    digest(algorithm: "SHA-256", data: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer>;
    importKey(
      format: "raw",
      secret: Uint8Array<ArrayBuffer>,
      algorithm: { name: "HMAC"; hash: "SHA-256" },
      extractable: false,
      uses: readonly ("sign" | "verify")[],
    ): Promise<CryptoKey>;
    sign(algorithm: "HMAC", key: CryptoKey, data: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer>;
    verify(algorithm: "HMAC", key: CryptoKey, signature: Uint8Array<ArrayBuffer>, data: Uint8Array<ArrayBuffer>): Promise<boolean>;
  };
};
/** Names the method that `await using` calls. Where a host does not know it yet, the method is there and nobody calls it. */
interface SymbolConstructor {
  readonly asyncDispose: unique symbol;
}
