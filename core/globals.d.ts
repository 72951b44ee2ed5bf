/**
 * The whole list of what core asks of its host, beyond ECMAScript itself: text and base64 codecs, which Node, Deno, Bun,
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
