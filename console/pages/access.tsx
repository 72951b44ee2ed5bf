/** Users and roles: who may do what, where authentication is on. */
import { ask, send } from "../api.ts";
import { bytesOf, shown } from "../key-value.ts";
import { AsCurl } from "../parts/action.tsx";
import { Failure, Nothing } from "../parts/failure.tsx";
import { usePoll } from "../parts/poll.ts";

const EVERY_MS = 3_000;
const USERS = ask("auth/user/list");
const ROLES = ask("auth/role/list");

interface Permission {
  readonly permType?: "READ" | "WRITE" | "READWRITE";
  readonly key?: string;
  readonly range_end?: string;
}

async function look(signal: AbortSignal) {
  const [{ users = [] }, { roles = [] }] = await Promise.all([
    send<{ readonly users?: readonly string[] }>(USERS, signal),
    send<{ readonly roles?: readonly string[] }>(ROLES, signal),
  ]);
  return {
    users: await Promise.all(
      users.map(async (name) => ({
        name,
        roles: (await send<{ readonly roles?: readonly string[] }>(ask("auth/user/get", { name }), signal)).roles ?? [],
      })),
    ),
    roles: await Promise.all(
      roles.map(async (role) => ({
        role,
        perm: (await send<{ readonly perm?: readonly Permission[] }>(ask("auth/role/get", { role }), signal)).perm ?? [],
      })),
    ),
  };
}

export function Access() {
  const { value, error } = usePoll(look, EVERY_MS);
  if (value === undefined) return error === undefined ? <Nothing>Reading users …</Nothing> : <Failure error={error} />;
  return (
    <>
      {error !== undefined && <Failure error={error} />}
      <h2>Users</h2>
      {value.users.length === 0 ? (
        <Nothing>There are none: whoever reaches the members may do everything.</Nothing>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">User</th>
              <th scope="col">Roles</th>
            </tr>
          </thead>
          <tbody>
            {value.users.map(({ name, roles }) => (
              <tr key={name} data-user={name}>
                <th scope="row">{name}</th>
                <td>{roles.join(", ")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <h2>Roles</h2>
      {value.roles.length === 0 ? (
        <Nothing>There are none.</Nothing>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">Role</th>
              <th scope="col">May</th>
            </tr>
          </thead>
          <tbody>
            {value.roles.map(({ role, perm }) => (
              <tr key={role} data-role-name={role}>
                <th scope="row">{role}</th>
                <td class="mono">{role === "root" ? "everything" : perm.map(textOf).join("; ")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <div class="bar">
        <AsCurl call={USERS} />
        <AsCurl call={ROLES} />
      </div>
    </>
  );
}

function textOf({ permType = "READ", key = "", range_end = "" }: Permission): string {
  const verb = permType === "READWRITE" ? "read and write" : permType.toLowerCase();
  const from = shown(bytesOf(key));
  if (range_end === "") return `${verb} ${from}`;
  const end = bytesOf(range_end);
  return end === "\0" ? `${verb} from ${from} on` : `${verb} from ${from} to ${shown(end)}`;
}
