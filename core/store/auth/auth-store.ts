/**
 * Users, roles and permissions: replicated facts, and what they allow. Source: etcd 3.4's auth/store.go and etcdserver/apply_auth.go, as
 * a running etcd answers; https://etcd.io/docs/v3.4/op-guide/authentication/.
 *
 * A user with the role `root` may do everything. Changes need `root`; keys need a permission of a role.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import {
  errAuthFailed,
  errAuthOldRevision,
  errInvalidAuthManagement,
  errPermissionDenied,
  errPermissionNotGranted,
  errRoleEmpty,
  errRoleExists,
  errRoleNotFound,
  errRoleNotGranted,
  errRootRoleNotExist,
  errRootUserNotExist,
  errUserEmpty,
  errUserExists,
  errUserNotFound,
} from "../../errors.ts";
import type { CommandBody, KeyRange, TxnRequest } from "../command.ts";
import { finishHash, hashBytes, hashNumber } from "../mvcc/version.ts";
import type { AuthChange, CommandAuth, TokenKey } from "./auth-change.ts";
import { type Permission, RangeSet } from "./permissions.ts";
import { type KeysOf, touchCommand, touchTxn } from "./touched-keys.ts";

export const ROOT = "root";

export interface User {
  readonly name: string;
  /** null: no password. */
  readonly hash: string | null;
  /** Sorted. */
  readonly roles: readonly string[];
}

export interface Role {
  readonly name: string;
  /** Sorted by key; no two of the same range. */
  readonly permissions: readonly Permission[];
}

/** What readers see. */
export interface AuthView {
  readonly enabled: boolean;
  /** Counts changes of users and roles. */
  readonly revision: number;
  user(name: string): User | undefined;
  role(name: string): Role | undefined;
  /** Sorted. */
  userNames(): string[];
  roleNames(): string[];
  /** What scoped tokens are signed with; null while there has been none. */
  readonly tokenKey: TokenKey | null;
  /** @throws QuorateError userEmpty, permissionDenied */
  checkAdmin(user: string): void;
  /** @throws QuorateError userEmpty, permissionDenied */
  checkRange(user: string, need: "read" | "write", range: KeyRange): void;
  /** @throws QuorateError userEmpty, permissionDenied */
  checkTxn(user: string, request: TxnRequest): void;
  /** One listener: who keeps the tokens. */
  listen(listener: AuthListener): void;
}

export interface AuthListener {
  /** A token is good from now on. */
  token(token: string, user: string): void;
  /** Tokens of this user, or of everybody, are void. */
  voided(user: string | null): void;
}

interface State {
  readonly enabled: boolean;
  readonly revision: number;
  readonly users: readonly User[];
  readonly roles: readonly Role[];
  readonly tokenKey?: TokenKey;
}

export class AuthStore implements AuthView {
  #enabled = false;
  #revision = 1;
  #users = new Map<string, User>();
  #roles = new Map<string, Role>();
  #tokenKey: TokenKey | null = null;
  #listener: AuthListener | null = null;
  /** Merged ranges by user; made anew after a change. */
  readonly #ranges = new Map<string, { readonly read: RangeSet; readonly write: RangeSet }>();

