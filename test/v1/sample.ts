/** A call of an operation of v1, by which a test proves that what the OpenAPI document says of it is true. */

/** What sample calls may need of the server: what a call before gave. */
export interface SampleServer {
  /** JSON of a reply; throws when the status is not 2xx. */
  call(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Record<string, unknown>>;
}

export interface Sample {
  readonly method: string;
  /** Of the operation, as it is declared: `/v1/locks/{name}`. */
  readonly path: string;
  /** The request, after whatever it needs was done. */
  readonly request: (server: SampleServer) => Promise<SampleRequest> | SampleRequest;
  /** The status that is expected. */
  readonly status: number;
}

export interface SampleRequest {
  /** With values for the parameters, and the query. */
  readonly path: string;
  /** Sent as JSON, unless it is text. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}
