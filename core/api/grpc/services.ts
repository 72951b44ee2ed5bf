/** All that is served over gRPC: etcd's API, and the services by which gRPC's own tools find out about a server. */
import type { Service } from "../v3/services.ts";
import { type HealthDeps, healthService } from "./health.ts";
import { reflectionServices } from "./reflection.ts";

/** @param services etcd's, as of `v3Services` */
export function grpcServices(services: readonly Service[], deps: HealthDeps): Service[] {
  const described = [...services, healthService(deps)];
  return [...described, ...reflectionServices(described)];
}
