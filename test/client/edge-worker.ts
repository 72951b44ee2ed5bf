/** A Worker that is a read replica: what `edge.test.ts` runs in workerd. */
import { type EdgeContext, type EdgeHandler, edgeReplica } from "../../client/edge.ts";

let replica: EdgeHandler | undefined;

export default {
  fetch(request: Request, env: { readonly QUORATE_URL: string }, context: EdgeContext): Promise<Response> {
    return (replica ??= edgeReplica({ url: env.QUORATE_URL }))(request, context);
  },
};
