import { serveStore } from "../service-worker.ts";

serveStore();
