/** What stands around every page: navigation, state of the connection, appearance, read-only mode, signing in, and the keyboard. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { lookForMembers } from "./api.ts";
import { PAGES } from "./pages.ts";
import { usePoll } from "./parts/poll.ts";
import { Toasts } from "./parts/toasts.tsx";
import { SignIn } from "./parts/sign-in.tsx";
import { Link, goTo, placeNow } from "./router.tsx";
import { connection, readOnly, theme, token } from "./state.ts";

const MEMBERS_MS = 2_000;
const THEMES = ["system", "light", "dark"];
const STATES = { connecting: "connecting", live: "live", lost: "no answer" } as const;

export function Shell() {
  const helping = useSignal(false);
  const signingIn = useSignal(false);
  const { page, rest } = placeNow();
  const entry = PAGES.find(({ path }) => path === page) ?? (page === "" ? PAGES[0] : undefined);
  useEffect(() => theme.subscribe((now) => void (document.documentElement.dataset["theme"] = now)), []);
  useEffect(() => onShortcuts(() => (helping.value = true)), []);
  // On every page: whether anybody answers, and whom else to ask.
  usePoll(lookForMembers, MEMBERS_MS);
  useEffect(() => void (document.title = `${entry?.title ?? "Not found"} · Quorate`), [entry]);
  const View = entry?.view;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <header>
        <strong class="brand">Quorate</strong>
        <nav aria-label="Pages">
          {PAGES.map(({ path, title }) => (
            <Link key={path} to={path} current={path === entry?.path}>
              {title}
            </Link>
          ))}
        </nav>
        <span class={`state ${connection.value}`} role="status">
          {STATES[connection.value]}
        </span>
        <label>
          <input
            type="checkbox"
            checked={readOnly.value === "yes"}
            onChange={(event) => (readOnly.value = event.currentTarget.checked ? "yes" : "no")}
          />{" "}
          Read-only
        </label>
        <label>
          <span class="hidden">Appearance</span>
          <select value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value)}>
            {THEMES.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <button class="quiet" onClick={() => (token.value === "" ? (signingIn.value = true) : (token.value = ""))}>
          {token.value === "" ? "Sign in" : "Sign out"}
        </button>
        <button class="quiet" aria-label="Keyboard shortcuts" onClick={() => (helping.value = true)}>
          ?
        </button>
      </header>
      <main id="main" tabIndex={-1}>
        <h1>{entry?.title ?? "There is no such page"}</h1>
        {View === undefined ? <p>The links above lead to those that there are.</p> : <View rest={rest} />}
      </main>
      {helping.value && <Help onClose={() => (helping.value = false)} />}
      {signingIn.value && <SignIn onClose={() => (signingIn.value = false)} />}
      <Toasts />
    </>
  );
}

function Help({ onClose }: { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="help-title">
      <h2 id="help-title">Keyboard</h2>
      <dl>
        <dt>
          <kbd>?</kbd>
        </dt>
        <dd>this list</dd>
        {PAGES.map(({ path, title, shortcut }) => [
          <dt key={`${path} keys`}>
            <kbd>g</kbd> <kbd>{shortcut}</kbd>
          </dt>,
          <dd key={path}>{title}</dd>,
        ])}
        <dt>
          <kbd>/</kbd>
        </dt>
        <dd>search on this page</dd>
      </dl>
      <form method="dialog">
        <button class="primary">Close</button>
      </form>
    </dialog>
  );
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof Element && target.closest("input, textarea, select, dialog") !== null;

/** @returns ends it */
function onShortcuts(help: () => void): () => void {
  let before = "";
  const pressed = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const { key } = event;
    const page = before === "g" ? PAGES.find(({ shortcut }) => shortcut === key) : undefined;
    before = key;
    if (page !== undefined) goTo(page.path);
    else if (key === "?") help();
    else if (key === "/") {
      event.preventDefault();
      document.querySelector<HTMLInputElement>("main input[type=search]")?.focus();
    }
  };
  addEventListener("keydown", pressed);
  return () => removeEventListener("keydown", pressed);
}
