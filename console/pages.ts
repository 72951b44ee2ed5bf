/** All pages, in the order of the navigation. A page is one file in `pages/`, named here. */
import type { ComponentType } from "preact";
import { Access } from "./pages/access.tsx";
import { Config } from "./pages/config.tsx";
import { Keys } from "./pages/keys.tsx";
import { Locks } from "./pages/locks.tsx";
import { Members } from "./pages/members.tsx";
import { Overview } from "./pages/overview.tsx";
import { Queues } from "./pages/queues.tsx";
import { Services } from "./pages/services.tsx";

export interface PageEntry {
  /** The first segment of its path; what follows is the page's own. */
  readonly path: string;
  readonly title: string;
  /** Pressed after `g`. */
  readonly shortcut: string;
  /** @param rest the decoded rest of the path, without the slash before it */
  readonly view: ComponentType<{ readonly rest: string }>;
}

export const PAGES: readonly PageEntry[] = [
  { path: "overview", title: "Overview", shortcut: "o", view: Overview },
  { path: "members", title: "Members", shortcut: "m", view: Members },
  { path: "keys", title: "Keys", shortcut: "k", view: Keys },
  { path: "services", title: "Services", shortcut: "s", view: Services },
  { path: "locks", title: "Locks and elections", shortcut: "l", view: Locks },
  { path: "queues", title: "Queues", shortcut: "q", view: Queues },
  { path: "config", title: "Configuration", shortcut: "c", view: Config },
  { path: "access", title: "Users and roles", shortcut: "u", view: Access },
];
