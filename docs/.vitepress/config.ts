/** The site that `npm run docs:site` builds from the pages of docs/, as they are. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vitepress";

const DOCS = join(import.meta.dirname, "..");

/** The heading of a page names it. */
function pagesIn(folder: string): { text: string; link: string }[] {
  return readdirSync(join(DOCS, folder))
    .filter((name) => name.endsWith(".md") && name !== "README.md")
    .map((name) => {
      const [, title = name] = /^# (.+)$/m.exec(readFileSync(join(DOCS, folder, name), "utf8")) ?? [];
      return { text: title.replaceAll("`", ""), link: `/${folder}/${name.replace(/\.md$/, "")}` };
    });
}

const page = (text: string, name: string): { text: string; link: string } => ({ text, link: `/${name}` });

const sidebar = [
  {
    text: "Begin",
    items: [
      page("Ten minutes", "tutorial"),
      page("Guarantees", "guarantees"),
      page("Compared", "comparison"),
      page("Examples", "examples/"),
    ],
  },
  {
    text: "Use",
    items: [
      page("Client", "client"),
      page("Tokens", "tokens"),
      page("Testing", "testing"),
      page("Clients of etcd", "clients"),
      page("Differences from etcd", "differences-from-etcd"),
    ],
  },
  { text: "Recipes", collapsed: true, items: pagesIn("recipes") },
  {
    text: "Run",
    items: [
      page("Operations", "operations"),
      page("Deploying", "deploy"),
      page("TLS and users", "tls"),
      page("Workers", "workers"),
      page("Browsers", "browser"),
      page("Runtimes", "compatibility"),
      page("Scale", "scale"),
      page("Moving to another store", "moving"),
      page("What a member tells", "observability"),
      page("The web console", "console"),
      page("Performance", "performance"),
    ],
  },
  { text: "Reference", collapsed: true, items: [...pagesIn("reference"), ...pagesIn("formats")] },
  {
    text: "Inside",
    collapsed: true,
    items: [
      page("Architecture", "ARCHITECTURE"),
      page("Raft", "raft"),
      page("Verification", "verification"),
      page("Verification of Raft", "verification-raft"),
    ],
  },
  { text: "Decisions", collapsed: true, items: pagesIn("decisions") },
];

export default defineConfig({
  title: "Quorate",
  description: "The coordination store for serverless and self-hosted systems: etcd's guarantees, reachable from anything that can fetch.",
  lang: "en",
  cleanUrls: true,
  outDir: process.env["DOCS_OUT"] ?? join(DOCS, ".vitepress", "dist"),
  cacheDir: process.env["DOCS_CACHE"] ?? join(DOCS, ".vitepress", "cache"),
  rewrites: { "examples/README.md": "examples/index.md", "examples/:name/README.md": "examples/:name/index.md" },
  // Files of the repository that pages speak of are not on the site; addresses of one's own machine lead nowhere.
  ignoreDeadLinks: [
    /^https?:\/\/(localhost|127\.)/,
    /\/edge$/,
    (link) => link.includes("../adapters/") || link.includes("../runtime-node/") || link.includes("../../adapters/"),
  ],
  srcExclude: ["examples/**/*.ts"],
  themeConfig: {
    sidebar,
    outline: [2, 3],
    search: { provider: "local" },
    nav: [page("Ten minutes", "tutorial"), page("Guarantees", "guarantees"), page("Reference", "reference/v1")],
  },
});
