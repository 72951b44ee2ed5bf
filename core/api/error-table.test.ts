import { describe, expect, it } from "vitest";
import * as errors from "../errors.ts";
import { CODES, type ErrorCode, QuorateError } from "../errors.ts";
import { ERROR_TABLE, retryOf, statusOf, v3Error } from "./error-table.ts";

const noBug = (error: unknown): void => {
  throw new Error("taken for a bug", { cause: error });
};

/** One error of each factory of core/errors.ts, made with arguments of no meaning. */
const made = Object.entries(errors)
  .filter(([name]) => name.startsWith("err"))
  .map(([name, factory]) => [name, (factory as (...args: unknown[]) => QuorateError)("file", 1, "what")] as const);

describe("ERROR_TABLE", () => {
  it("is walked over all factories", () => {
    expect(made.length).toBeGreaterThan(35);
  });

  it.each(made)("%s has a row with its code", (_, error) => {
    expect(ERROR_TABLE[error.reason]?.code).toBe(error.code);
  });

  it("has no row that no factory makes", () => {
    const reasons = new Set(made.map(([, error]) => error.reason));
    expect(Object.keys(ERROR_TABLE).filter((reason) => !reasons.has(reason))).toEqual([]);
  });

  it("never calls a retry safe when the request may have had its effect", () => {
    expect(retryOf(errors.errTimeout())).toBe("unknown");
    expect(retryOf(errors.errLeaderChanged())).toBe("unknown");
    expect(retryOf(errors.errTooManyRequests())).toBe("safe");
    expect(retryOf(new QuorateError("aborted", "notInTheTable", "x"))).toBe("never");
  });
});

describe("v3Error()", () => {
  it("writes what etcd's gateway writes", () => {
    const reply = v3Error(errors.errLeaseNotFound(), noBug);
    const text = '"etcdserver: requested lease not found"';
    expect(reply).toEqual({
      status: 404,
      headers: { "content-type": "application/json" },
      body: `{"error":${text},"message":${text},"code":5}`,
    });
  });

  it("tells a bug to the host, and nothing of it to the client", () => {
    const told: unknown[] = [];
    const bug = new TypeError("secret detail");
    const reply = v3Error(bug, (error) => told.push(error));
    expect(told).toEqual([bug]);
    expect(reply.status).toBe(500);
    expect(JSON.parse(reply.body as string)).toMatchObject({ code: CODES.internal });
    expect(reply.body).not.toContain("secret");
  });

  it("has a status for every code", () => {
    for (const code of Object.keys(CODES) as ErrorCode[]) expect(statusOf(code), code).toBeGreaterThanOrEqual(400);
    expect(statusOf("failedPrecondition")).toBe(412);
  });
});
