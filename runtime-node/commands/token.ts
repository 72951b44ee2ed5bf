/** `quorate token`: tokens that allow less than a user may, and less again of a token. */
import type { Command } from "commander";
import { QuorateError } from "../../core/errors.ts";
import { attenuate } from "../../core/tokens/scoped-token.ts";
import { parseDuration } from "../duration.ts";
import { newCommand, onCluster } from "./client-command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";

interface TokenFlags {
  readonly allow?: readonly string[];
  readonly ttl?: string;
}

export function command(): Command {
  const group = newCommand("token", "tokens for a few keys or one lock, and a while", [
    "token create --allow locks:deploy-*:acquire --allow kv:/app/config/*:read --ttl 1h --user ann:secret",
    "token narrow q1.eyJ... --allow locks:deploy-web:acquire --ttl 10m",
  ]);
  for (const part of [create(), narrow()]) group.addCommand(part);
  return group;
}

const collect = (one: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), one];

function create(): Command {
  const command = newCommand("create", "ask for a token");
  command.option("--allow <ENTRY>", "kind:name:verbs; may be given several times", collect);
  command.option("--ttl <DURATION>", "how long it is good", "1h");
  return onCluster<TokenFlags>(command, async ({ cluster, print }, _, { allow, ttl }) => {
    if (allow === undefined) throw new CommandError("--allow is missing: such as locks:deploy-*:acquire", EXIT.usage);
    const reply = await cluster.v1<{ token: string; expiresAt: number }>("POST", "/v1/tokens", { allow, ttl });
    print.show({ simple: () => `${reply.token}\n`, json: () => reply });
  });
}

function narrow(): Command {
  const command = newCommand("narrow", "make a token that allows less of a token; asks nobody").argument("<token>");
  command
    .option("--allow <ENTRY>", "kind:name:verbs; may be given several times", collect)
    .option("--ttl <DURATION>", "how long it is good");
  return onCluster<TokenFlags>(command, async ({ print }, [token], { allow, ttl }) => {
    const ms = ttl === undefined ? undefined : parseDuration(ttl);
    if (ttl !== undefined && ms === undefined)
      throw new CommandError(`--ttl is ${JSON.stringify(ttl)}; wanted: a duration such as 10m`, EXIT.usage);
    const exp = ms === undefined ? {} : { exp: Math.floor((Date.now() + ms) / 1000) };
    const made = await attenuate(token!, { ...(allow === undefined ? {} : { allow }), ...exp }).catch((error: unknown) => {
      if (error instanceof QuorateError) throw new CommandError(error.message, EXIT.usage);
      throw error;
    });
    print.show({ simple: () => `${made}\n`, json: () => ({ token: made }) });
  });
}
