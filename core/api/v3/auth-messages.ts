/**
 * The messages of etcd's service Auth. Source: names and field numbers of etcd 3.4's etcdserverpb/rpc.proto and authpb/auth.proto.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { type EnumTable, type MessageTable, bool, bytes, enumeration, many, message, one, repeated, string } from "./message-table.ts";
import { RESPONSE_HEADER, type ResponseHeader, empty, headerOnly } from "./messages.ts";

const header = one(() => RESPONSE_HEADER, "header", 1);

export const PERMISSION_TYPE: EnumTable = { name: "authpb.Permission_Type", values: ["READ", "WRITE", "READWRITE"] };

export interface PermissionMessage {
  readonly permType: number;
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
}
export const PERMISSION: MessageTable<PermissionMessage> = message("authpb.Permission", {
  permType: enumeration(PERMISSION_TYPE, "permType", 1),
  key: bytes("key", 2),
  rangeEnd: bytes("range_end", 3),
});

export interface UserAddOptionsMessage {
  readonly noPassword: boolean;
}
export const USER_ADD_OPTIONS: MessageTable<UserAddOptionsMessage> = message("authpb.UserAddOptions", {
  noPassword: bool("no_password", 1),
});

export const AUTH_ENABLE_REQUEST = empty("etcdserverpb.AuthEnableRequest");
export const AUTH_ENABLE_RESPONSE = headerOnly("etcdserverpb.AuthEnableResponse");
export const AUTH_DISABLE_REQUEST = empty("etcdserverpb.AuthDisableRequest");
export const AUTH_DISABLE_RESPONSE = headerOnly("etcdserverpb.AuthDisableResponse");

/** A name and its password: to authenticate, and to change the password. */
export interface NamePasswordMessage {
  readonly name: string;
  readonly password: string;
}
export const AUTHENTICATE_REQUEST: MessageTable<NamePasswordMessage> = message("etcdserverpb.AuthenticateRequest", {
  name: string("name", 1),
  password: string("password", 2),
});
export const USER_CHANGE_PASSWORD_REQUEST: MessageTable<NamePasswordMessage> = message("etcdserverpb.AuthUserChangePasswordRequest", {
  name: string("name", 1),
  password: string("password", 2),
});
export const USER_CHANGE_PASSWORD_RESPONSE = headerOnly("etcdserverpb.AuthUserChangePasswordResponse");

export interface AuthenticateResponseMessage {
  readonly header: ResponseHeader | null;
  readonly token: string;
}
export const AUTHENTICATE_RESPONSE: MessageTable<AuthenticateResponseMessage> = message("etcdserverpb.AuthenticateResponse", {
  header,
  token: string("token", 2),
});

export interface UserAddRequestMessage extends NamePasswordMessage {
  readonly options: UserAddOptionsMessage | null;
}
export const USER_ADD_REQUEST: MessageTable<UserAddRequestMessage> = message("etcdserverpb.AuthUserAddRequest", {
  name: string("name", 1),
  password: string("password", 2),
  options: one(() => USER_ADD_OPTIONS, "options", 3),
});
export const USER_ADD_RESPONSE = headerOnly("etcdserverpb.AuthUserAddResponse");

/** A request that names one user or, by `name` too, the role to add. */
export interface NameMessage {
  readonly name: string;
}
const nameOnly = (table: string): MessageTable<NameMessage> => message<NameMessage>(table, { name: string("name", 1) });
export const USER_GET_REQUEST = nameOnly("etcdserverpb.AuthUserGetRequest");
export const USER_DELETE_REQUEST = nameOnly("etcdserverpb.AuthUserDeleteRequest");
export const USER_DELETE_RESPONSE = headerOnly("etcdserverpb.AuthUserDeleteResponse");
export const ROLE_ADD_REQUEST = nameOnly("etcdserverpb.AuthRoleAddRequest");
export const ROLE_ADD_RESPONSE = headerOnly("etcdserverpb.AuthRoleAddResponse");

