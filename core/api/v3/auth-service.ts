/**
 * etcd's Auth service as it answers while authentication is off and nobody was ever added: there are no users and no roles, and adding
 * one is refused. Source: etcd's rpc.proto and auth/store.go.
 */
import {
  errAuthNotEnabled,
  errRoleEmpty,
  errRoleNotFound,
  errRootUserNotExist,
  errUnsupported,
  errUserEmpty,
  errUserNotFound,
} from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { NameMessage, RolesMessage, UsersMessage } from "./auth-messages.ts";
import type { HeaderOnly } from "./messages.ts";
import { headerOf } from "./response-header.ts";

export class AuthService {
  readonly #member: Member;

  constructor(member: Member) {
    this.#member = member;
  }

  enable(): never {
    throw errRootUserNotExist();
  }

  disable(): HeaderOnly {
    return { header: headerOf(this.#member) };
  }

  authenticate(): never {
    throw errAuthNotEnabled();
  }

  userList(): UsersMessage {
    return { header: headerOf(this.#member), users: [] };
  }

  userAdd({ name }: NameMessage): never {
    if (name === "") throw errUserEmpty();
    throw errUnsupported("quorate: users cannot be added: this server has no authentication");
  }

  /** Whatever is asked of a user by name. */
  ofUser(): never {
    throw errUserNotFound();
  }

  roleList(): RolesMessage {
    return { header: headerOf(this.#member), roles: [] };
  }

  roleAdd({ name }: NameMessage): never {
    if (name === "") throw errRoleEmpty();
    throw errUnsupported("quorate: roles cannot be added: this server has no authentication");
  }

  /** Whatever is asked of a role by name. */
  ofRole(): never {
    throw errRoleNotFound();
  }
}
