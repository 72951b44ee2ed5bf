/** The page's service worker: its store answers what is asked of the API. */
import { serveStore } from "../service-worker.ts";

serveStore();
