/** What a test of the simulation may take, in milliseconds. It waits for nothing, so that only a busy machine makes it slow. */
export const BUSY_MS_MAX = 600_000;
