/** etcd's Auth service. Source: etcd's rpc.proto, auth/store.go and etcdserver/apply_auth.go. */
import { errBadField, errRoleNotFound, errUserNotFound } from "../../errors.ts";
import type { Member } from "../../replica/member.ts";
import type { AuthChange } from "../../store/auth/auth-change.ts";
import type { PermissionType } from "../../store/auth/permissions.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import { type Caller, checkUnscoped, nameOf } from "../auth/authorised-member.ts";
import type {
  AuthenticateResponseMessage,
  NameMessage,
  NamePasswordMessage,
  RoleGetResponseMessage,
  RoleGrantPermissionRequestMessage,
  RoleMessage,
  RoleRevokePermissionRequestMessage,
  RolesMessage,
  UserAddRequestMessage,
  UserGrantRoleRequestMessage,
  UserRevokeRoleRequestMessage,
  UsersMessage,
} from "./auth-messages.ts";
import type { HeaderOnly } from "./messages.ts";
import { headerOf } from "./response-header.ts";

/** By number. */
const PERMISSION_TYPES: readonly PermissionType[] = ["read", "write", "readwrite"];

export class AuthService {
  readonly #member: Member;
  readonly #authenticator: Authenticator;
  readonly #caller: Caller;

  /** @param member as the caller may use it */
  constructor(member: Member, authenticator: Authenticator, caller: Caller) {
    this.#member = member;
    this.#authenticator = authenticator;
    this.#caller = caller;
  }

  enable(): Promise<HeaderOnly> {
    return this.#change({ op: "enable" });
  }

  disable(): Promise<HeaderOnly> {
    return this.#change({ op: "disable" });
  }

  /** @throws QuorateError authNotEnabled, authFailed */
  async authenticate({ name, password }: NamePasswordMessage): Promise<AuthenticateResponseMessage> {
    const token = await this.#authenticator.authenticate(name, password, this.#caller);
    return { header: headerOf(this.#member), token };
  }

  async userAdd({ name, password, options }: UserAddRequestMessage): Promise<HeaderOnly> {
    this.#checkAdmin(); // before the work of hashing
    const hash = options?.noPassword === true ? null : await this.#authenticator.hash(password);
    return this.#change({ op: "userAdd", name, hash });
  }

  userDelete({ name }: NameMessage): Promise<HeaderOnly> {
    return this.#change({ op: "userDelete", name });
  }

  async userChangePassword({ name, password }: NamePasswordMessage): Promise<HeaderOnly> {
    this.#checkAdmin();
    return this.#change({ op: "userPassword", name, hash: await this.#authenticator.hash(password) });
  }

  userGrant({ user, role }: UserGrantRoleRequestMessage): Promise<HeaderOnly> {
    return this.#change({ op: "userGrant", name: user, role });
  }

  userRevoke({ name, role }: UserRevokeRoleRequestMessage): Promise<HeaderOnly> {
    return this.#change({ op: "userRevoke", name, role });
  }

  /** Everybody may look at himself. */
  async userGet({ name }: NameMessage): Promise<RolesMessage> {
    const auth = await this.#fresh();
    nameOf(this.#caller);
    if (!auth.enabled || nameOf(this.#caller) !== name) this.#checkAdmin();
    const user = auth.user(name);
    if (user === undefined) throw errUserNotFound();
    return { header: headerOf(this.#member), roles: user.roles };
  }

  async userList(): Promise<UsersMessage> {
    const auth = await this.#fresh();
    this.#checkAdmin();
    return { header: headerOf(this.#member), users: auth.userNames() };
  }

  roleAdd({ name }: NameMessage): Promise<HeaderOnly> {
    return this.#change({ op: "roleAdd", name });
  }

  roleDelete({ role }: RoleMessage): Promise<HeaderOnly> {
    return this.#change({ op: "roleDelete", name: role });
  }

  /** Everybody may look at a role of his own. */
  async roleGet({ role: name }: RoleMessage): Promise<RoleGetResponseMessage> {
    const auth = await this.#fresh();
    nameOf(this.#caller);
    const own = auth.enabled && auth.user(nameOf(this.#caller))?.roles.includes(name) === true;
    if (!own) this.#checkAdmin();
    const role = auth.role(name);
    if (role === undefined) throw errRoleNotFound();
    const perm = role.permissions.map(({ type, key, end }) => ({ permType: PERMISSION_TYPES.indexOf(type), key, rangeEnd: end }));
    return { header: headerOf(this.#member), perm };
  }

  async roleList(): Promise<RolesMessage> {
    const auth = await this.#fresh();
    this.#checkAdmin();
    return { header: headerOf(this.#member), roles: auth.roleNames() };
  }

  async roleGrant({ name, perm }: RoleGrantPermissionRequestMessage): Promise<HeaderOnly> {
    this.#checkAdmin(); // before anything is said about the request
    const type = PERMISSION_TYPES[perm?.permType ?? 0];
    if (perm === null) throw errBadField("perm", "etcdserver: permission not given");
    if (type === undefined) throw errBadField("perm.permType", `quorate: permission type ${perm.permType} is not known`);
    return this.#change({ op: "roleGrant", name, permission: { type, key: perm.key, end: perm.rangeEnd } });
  }

  roleRevoke({ role, key, rangeEnd }: RoleRevokePermissionRequestMessage): Promise<HeaderOnly> {
    return this.#change({ op: "roleRevoke", name: role, key, end: rangeEnd });
  }

  async #change(change: AuthChange): Promise<HeaderOnly> {
    const { revision } = await this.#member.propose({ kind: "auth", change });
    return { header: headerOf(this.#member, revision) };
  }

  async #fresh(): Promise<Member["store"]["auth"]> {
    checkUnscoped(this.#caller);
    await this.#member.readBarrier();
    return this.#member.store.auth;
  }

  #checkAdmin(): void {
    this.#member.store.auth.checkAdmin(nameOf(this.#caller));
  }
}
