/** Refusals of the Worker itself, before a namespace is asked: problem details (RFC 9457), as of the v1 API. */
export function refusal(status: number, reason: string, detail: string, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify({ type: "about:blank", title: reason.replaceAll("_", " "), status, code: reason, detail }), {
    status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store", ...headers },
  });
}
