/**
 * `grpc.health.v1.Health`: whether this member serves, for load balancers and probes that speak gRPC. It is one service, named "", as in
 * etcd, and serves while it knows a leader. An alarm does not end that: clients that balance by health are those who free the space. (etcd
 * 3.4 always serves.)
 * Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
 */
import { QuorateError } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { Cancellation } from "../v3/cancellation.ts";
import { type EnumTable, type MessageTable, enumeration, message, string } from "../v3/message-table.ts";
import { type Service, erased } from "../v3/services.ts";
import type { Every } from "../v3/watch.ts";

interface HealthCheckRequest {
  readonly service: string;
}
const REQUEST: MessageTable<HealthCheckRequest> = message("grpc.health.v1.HealthCheckRequest", { service: string("service", 1) });

const STATUS: EnumTable = {
  name: "grpc.health.v1.HealthCheckResponse_ServingStatus",
  values: ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"],
};
const [, SERVING, NOT_SERVING, SERVICE_UNKNOWN] = STATUS.values.map((_, number) => number) as [number, number, number, number];

interface HealthCheckResponse {
  /** A number of `STATUS`. */
  readonly status: number;
}
const RESPONSE: MessageTable<HealthCheckResponse> = message("grpc.health.v1.HealthCheckResponse", {
  status: enumeration(STATUS, "status", 1),
});

/** How often a watch looks. */
const LOOK_MS = 1_000;

export interface HealthDeps {
  readonly member: Member;
  readonly every: Every;
}

export function healthService({ member, every }: HealthDeps): Service {
  const statusOf = ({ service }: HealthCheckRequest): number => {
    if (service !== "") return SERVICE_UNKNOWN;
    return member.status().leaderId !== "0" ? SERVING : NOT_SERVING;
  };
  const check = (request: HealthCheckRequest): HealthCheckResponse => {
    const status = statusOf(request);
    if (status === SERVICE_UNKNOWN) throw new QuorateError("notFound", "notFound", "unknown service");
    return { status };
  };
  /** The status now, and each time that it is another. */
  async function* watch(request: HealthCheckRequest, cancellation: Cancellation): AsyncGenerator<HealthCheckResponse, void, void> {
    let wake = (): void => {};
    const stop = every(LOOK_MS, () => wake());
    const unlisten = cancellation.onCancel(() => wake());
    try {
      for (let told = -1; !cancellation.isCanceled;) {
        const status = statusOf(request);
        if (status === told) await new Promise<void>((resolve) => (wake = resolve));
        else yield { status: (told = status) };
      }
    } finally {
      unlisten();
      stop();
    }
  }
  return {
    name: "grpc.health.v1.Health",
    methods: [
      erased({ kind: "unary", name: "Check", paths: [], request: REQUEST, reply: RESPONSE, call: check }),
      erased({
        kind: "serverStream",
        name: "Watch",
        paths: [],
        request: REQUEST,
        reply: RESPONSE,
        call: (request, _, cancellation) => watch(request, cancellation),
      }),
    ],
  };
}
