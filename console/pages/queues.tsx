/** Queues: how many messages are where; and of one queue, the next messages, the dead ones, and its condition. */
import { useState } from "preact/hooks";
import { type ApiCall, send } from "../api.ts";
import { Action, AsCurl } from "../parts/action.tsx";
import { Failure, Nothing } from "../parts/failure.tsx";
import { NAMES_MAX, namesOf } from "../parts/names-of.ts";
import { usePoll } from "../parts/poll.ts";
import { Link } from "../router.tsx";

const EVERY_MS = 1_000;
const PEEKED = 20;

interface State {
  readonly visible: number;
  readonly delayed: number;
  readonly inFlight: number;
  readonly dead: number;
  readonly oldestAgeMs: number | null;
}

interface Message {
  readonly id: string;
  readonly body: string | { readonly base64: string };
  readonly deliveries: number;
  readonly priority: number;
  readonly reason?: string;
}

const get = (path: string): ApiCall => ({ method: "GET", path: `/v1/queues/${path}` });

/** Places: `queues` and `queues/NAME`. */
export function Queues({ rest }: { readonly rest: string }) {
  return rest === "" ? <AllQueues /> : <OneQueue key={rest} name={rest} />;
}

async function statesNow(signal: AbortSignal) {
  const names = await namesOf("queues", signal);
  return Promise.all(names.map(async (name) => ({ name, state: await send<State>(get(encodeURIComponent(name)), signal) })));
}

function AllQueues() {
  const { value, error } = usePoll(statesNow, EVERY_MS);
  if (value === undefined) return error === undefined ? <Nothing>Reading queues …</Nothing> : <Failure error={error} />;
  return (
    <>
      {error !== undefined && <Failure error={error} />}
      {value.length === NAMES_MAX && (
        <Nothing>{`The first ${NAMES_MAX} queues are here; every other one has a page under its name.`}</Nothing>
      )}
      {value.length === 0 ? (
        <Nothing>There are no queues with messages.</Nothing>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">Queue</th>
              <Counts />
            </tr>
          </thead>
          <tbody>
            {value.map(({ name, state }) => (
              <tr key={name} data-queue={name}>
                <th scope="row">
                  <Link to={`queues/${encodeURIComponent(name)}`}>{name}</Link>
                </th>
                <CountsOf state={state} />
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function Counts() {
  return (
    <>
      {["Visible", "Delayed", "In flight", "Dead", "Oldest"].map((what) => (
        <th key={what} scope="col" class="number">
          {what}
        </th>
      ))}
    </>
  );
}

function CountsOf({ state: { visible, delayed, inFlight, dead, oldestAgeMs } }: { readonly state: State }) {
  return (
    <>
      {[visible, delayed, inFlight, dead].map((count, at) => (
        <td key={at} class="number">
          {count}
        </td>
      ))}
      <td class="number">{oldestAgeMs === null ? "" : `${(oldestAgeMs / 1_000).toFixed(0)} s`}</td>
    </>
  );
}

function OneQueue({ name }: { readonly name: string }) {
  const path = encodeURIComponent(name);
  const [looks, setLooks] = useState(0);
  const look = async (signal: AbortSignal) => {
    const [state, messages, dead, condition] = await Promise.all([
      send<State>(get(path), signal),
      send<readonly Message[]>(get(`${path}/messages?limit=${PEEKED}`), signal),
      send<readonly Message[]>(get(`${path}/dead?limit=${PEEKED}`), signal),
      // Most queues have none.
      send<{ readonly kind: string; readonly open: boolean }>(get(`${path}/condition`), signal).catch(() => undefined),
    ]);
    return { state, messages, dead, condition };
  };
  const { value, error } = usePoll(look, EVERY_MS, String(looks));
  if (value === undefined) return error === undefined ? <Nothing>Reading the queue …</Nothing> : <Failure error={error} />;
  const { state, messages, dead, condition } = value;
  return (
    <>
      <p>
        <Link to="queues">All queues</Link>
      </p>
      <h2>{name}</h2>
      {error !== undefined && <Failure error={error} />}
      {condition !== undefined && !condition.open && (
        <p class="failure" role="status">
          Nothing is handed out: its condition ({condition.kind}) does not hold.
        </p>
      )}
      <table>
        <thead>
          <tr>
            <Counts />
          </tr>
        </thead>
        <tbody>
          <tr>
            <CountsOf state={state} />
          </tr>
        </tbody>
      </table>
      <Messages title="Next" messages={messages} />
      <div class="bar">
        <AsCurl call={get(`${path}/messages?limit=${PEEKED}`)} />
      </div>
      <Messages title="Dead" messages={dead} />
      {dead.length > 0 && (
        <div class="bar">
          <Action
            label="Hand them out again"
            call={{ method: "POST", path: `/v1/queues/${path}/dead/redrive` }}
            done="The dead messages are visible again"
            onDone={() => setLooks(looks + 1)}
          />
        </div>
      )}
    </>
  );
}

function Messages({ title, messages }: { readonly title: string; readonly messages: readonly Message[] }) {
  if (messages.length === 0) return <Nothing>{title === "Next" ? "No message is visible." : "No message is dead."}</Nothing>;
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Number</th>
            <th scope="col" class="number">
              Priority
            </th>
            <th scope="col" class="number">
              Handed out
            </th>
            <th scope="col">Body</th>
            <th scope="col">{title === "Dead" ? "Why" : ""}</th>
          </tr>
        </thead>
        <tbody>
          {messages.map(({ id, body, deliveries, priority, reason = "" }) => (
            <tr key={id} data-message={title}>
              <th scope="row" class="mono">
                {id.replace(/^0+/, "")}
              </th>
              <td class="number">{priority}</td>
              <td class="number">{deliveries}</td>
              <td class="mono">{typeof body === "string" ? body.slice(0, 200) : `${body.base64.slice(0, 100)} (base64)`}</td>
              <td>{reason}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
