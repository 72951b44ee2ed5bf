/** The tables of all services as the server has them, on a member of their own: for tests and tools that look only at their shape. */
import { grpcServices } from "../../core/api/grpc/services.ts";
import type { Service } from "../../core/api/v3/services.ts";
import { LocalMember } from "./local-member.ts";
import { localV3 } from "./local-v3.ts";

export function servedServices(): readonly Service[] {
  const member = new LocalMember();
  return grpcServices(localV3(member).services, { member, every: () => () => {} });
}
