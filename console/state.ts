/** What all pages share, and what the browser keeps of it: where one is, who one is, how it looks, and whether anything may be changed. */
import { signal } from "@preact/signals";

const kept = (store: Storage, name: string, initial: string) => {
  const value = signal(store.getItem(name) ?? initial);
  value.subscribe((now) => store.setItem(name, now));
  return value;
};

/** Empty: none. It ends with the tab. */
export const token = kept(sessionStorage, "quorate.token", "");
/** `system`, `light` or `dark`. */
export const theme = kept(localStorage, "quorate.theme", "system");
/** `yes`: nothing is offered that changes anything. */
export const readOnly = kept(localStorage, "quorate.readonly", "no");
/** The path within the console, decoded by whoever looks. */
export const place = signal(location.pathname);
/** Whether the cluster answered the last time it was asked. */
export const connection = signal<"connecting" | "live" | "lost">("connecting");
