/** The recorded cases against a member on a runtime, by way of each protocol that it serves. For the test, and for docs/compatibility.md. */
import { type CaseResult, OF_JSON, type Suite, runCases } from "../conformance/run-suite.ts";
import { GrpcBridge } from "../conformance/grpc-bridge.ts";
import type { Runtime, RuntimeName } from "../helpers/runtimes.ts";
import { startQuorate } from "../helpers/start-quorate.ts";

export const PROTOCOLS = ["v2", "v3", "gRPC"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** What a runtime does not serve, with the reason. */
export const NOT_SERVED: Readonly<Partial<Record<RuntimeName, Readonly<Partial<Record<Protocol, string>>>>>> = {
  bun: { gRPC: "its HTTP/2 closes connections of Go's gRPC clients" },
};

export const suiteOf = (protocol: Protocol): Suite => (protocol === "v2" ? "v2" : "v3");
export const skippedOf = (protocol: Protocol): readonly string[] => (protocol === "gRPC" ? OF_JSON : []);

/** @returns results by name of the case. @throws Error when the server did not start, or ended meanwhile */
export async function conformanceOn(runtime: Runtime, protocol: Protocol): Promise<ReadonlyMap<string, CaseResult>> {
  const server = await startQuorate({ runtime });
  const bridge = protocol === "gRPC" ? await GrpcBridge.start(server.url) : undefined;
  try {
    return await runCases({ suite: suiteOf(protocol), server, url: bridge?.url ?? server.url, skip: skippedOf(protocol) });
  } finally {
    bridge?.stop();
    await server.stop();
  }
}
