/** A client made of environment variables, for hosts that have such: Node, Deno, Bun, and Workers by their bindings. */
import { errBadField } from "../core/errors.ts";
import { type Client, type ConnectOptions, connect } from "./connect.ts";

/** Of a host that keeps them in `process`, as far as it is asked. */
interface EnvHost {
  readonly process?: { readonly env?: Readonly<Record<string, unknown>> };
}

/**
 * Connects to `QUORATE_URL`, one address or several with commas between, with the token in `QUORATE_TOKEN` if there is one.
 * @param env default: the process's; in a Worker, its bindings
 * @throws QuorateError badField when there is no address
 */
export function fromEnv(env?: Readonly<Record<string, unknown>>, options: ConnectOptions = {}): Client {
  const all = env ?? (globalThis as EnvHost).process?.env ?? {};
  const { QUORATE_URL: url, QUORATE_TOKEN: token } = all;
  if (typeof url !== "string" || url === "") throw errBadField("QUORATE_URL", "QUORATE_URL must be the address of the store");
  const endpoints = url.split(",").map((one) => one.trim());
  return connect({ endpoints, ...(typeof token === "string" && token !== "" ? { token } : {}), ...options });
}
