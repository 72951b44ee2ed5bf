import { leaseDeadlinesContract } from "../../test/contract/lease-deadlines-port.ts";
import { LeaseClock } from "./lease-clock.ts";

leaseDeadlinesContract("LeaseClock", () => new LeaseClock());
