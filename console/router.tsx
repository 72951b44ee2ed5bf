/** Places within the console are paths, so that each can be linked to; going there loads nothing anew. */
import type { ComponentChildren } from "preact";
import { place } from "./state.ts";

const ROOT = "/console/";

addEventListener("popstate", () => (place.value = location.pathname));

/** @param path within the console, encoded */
export function goTo(path: string): void {
  history.pushState(null, "", ROOT + path);
  place.value = location.pathname;
}

/** The page's name, and the decoded rest. */
export function placeNow(): { readonly page: string; readonly rest: string } {
  const path = place.value.startsWith(ROOT) ? place.value.slice(ROOT.length) : "";
  const slash = path.indexOf("/");
  const [page, rest] = slash < 0 ? [path, ""] : [path.slice(0, slash), path.slice(slash + 1)];
  try {
    return { page, rest: decodeURIComponent(rest) };
  } catch {
    return { page, rest: "" }; // a link that somebody cut off
  }
}

interface LinkProps {
  readonly to: string;
  readonly current?: boolean;
  readonly children: ComponentChildren;
}

/** A link within the console; with a modifier it opens as any other. */
export function Link({ to, current = false, children }: LinkProps) {
  return (
    <a
      href={ROOT + to}
      aria-current={current ? "page" : undefined}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        goTo(to);
      }}
    >
      {children}
    </a>
  );
}
