/** Short notes about what was done, or was not; a screen reader hears them. */
import { signal } from "@preact/signals";

interface Toast {
  readonly id: number;
  readonly kind: "done" | "failed";
  readonly text: string;
}

const TOAST_MS = 6_000;
const toasts = signal<readonly Toast[]>([]);
let last = 0;

export function toast(kind: Toast["kind"], text: string): void {
  const id = ++last;
  toasts.value = [...toasts.value, { id, kind, text }];
  setTimeout(() => (toasts.value = toasts.value.filter((one) => one.id !== id)), TOAST_MS);
}

export function Toasts() {
  return (
    <div class="toasts" role="status">
      {toasts.value.map(({ id, kind, text }) => (
        <p key={id} class={`toast ${kind}`}>
          {text}
        </p>
      ))}
    </div>
  );
}
