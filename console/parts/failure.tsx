/** What is shown where something should be and is not: an error, or nothing yet. */
import type { ComponentChildren } from "preact";
import { isQuorateError } from "../../client/client.ts";

/** For a person. */
export function textOf(error: unknown): string {
  if (isQuorateError(error) && (error.reason === "connectionLost" || error.reason === "timeout")) return "the cluster does not answer";
  return error instanceof Error ? error.message : String(error);
}

export function Failure({ error }: { readonly error: unknown }) {
  return (
    <p class="failure" role="alert">
      {textOf(error)}
    </p>
  );
}

export function Nothing({ children }: { readonly children: ComponentChildren }) {
  return <p class="nothing">{children}</p>;
}
