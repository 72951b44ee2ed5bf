/** What pages of one origin say to each other over a BroadcastChannel. All of them hear everything; who is meant is in the message. */

export type TabMessage =
  /** From the page that has the store: it has it now, or is still there. */
  | { readonly kind: "here"; readonly writer: string }
  /** Who has the store? */
  | { readonly kind: "who" }
  | {
      readonly kind: "request";
      readonly writer: string;
      readonly id: string;
      readonly method: string;
      readonly url: string;
      readonly headers: readonly (readonly [string, string])[];
      readonly body: Uint8Array | null;
    }
  | { readonly kind: "head"; readonly id: string; readonly status: number; readonly headers: readonly (readonly [string, string])[] }
  | { readonly kind: "chunk"; readonly id: string; readonly data: Uint8Array }
  /** The reply is whole; or cut off, with the reason. */
  | { readonly kind: "end"; readonly id: string; readonly error: string | null }
  /** Nobody waits for the reply any more. */
  | { readonly kind: "cancel"; readonly id: string };