export interface RolesMessage {
  readonly header: ResponseHeader | null;
  readonly roles: readonly string[];
}
const rolesOnly = (table: string): MessageTable<RolesMessage> =>
  message<RolesMessage>(table, { header, roles: repeated(string("roles", 2)) });
export const USER_GET_RESPONSE = rolesOnly("etcdserverpb.AuthUserGetResponse");
export const ROLE_LIST_REQUEST = empty("etcdserverpb.AuthRoleListRequest");
export const ROLE_LIST_RESPONSE = rolesOnly("etcdserverpb.AuthRoleListResponse");

export interface UsersMessage {
  readonly header: ResponseHeader | null;
  readonly users: readonly string[];
}
export const USER_LIST_REQUEST = empty("etcdserverpb.AuthUserListRequest");
export const USER_LIST_RESPONSE: MessageTable<UsersMessage> = message("etcdserverpb.AuthUserListResponse", {
  header,
  users: repeated(string("users", 2)),
});

export interface UserGrantRoleRequestMessage {
  readonly user: string;
  readonly role: string;
}
export const USER_GRANT_ROLE_REQUEST: MessageTable<UserGrantRoleRequestMessage> = message("etcdserverpb.AuthUserGrantRoleRequest", {
  user: string("user", 1),
  role: string("role", 2),
});
export const USER_GRANT_ROLE_RESPONSE = headerOnly("etcdserverpb.AuthUserGrantRoleResponse");

export interface UserRevokeRoleRequestMessage {
  readonly name: string;
  readonly role: string;
}
export const USER_REVOKE_ROLE_REQUEST: MessageTable<UserRevokeRoleRequestMessage> = message("etcdserverpb.AuthUserRevokeRoleRequest", {
  name: string("name", 1),
  role: string("role", 2),
});
export const USER_REVOKE_ROLE_RESPONSE = headerOnly("etcdserverpb.AuthUserRevokeRoleResponse");

export interface RoleMessage {
  readonly role: string;
}
const roleOnly = (table: string): MessageTable<RoleMessage> => message<RoleMessage>(table, { role: string("role", 1) });
export const ROLE_GET_REQUEST = roleOnly("etcdserverpb.AuthRoleGetRequest");
export const ROLE_DELETE_REQUEST = roleOnly("etcdserverpb.AuthRoleDeleteRequest");
export const ROLE_DELETE_RESPONSE = headerOnly("etcdserverpb.AuthRoleDeleteResponse");

export interface RoleGetResponseMessage {
  readonly header: ResponseHeader | null;
  readonly perm: readonly PermissionMessage[];
}
export const ROLE_GET_RESPONSE: MessageTable<RoleGetResponseMessage> = message("etcdserverpb.AuthRoleGetResponse", {
  header,
  perm: many(() => PERMISSION, "perm", 2),
});

export interface RoleGrantPermissionRequestMessage {
  readonly name: string;
  readonly perm: PermissionMessage | null;
}
export const ROLE_GRANT_PERMISSION_REQUEST: MessageTable<RoleGrantPermissionRequestMessage> = message(
  "etcdserverpb.AuthRoleGrantPermissionRequest",
  { name: string("name", 1), perm: one(() => PERMISSION, "perm", 2) },
);
export const ROLE_GRANT_PERMISSION_RESPONSE = headerOnly("etcdserverpb.AuthRoleGrantPermissionResponse");

export interface RoleRevokePermissionRequestMessage {
  readonly role: string;
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
}
export const ROLE_REVOKE_PERMISSION_REQUEST: MessageTable<RoleRevokePermissionRequestMessage> = message(
  "etcdserverpb.AuthRoleRevokePermissionRequest",
  { role: string("role", 1), key: bytes("key", 2), rangeEnd: bytes("range_end", 3) },
);
export const ROLE_REVOKE_PERMISSION_RESPONSE = headerOnly("etcdserverpb.AuthRoleRevokePermissionResponse");
