/** Asks each endpoint by itself, which is what commands about members do. */
import { isQuorateError } from "../../core/errors.ts";
import type { Cluster } from "./cluster.ts";
import type { MembersReply } from "./member.ts";

export type Asked<T> = { readonly endpoint: string; readonly tookMs: number } & ({ readonly reply: T } | { readonly error: string });

/** @param all every member that the cluster tells of, in place of the endpoints that were given */
export async function endpointsOf(cluster: Cluster, all: boolean): Promise<readonly string[]> {
  if (!all) return cluster.settings.endpoints;
  const { members = [] } = await cluster.call<MembersReply>("cluster/member/list", {}, { repeatable: true });
  return members.flatMap(({ clientURLs = [] }) => clientURLs);
}

/** All at the same time; what one of them could not do is no failure of the others. */
export function askEach<T>(cluster: Cluster, endpoints: readonly string[], path: string, message: object): Promise<Asked<T>[]> {
  return Promise.all(
    endpoints.map(async (endpoint): Promise<Asked<T>> => {
      const begunMs = performance.now();
      try {
        const reply = await cluster.callAt<T>(endpoint, path, message, { repeatable: true });
        return { endpoint, reply, tookMs: performance.now() - begunMs };
      } catch (error) {
        if (!isQuorateError(error)) throw error;
        return { endpoint, error: error.message, tookMs: performance.now() - begunMs };
      }
    }),
  );
}
