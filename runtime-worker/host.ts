/** What core asks of its host, in a Durable Object. A timer keeps the object awake, so that there is none but while somebody waits. */
import type { Clock } from "../core/replica/clock-port.ts";

/**
 * One clock for both: deadlines of leases are stored, and have to go on while the object sleeps. The platform's clock stands still while code
 * runs, and goes on with each event.
 */
export const clock: Clock = { wallMs: () => Date.now(), monotonicMs: () => Date.now() };

export { after, every, pause, randomBytes, randomId } from "../adapters/web-platform/host.ts";
