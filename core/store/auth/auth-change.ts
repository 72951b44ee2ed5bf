/** Changes of users, roles and of whether they are asked for, as they go through the log. Passwords come as hashes. */
import type { Permission } from "./permissions.ts";
import type { Bytes } from "../../bytes/bytes.ts";

export type AuthChange =
  | { readonly op: "enable" }
  | { readonly op: "disable" }
  /** `hash` null: a user without a password, who comes with a certificate. */
  | { readonly op: "userAdd"; readonly name: string; readonly hash: string | null }
  | { readonly op: "userDelete"; readonly name: string }
  | { readonly op: "userPassword"; readonly name: string; readonly hash: string }
  | { readonly op: "userGrant"; readonly name: string; readonly role: string }
  | { readonly op: "userRevoke"; readonly name: string; readonly role: string }
  | { readonly op: "roleAdd"; readonly name: string }
  | { readonly op: "roleDelete"; readonly name: string }
  | { readonly op: "roleGrant"; readonly name: string; readonly permission: Permission }
  | { readonly op: "roleRevoke"; readonly name: string; readonly key: Bytes; readonly end: Bytes }
  /** A token that was given out after the password was checked; every member takes it. `hash`: of the password at that time. */
  | { readonly op: "token"; readonly name: string; readonly token: string; readonly hash: string }
  /** A key that scoped tokens are signed with from now on. `first`: only if there is none; otherwise all tokens of before are void. */
  | { readonly op: "tokenKey"; readonly key: TokenKey; readonly first: boolean };

/** What scoped tokens are signed with. */
export interface TokenKey {
  readonly id: string;
  /** 32 random bytes. */
  readonly secret: Bytes;
}

/** On whose behalf a command is done: checked when it is applied. */
export interface CommandAuth {
  /** Empty: nobody said who. */
  readonly user: string;
  /** Of the users and roles when it was proposed; if they have changed since, it is proposed anew. */
  readonly revision: number;
}
