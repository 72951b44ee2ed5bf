/** `quorate user`: users, their passwords and roles. */
import { createInterface } from "node:readline";
import type { Command } from "commander";
import { newCommand, onCluster } from "./client-command.ts";
import type { Header } from "./cluster.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { headerFields } from "./messages.ts";
import type { Shown } from "./printer.ts";
import { type RoleReply, roleLines } from "./role.ts";

interface Reply {
  readonly header?: Header;
  readonly users?: readonly string[];
  readonly roles?: readonly string[];
}

interface PasswordFlags {
  readonly interactive?: boolean;
  readonly password?: boolean;
  readonly newUserPassword?: string;
}

export function command(): Command {
  const group = newCommand("user", "users, their passwords and roles", [
    "user add ann:secret",
    "user add ann --interactive=false < password.txt",
    "user grant-role ann reader",
    "user get ann --detail",
  ]);
  for (const part of [add(), get(), list(), remove(), passwd(), grantRole(), revokeRole()]) group.addCommand(part);
  return group;
}

const text = (written: string): string => Buffer.from(`${written}\n`).toString("latin1");

export const changed = (reply: Reply, line: string): Shown => ({
  simple: () => text(line),
  json: () => reply,
  fields: () => headerFields(reply.header),
});

/** From standard input: one line, or what is typed at the terminal, unseen. @throws CommandError */
async function readPassword(name: string, interactive: boolean): Promise<string> {
  if (interactive && process.stdin.isTTY !== true) {
    throw new CommandError("a password is asked at a terminal only: NAME:PASSWORD, or --interactive=false and standard input", EXIT.usage);
  }
  if (interactive) process.stderr.write(`Password of ${name}: `);
  const lines = createInterface({ input: process.stdin, ...(interactive ? { terminal: true, output: undefined } : {}) });
  for await (const line of lines) {
    lines.close();
    if (interactive) process.stderr.write("\n");
    return line;
  }
  throw new CommandError("failed to read the password: standard input is empty", EXIT.input);
}

function add(): Command {
  const command = newCommand("add", "make a user").argument("<name[:password]>");
  command.option("--interactive", "ask for the password", true).option("--no-interactive", "read the password from standard input");
  command.option("--no-password", "without a password: for a common name of certificates");
  command.option("--new-user-password <TEXT>", "the password");
  return onCluster<PasswordFlags>(command, async ({ cluster, print }, [given], flags) => {
    const colon = given!.indexOf(":");
    const whole = flags.password === false || flags.newUserPassword !== undefined || colon < 0;
    const name = whole ? given! : given!.slice(0, colon);
    if (name === "") throw new CommandError("empty user name is not allowed.", EXIT.usage);
    const typed = async (): Promise<string> => (colon < 0 ? readPassword(name, flags.interactive !== false) : given!.slice(colon + 1));
    const password = flags.password === false ? "" : (flags.newUserPassword ?? (await typed()));
    const reply = await cluster.call<Reply>("auth/user/add", { name, password, options: { no_password: flags.password === false } });
    print.show(changed(reply, `User ${name} created`));
  });
}

function get(): Command {
  const command = newCommand("get", "tell the roles of a user").argument("<name>").option("--detail", "and what they may do");
  return onCluster<{ detail?: boolean }>(command, async ({ cluster, print }, [name], { detail = false }) => {
    const reply = await cluster.call<Reply>("auth/user/get", { name }, { repeatable: true });
    const roles = reply.roles ?? [];
    if (!detail)
      return print.show({ simple: () => text(`User: ${name}\nRoles:${roles.map((role) => ` ${role}`).join("")}`), json: () => reply });
    print.write(text(`User: ${name}`));
    for (const role of roles) {
      print.write("\n");
      print.write(roleLines(role, await cluster.call<RoleReply>("auth/role/get", { role }, { repeatable: true })));
    }
  });
}

function list(): Command {
  return onCluster(newCommand("list", "list all users"), async ({ cluster, print }) => {
    const reply = await cluster.call<Reply>("auth/user/list", {}, { repeatable: true });
    print.show({ simple: () => (reply.users ?? []).map(text).join(""), json: () => reply });
  });
}

function remove(): Command {
  return onCluster(newCommand("delete", "delete a user").argument("<name>"), async ({ cluster, print }, [name]) => {
    print.show(changed(await cluster.call<Reply>("auth/user/delete", { name }), `User ${name} deleted`));
  });
}

function passwd(): Command {
  const command = newCommand("passwd", "change the password of a user").argument("<name>");
  command.option("--interactive", "ask for the password", true).option("--no-interactive", "read the password from standard input");
  return onCluster<PasswordFlags>(command, async ({ cluster, print }, [name], { interactive }) => {
    const password = await readPassword(name!, interactive !== false);
    print.show(changed(await cluster.call<Reply>("auth/user/changepw", { name, password }), "Password updated"));
  });
}

function grantRole(): Command {
  const command = newCommand("grant-role", "give a user a role").argument("<user>").argument("<role>");
  return onCluster(command, async ({ cluster, print }, [user, role]) => {
    print.show(changed(await cluster.call<Reply>("auth/user/grant", { user, role }), `Role ${role} is granted to user ${user}`));
  });
}

function revokeRole(): Command {
  const command = newCommand("revoke-role", "take a role from a user").argument("<user>").argument("<role>");
  return onCluster(command, async ({ cluster, print }, [name, role]) => {
    print.show(changed(await cluster.call<Reply>("auth/user/revoke", { name, role }), `Role ${role} is revoked from user ${name}`));
  });
}
