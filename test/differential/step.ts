/**
 * What a random run consists of. Requests are texts with placeholders for what differs from server to server, filled in for each side from what that
 * side answered before:
 *
 * - `{{rev-3}}`, `{{rev+1}}`: the newest v3 revision seen, and so far from it
 * - `{{idx-3}}`, `{{idx+1}}`: the same for the v2 index; never below the first index of the run
 * - `{{mod:/a/b}}`: the newest modifiedIndex seen of that v2 key, else 1
 * - `{{lease:2}}`: the third lease id that the server chose itself, else 77
 */

export interface Template {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export type Step =
  /** Requests one after the other, kept together when a failing run is made smaller. */
  | { readonly kind: "send"; readonly requests: readonly Template[] }
  /** A watch that stays open until the next `settle`. */
  | { readonly kind: "open"; readonly request: Template }
  /** Waits until nothing more comes on any open watch, compares, hangs up. */
  | { readonly kind: "settle" };

/**
 * Which store a run is about, and over which protocol: `v3` is the JSON gateway. They are compared in separate runs, since etcd counts the
 * changes of its two stores separately and ours counts them together.
 */
export type View = "v2" | "v3" | "grpc";

export function describeStep(step: Step): string {
  if (step.kind === "settle") return "settle";
  const requests = step.kind === "open" ? [step.request] : step.requests;
  return requests.map((request) => `${step.kind} ${request.method} ${request.path} ${request.body ?? ""}`).join("\n      ");
}
