/** POST handles the events that came since the last call; GET tells how far a task is. */
import { fromEnv, isQuorateError, moveCursor, readCursor, readEvents, taskState, text } from "quorate/client";

export default {
  async fetch(request: Request, env: { readonly QUORATE_URL: string }): Promise<Response> {
    const q = fromEnv(env);
    if (request.method !== "POST") return Response.json((await taskState(q, "import")).workers);
    let cursor = await readCursor(q, "orders", "mail");
    const { events } = await readEvents(q, "orders", { after: cursor.after });
    try {
      for (const { revision, value } of events) {
        console.log("mailing", text.decode(value)); // what may happen twice, should this function die before the next line
        cursor = await moveCursor(q, "orders", "mail", revision, cursor);
      }
    } catch (error) {
      if (isQuorateError(error) && error.reason === "conflict") return new Response("another call is at it\n", { status: 409 });
      throw error;
    }
    return Response.json({ handled: events.length, after: cursor.after });
  },
};
