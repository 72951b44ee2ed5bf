/** The recorded cases against a member on a runtime, by way of each protocol that it serves. For the test, and for docs/compatibility.md. */
import { type CaseResult, OF_JSON, type Suite, runCases } from "../conformance/run-suite.ts";
import { GrpcBridge } from "../conformance/grpc-bridge.ts";
import type { RuntimeName } from "../helpers/runtimes.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

export const PROTOCOLS = ["v2", "v3", "gRPC"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** Where the cases are asked. */
export type Place = RuntimeName | "workerd";

/** What a runtime does not serve, with the reason. */
export const NOT_SERVED: Readonly<Partial<Record<Place, Readonly<Partial<Record<Protocol, string>>>>>> = {
  bun: { gRPC: "its HTTP/2 closes connections of Go's gRPC clients" },
  workerd: { gRPC: "a Worker cannot send the trailers that end a reply" },
};

export const suiteOf = (protocol: Protocol): Suite => (protocol === "v2" ? "v2" : "v3");
export const skippedOf = (protocol: Protocol): readonly string[] => (protocol === "gRPC" ? OF_JSON : []);

/** Cases that cannot be on a runtime, with the reason: they count as not passed. */
export const CANNOT_BE: Readonly<Partial<Record<Place, Readonly<Record<string, string>>>>> = {
  workerd: {
    "v2-http-path-normalised": "the platform takes dots out of the path of a URL before a Worker sees it",
    "v3-gateway-metrics-server": "the platform has metrics of its own, and there is no page of ours",
  },
};
export const cannotBeOn = (place: Place): readonly string[] => Object.keys(CANNOT_BE[place] ?? {});

/** @param skip further cases that are not asked @returns results by name of the case. @throws Error when the server did not start, or ended meanwhile */
export async function conformanceOf(
  start: () => Promise<ServerProcess>,
  protocol: Protocol,
  skip: readonly string[] = [],
): Promise<ReadonlyMap<string, CaseResult>> {
  const server = await start();
  const bridge = protocol === "gRPC" ? await GrpcBridge.start(server.url) : undefined;
  try {
    return await runCases({ suite: suiteOf(protocol), server, url: bridge?.url ?? server.url, skip: [...skippedOf(protocol), ...skip] });
  } finally {
    bridge?.stop();
    await server.stop();
  }
}
