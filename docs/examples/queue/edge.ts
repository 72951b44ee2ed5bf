/** Takes up to ten messages and does them. What fails is handed out again, to whoever asks next. */
import { acknowledge, fromEnv, rejectMessage, takeMessages, text } from "quorate/client";

async function send(to: string): Promise<boolean> {
  console.log("mailing", to);
  return true;
}

export default {
  async fetch(_request: Request, env: { readonly QUORATE_URL: string }): Promise<Response> {
    const q = fromEnv(env);
    const done: string[] = [];
    const { messages } = await takeMessages(q, "mail", { max: 10, visibilityMs: 60_000 });
    for (const { body, receipt } of messages) {
      if (await send(text.decode(body))) {
        await acknowledge(q, "mail", receipt!);
        done.push(text.decode(body));
      } else await rejectMessage(q, "mail", receipt!);
    }
    return Response.json(done);
  },
};
