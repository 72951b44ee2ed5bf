/** The members: who leads, how far each is, how much it keeps, and what is wrong. Asked of each one, twice a second. */
import { MEMBER_LIST, ask, learnEndpoints, send, sendTo } from "../api.ts";
import { Failure, Nothing } from "../parts/failure.tsx";
import { AsCurl } from "../parts/action.tsx";
import { usePoll } from "../parts/poll.ts";

const EVERY_MS = 500;
const ANSWER_MS = 700;
const STATUS = ask("maintenance/status");
const ALARMS = ask("maintenance/alarm", { action: "GET" });

interface MemberInfo {
  readonly ID: string;
  readonly name?: string;
  readonly clientURLs?: readonly string[];
  readonly isLearner?: boolean;
}

interface Status {
  readonly header: { readonly member_id: string };
  readonly version: string;
  readonly dbSize?: string;
  readonly leader?: string;
  readonly raftTerm?: string;
  readonly raftIndex?: string;
}

interface Row {
  readonly member: MemberInfo;
  readonly status: Status | undefined;
}

interface Alarm {
  readonly memberID: string;
  readonly alarm: string;
}

/** The list, and what is said of it by those that answer in time. */
async function look(known: readonly MemberInfo[], signal: AbortSignal) {
  const soon = (): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  const rowsOf = (members: readonly MemberInfo[]): Promise<Row[]> =>
    Promise.all(
      members.map(async (member) => {
        const [url] = member.clientURLs ?? [];
        // No answer is what is shown.
        const status = url === undefined ? undefined : await sendTo<Status>(url, STATUS, soon()).catch(() => undefined);
        return { member, status };
      }),
    );
  // During an election nobody can tell the list: what was known is shown on.
  const listed = send<{ readonly members: readonly MemberInfo[] }>(MEMBER_LIST, soon()).catch((error: unknown) => {
    if (known.length === 0) throw error;
    return undefined;
  });
  const members = known.length > 0 ? known : ((await listed)?.members ?? []);
  const [rows, list, { alarms = [] }] = await Promise.all([
    rowsOf(members),
    listed,
    send<{ readonly alarms?: readonly Alarm[] }>(ALARMS, soon()).catch(() => ({ alarms: [] })),
  ]);
  learnEndpoints(rows.flatMap(({ member: { clientURLs = [] }, status }) => (status === undefined ? [] : clientURLs)));
  if (rows.every(({ status }) => status === undefined)) throw new Error("no member answers");
  return { members: list?.members ?? members, rows, alarms };
}

let members: readonly MemberInfo[] = [];

export function Members() {
  const { value, error } = usePoll(async (signal) => {
    const seen = await look(members, signal);
    members = seen.members;
    return seen;
  }, EVERY_MS);
  if (value === undefined) return error === undefined ? <Nothing>Asking the members …</Nothing> : <Failure error={error} />;
  const term = Math.max(0, ...value.rows.map(({ status }) => Number(status?.raftTerm ?? 0)));
  const index = Math.max(0, ...value.rows.map(({ status }) => Number(status?.raftIndex ?? 0)));
  return (
    <>
      {error !== undefined && <Failure error={error} />}
      {value.alarms.map(({ memberID, alarm }) => (
        <p key={memberID + alarm} class="failure" role="alert">
          Alarm {alarm} of {nameOf(value.members, memberID)}
        </p>
      ))}
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Role</th>
            <th scope="col" class="number">
              Term
            </th>
            <th scope="col" class="number">
              Log index
            </th>
            <th scope="col" class="number">
              Behind by
            </th>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col">Address</th>
            <th scope="col">Id</th>
          </tr>
        </thead>
        <tbody>
          {value.rows.map(({ member, status }) => (
            <tr key={member.ID} data-member={member.name} data-role={roleOf(member, status, term)}>
              <th scope="row">{member.name || "(not started yet)"}</th>
              <td>
                <span class={`role ${roleOf(member, status, term)}`}>{roleOf(member, status, term)}</span>
              </td>
              <td class="number">{status?.raftTerm ?? "–"}</td>
              <td class="number">{status?.raftIndex ?? "–"}</td>
              <td class="number">{status === undefined ? "–" : index - Number(status.raftIndex ?? 0)}</td>
              <td class="number">{status === undefined ? "–" : bytes(Number(status.dbSize ?? 0))}</td>
              <td class="mono">{(member.clientURLs ?? []).join(" ")}</td>
              <td class="mono">{BigInt(member.ID).toString(16)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <AsCurl call={MEMBER_LIST} />
    </>
  );
}

/** Who says that it leads does so only in the newest term. */
function roleOf({ isLearner }: MemberInfo, status: Status | undefined, term: number): "down" | "leader" | "learner" | "follower" {
  if (status === undefined) return "down";
  if (status.leader === status.header.member_id && Number(status.raftTerm) === term) return "leader";
  return isLearner === true ? "learner" : "follower";
}

function nameOf(among: readonly MemberInfo[], id: string): string {
  return among.find(({ ID }) => ID === id)?.name ?? BigInt(id).toString(16);
}

function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  return count < 1024 ** 2 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / 1024 ** 2).toFixed(1)} MiB`;
}
