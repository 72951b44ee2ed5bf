/** Users of a server that is asked over the JSON gateway. */
import { expect } from "vitest";
import type { ServerProcess } from "../helpers/start-server.ts";

/** @returns the status, and the message of an error or `ok` */
export async function call({ url }: ServerProcess, path: string, body: object, token?: string): Promise<string> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: token };
  const reply = await fetch(`${url}/v3/${path}`, { method: "POST", body: JSON.stringify(body), headers });
  const text = await reply.text();
  return `${reply.status} ${/"message":"([^"]*)"/.exec(text)?.[1] ?? (reply.ok ? "ok" : text)}`;
}

/** Of a user with the password that `addUsers` gives. */
export async function tokenOf({ url }: ServerProcess, name: string): Promise<string> {
  const reply = await fetch(`${url}/v3/auth/authenticate`, { method: "POST", body: JSON.stringify({ name, password: "pw" }) });
  return ((await reply.json()) as { token: string }).token;
}

export const KEY = { key: "YQ==" };

/** Users root, and u, who may use the key "a"; and authentication on. */
export async function addUsers(server: ServerProcess): Promise<void> {
  const steps: [string, object][] = [
    ["user/add", { name: "root", password: "pw" }],
    ["user/grant", { user: "root", role: "root" }],
    ["user/add", { name: "u", password: "pw" }],
    ["role/add", { name: "r" }],
    ["role/grant", { name: "r", perm: { permType: "READWRITE", ...KEY } }],
    ["user/grant", { user: "u", role: "r" }],
    ["enable", {}],
  ];
  for (const [path, body] of steps) expect(await call(server, `auth/${path}`, body)).toBe("200 ok");
}
