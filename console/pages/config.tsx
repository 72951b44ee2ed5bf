/** Configuration: the values of a namespace, what publishing one would change, who runs which revision, and going back. */
import { useState } from "preact/hooks";
import { type ApiCall, send } from "../api.ts";
import { Action, AsCurl } from "../parts/action.tsx";
import { Difference } from "../parts/difference.tsx";
import { Failure, Nothing } from "../parts/failure.tsx";
import { NAMES_MAX, namesOf } from "../parts/names-of.ts";
import { usePoll } from "../parts/poll.ts";
import { Link } from "../router.tsx";
import { readOnly } from "../state.ts";

const EVERY_MS = 1_000;

interface Values {
  readonly revision: number;
  readonly values: Readonly<Record<string, unknown>>;
  /** Of each key's last change. */
  readonly revisions: Readonly<Record<string, number>>;
}

interface Rollout {
  readonly target: number;
  readonly consumers: Readonly<Record<string, number>>;
}

const get = (path: string): ApiCall => ({ method: "GET", path: `/v1/config/${path}` });

/** Places: `config` and `config/NAMESPACE`. */
export function Config({ rest }: { readonly rest: string }) {
  return rest === "" ? <Namespaces /> : <Namespace key={rest} name={rest} />;
}

function Namespaces() {
  const { value, error } = usePoll((signal) => namesOf("config", signal), EVERY_MS);
  if (value === undefined) return error === undefined ? <Nothing>Reading namespaces …</Nothing> : <Failure error={error} />;
  return (
    <>
      {error !== undefined && <Failure error={error} />}
      {value.length === 0 && <Nothing>Nothing is published yet.</Nothing>}
      {value.length === NAMES_MAX && (
        <Nothing>{`The first ${NAMES_MAX} namespaces are here; every other one has a page under its name.`}</Nothing>
      )}
      <ul>
        {value.map((name) => (
          <li key={name}>
            <Link to={`config/${encodeURIComponent(name)}`}>{name}</Link>
          </li>
        ))}
      </ul>
    </>
  );
}

function Namespace({ name }: { readonly name: string }) {
  const path = encodeURIComponent(name);
  const [looks, setLooks] = useState(0);
  const look = async (signal: AbortSignal) => {
    const [values, rollout] = await Promise.all([send<Values>(get(path), signal), send<Rollout>(get(`${path}/rollout`), signal)]);
    return { values, rollout };
  };
  const { value, error } = usePoll(look, EVERY_MS, String(looks));
  if (value === undefined) return error === undefined ? <Nothing>Reading the namespace …</Nothing> : <Failure error={error} />;
  const { values, rollout } = value;
  const again = (): void => setLooks(looks + 1);
  return (
    <>
      <p>
        <Link to="config">All namespaces</Link>
      </p>
      <h2>{name}</h2>
      {error !== undefined && <Failure error={error} />}
      {Object.entries(values.values).map(([key, of]) => (
        <Value key={key} path={path} name={key} value={of} revision={values.revisions[key] ?? 0} onDone={again} />
      ))}
      {Object.keys(values.values).length === 0 && <Nothing>It has no values.</Nothing>}
      <Consumers rollout={rollout} />
      <GoBack path={path} onDone={again} />
      <AsCurl call={get(path)} />
    </>
  );
}

interface ValueProps {
  readonly path: string;
  readonly name: string;
  readonly value: unknown;
  readonly revision: number;
  readonly onDone: () => void;
}

/** A value as it is shown and typed: JSON. */
const textOf = (value: unknown): string => JSON.stringify(value, null, 2);

function Value({ path, name, value, revision, onDone }: ValueProps) {
  const [draft, setDraft] = useState<{ readonly text: string; readonly base: number } | undefined>(undefined);
  const now = textOf(value);
  const parsed = draft === undefined ? undefined : jsonIn(draft.text);
  return (
    <section aria-label={name} data-value={name} data-revision={revision}>
      <h2 class="mono">{name}</h2>
      {draft === undefined ? (
        <>
          <pre>{now}</pre>
          <button class="quiet" disabled={readOnly.value === "yes"} onClick={() => setDraft({ text: now, base: revision })}>
            Change …
          </button>
        </>
      ) : (
        <>
          <label class="value">
            <span>New value, JSON</span>
            <textarea
              class="mono"
              rows={6}
              value={draft.text}
              onInput={(event) => setDraft({ ...draft, text: event.currentTarget.value })}
            />
          </label>
          {draft.base !== revision && <Failure error={new Error("Somebody else has published this value since you began")} />}
          {parsed === undefined ? (
            <Failure error={new Error("This is no JSON")} />
          ) : (
            <Difference before={now} after={textOf(parsed.json)} />
          )}
          <div class="bar">
            <Action
              label="Publish"
              call={{
                method: "PATCH",
                path: `/v1/config/${path}`,
                body: { set: { [name]: parsed?.json ?? null }, if: { [name]: draft.base } },
              }}
              done={`${name} is published`}
              disabled={parsed === undefined}
              onDone={() => {
                setDraft(undefined);
                onDone();
              }}
            />
            <button class="quiet" onClick={() => setDraft(undefined)}>
              Leave it
            </button>
          </div>
        </>
      )}
    </section>
  );
}

function jsonIn(text: string): { readonly json: unknown } | undefined {
  try {
    return { json: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
}

function Consumers({ rollout: { target, consumers } }: { readonly rollout: Rollout }) {
  const all = Object.entries(consumers);
  return (
    <section aria-label="Rollout">
      <h2>Who runs what</h2>
      {all.length === 0 ? (
        <Nothing>No consumer says what it runs.</Nothing>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">Consumer</th>
              <th scope="col" class="number">
                Runs revision
              </th>
              <th scope="col">Of {target}</th>
            </tr>
          </thead>
          <tbody>
            {all.map(([consumer, revision]) => (
              <tr key={consumer} data-consumer={consumer}>
                <th scope="row">{consumer}</th>
                <td class="number">{revision}</td>
                <td>{revision >= target ? <span class="role leader">up to date</span> : <span class="role down">behind</span>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function GoBack({ path, onDone }: { readonly path: string; readonly onDone: () => void }) {
  const [to, setTo] = useState("");
  return (
    <div class="bar">
      <label>
        Go back to revision <input type="number" min="1" value={to} onInput={(event) => setTo(event.currentTarget.value)} />
      </label>
      <Action
        label="Publish what was in force then"
        call={{ method: "POST", path: `/v1/config/${path}/rollback`, body: { to: Number(to) } }}
        done="It is published"
        disabled={to === ""}
        onDone={onDone}
      />
    </div>
  );
}