  listen(listener: AuthListener): void {
    this.#listener = listener;
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  get revision(): number {
    return this.#revision;
  }

  get tokenKey(): TokenKey | null {
    return this.#tokenKey;
  }

  user(name: string): User | undefined {
    return this.#users.get(name);
  }

  role(name: string): Role | undefined {
    return this.#roles.get(name);
  }

  userNames(): string[] {
    return [...this.#users.keys()].toSorted();
  }

  roleNames(): string[] {
    return [...this.#roles.keys()].toSorted();
  }

  // ---- changes

  /** @throws QuorateError as etcd; nothing is changed then */
  apply(change: AuthChange): void {
    if (this.#do(change)) {
      this.#revision++;
      this.#ranges.clear();
    }
  }

  /** @returns whether that is a change of users and roles, which raises the revision: as in etcd, all but turning it on */
  #do(change: AuthChange): boolean {
    switch (change.op) {
      case "enable":
        return this.#enable();
      case "disable":
        return this.#disable();
      case "userAdd":
        if (change.name === "") throw errUserEmpty();
        if (this.#users.has(change.name)) throw errUserExists();
        this.#users.set(change.name, { name: change.name, hash: change.hash, roles: [] });
        return true;
      case "userDelete":
        if (this.#enabled && change.name === ROOT) throw errInvalidAuthManagement();
        if (!this.#users.delete(change.name)) throw errUserNotFound();
        this.#listener?.voided(change.name);
        return true;
      case "userPassword":
        this.#users.set(change.name, { ...this.#needUser(change.name), hash: change.hash });
        this.#listener?.voided(change.name);
        return true;
      case "userGrant":
        return this.#grant(change.name, change.role);
      case "userRevoke":
        return this.#revoke(change.name, change.role);
      case "roleAdd":
        if (change.name === "") throw errRoleEmpty();
        if (this.#roles.has(change.name)) throw errRoleExists();
        this.#roles.set(change.name, { name: change.name, permissions: [] });
        return true;
      case "roleDelete":
        return this.#deleteRole(change.name);
      case "roleGrant":
        return this.#permit(change.name, change.permission);
      case "roleRevoke":
        return this.#forbid(change.name, change.key, change.end);
      case "token": {
        // The password may have been changed since it was checked.
        const user = this.#users.get(change.name);
        if (!this.#enabled || user === undefined || user.hash !== change.hash) throw errAuthFailed();
        this.#listener?.token(change.token, change.name);
        return false;
      }
      case "tokenKey":
        if (!change.first || this.#tokenKey === null) this.#tokenKey = change.key;
        return false;
    }
  }

  #enable(): boolean {
    if (this.#enabled) return false;
    const root = this.#users.get(ROOT);
    if (root === undefined) throw errRootUserNotExist();
    if (!root.roles.includes(ROOT)) throw errRootRoleNotExist();
    this.#enabled = true;
    return false;
  }

  #disable(): boolean {
    if (!this.#enabled) return false;
    this.#enabled = false;
    this.#listener?.voided(null);
    return true;
  }

  #grant(name: string, role: string): boolean {
    const user = this.#needUser(name);
    if (role !== ROOT && !this.#roles.has(role)) throw errRoleNotFound();
    if (user.roles.includes(role)) return false;
    this.#users.set(name, { ...user, roles: [...user.roles, role].toSorted() });
    return true;
  }

  #revoke(name: string, role: string): boolean {
    if (this.#enabled && name === ROOT && role === ROOT) throw errInvalidAuthManagement();
    const user = this.#needUser(name);
    if (!user.roles.includes(role)) throw errRoleNotGranted();
    this.#users.set(name, { ...user, roles: user.roles.filter((one) => one !== role) });
    return true;
  }

  #deleteRole(name: string): boolean {
    if (this.#enabled && name === ROOT) throw errInvalidAuthManagement();
    if (!this.#roles.delete(name)) throw errRoleNotFound();
    for (const user of this.#users.values()) {
      if (user.roles.includes(name)) this.#users.set(user.name, { ...user, roles: user.roles.filter((one) => one !== name) });
    }
    return true;
  }

  #permit(name: string, permission: Permission): boolean {
    const role = this.#needRole(name);
    // A permission of the same range changes its type where it stands; a new one comes after those of the same key, as in etcd.
    const at = role.permissions.findIndex(({ key, end }) => key === permission.key && end === permission.end);
    const permissions =
      at >= 0
        ? role.permissions.with(at, permission)
        : [...role.permissions, permission].toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    this.#roles.set(name, { ...role, permissions });
    return true;
  }

  #forbid(name: string, key: Bytes, end: Bytes): boolean {
    const role = this.#needRole(name);
    const permissions = role.permissions.filter((one) => one.key !== key || one.end !== end);
    if (permissions.length === role.permissions.length) throw errPermissionNotGranted();
    this.#roles.set(name, { ...role, permissions });
    return true;
  }

  #needUser(name: string): User {
    const user = this.#users.get(name);
    if (user === undefined) throw errUserNotFound();
    return user;
  }

  #needRole(name: string): Role {
    const role = this.#roles.get(name);
    if (role === undefined) throw errRoleNotFound();
    return role;
  }

  // ---- what is allowed

  checkAdmin(user: string): void {
    if (!this.#enabled) return;
    if (user === "") throw errUserEmpty();
    if (this.#users.get(user)?.roles.includes(ROOT) !== true) throw errPermissionDenied();
  }

  checkRange(user: string, need: "read" | "write", { key, end }: KeyRange): void {
    if (!this.#enabled) return;
    if (user === "") throw errUserEmpty();
    const known = this.#users.get(user);
    if (known === undefined) throw errPermissionDenied();
    if (known.roles.includes(ROOT)) return;
    if (!this.#rangesOf(known)[need].covers(key, end)) throw errPermissionDenied();
  }

  #rangesOf(user: User): { readonly read: RangeSet; readonly write: RangeSet } {
    let ranges = this.#ranges.get(user.name);
    if (ranges === undefined) {
      const all = user.roles.flatMap((role) => this.#roles.get(role)?.permissions ?? []);
      ranges = {
        read: new RangeSet(all.filter(({ type }) => type !== "write")),
        write: new RangeSet(all.filter(({ type }) => type !== "read")),
      };
      this.#ranges.set(user.name, ranges);
    }
    return ranges;
  }

  checkTxn(user: string, request: TxnRequest): void {
    touchTxn(request, (need, range) => this.checkRange(user, need, range));
  }

  /**
   * When a command is applied: whether whoever proposed it may do it.
   * @throws QuorateError authOldRevision, userEmpty, permissionDenied
   */
  checkCommand(command: CommandBody, auth: CommandAuth | undefined, keysOf: KeysOf): void {
    if (!this.#enabled || isOwn(command)) return;
    const user = auth?.user ?? "";
    if (auth !== undefined && user !== "" && auth.revision < this.#revision) throw errAuthOldRevision();
    if (command.kind !== "auth") {
      // Granting leases, compaction and alarms need no permission, as in etcd 3.4.
      touchCommand(command, keysOf, (need, range) => this.checkRange(user, need, range));
    } else if (command.change.op === "tokenKey" ? !command.change.first : command.change.op !== "token") this.checkAdmin(user);
  }

  // ---- snapshots and hashes

  get #isNew(): boolean {
    return this.#revision === 1 && this.#tokenKey === null;
  }

  /** 0 while nothing was ever changed. */
  hash(): number {
    if (this.#isNew) return 0;
    let h = hashNumber(this.#enabled ? 1 : 2, this.#revision);
    if (this.#tokenKey !== null) h = hashBytes(hashBytes(h, this.#tokenKey.id), this.#tokenKey.secret);
    for (const name of this.userNames()) {
      const { hash, roles } = this.#users.get(name)!;
      h = hashBytes(hashBytes(hashBytes(h, name), hash ?? ""), roles.join("\n"));
    }
    for (const name of this.roleNames()) {
      h = hashBytes(h, name);
      for (const { type, key, end } of this.#roles.get(name)!.permissions) h = hashBytes(hashBytes(hashBytes(h, type), key), end);
    }
    return finishHash(h);
  }

  /** JSON; null while nothing was ever changed. */
  dump(): string | null {
    if (this.#isNew) return null;
    const state: State = {
      enabled: this.#enabled,
      revision: this.#revision,
      users: this.userNames().map((name) => this.#users.get(name)!),
      roles: this.roleNames().map((name) => this.#roles.get(name)!),
      ...(this.#tokenKey === null ? {} : { tokenKey: this.#tokenKey }),
    };
    return JSON.stringify(state);
  }

  /** @param text what `dump` gave; null: nothing */
  load(text: string | null): void {
    const state: State = text === null ? { enabled: false, revision: 1, users: [], roles: [] } : (JSON.parse(text) as State);
    this.#enabled = state.enabled;
    this.#revision = state.revision;
    this.#users = new Map(state.users.map((user) => [user.name, user]));
    this.#roles = new Map(state.roles.map((role) => [role.name, role]));
    this.#tokenKey = state.tokenKey ?? null;
    this.#ranges.clear();
    this.#listener?.voided(null);
  }
}

/** What the cluster does on its own account. */
function isOwn(command: CommandBody): boolean {
  const { kind } = command;
  return (kind === "leaseRevoke" && command.term !== 0) || kind === "leaseCheckpoint" || kind === "hashMark" || kind === "hashVerify";
}
