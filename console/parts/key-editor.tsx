/**
 * One key: its value to be changed, what a save would change, what it was before, and how long it lives. A save depends on the revision that
 * was looked at: when somebody else has written since, both values are shown and the reader decides.
 */
import { useEffect, useState } from "preact/hooks";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import { type ApiCall, act, ask, send } from "../api.ts";
import { type KeyValueMessage, type RangeMessage, base64Of, bytesOf, shown, textOf } from "../key-value.ts";
import { goTo } from "../router.tsx";
import { readOnly } from "../state.ts";
import { Action, AsCurl } from "./action.tsx";
import { useChanges } from "./changes.ts";
import { Difference } from "./difference.tsx";
import { Failure, Nothing } from "./failure.tsx";
import { KeyHistory } from "./key-history.tsx";
import { LeaseCountdown } from "./lease-countdown.tsx";
import { toast } from "./toasts.tsx";

interface Seen {
  /** null: the key is not there. */
  readonly kv?: KeyValueMessage | null;
  readonly error?: unknown;
}

interface Draft {
  readonly text: string;
  /** Of the key when writing began; 0: it was not there. */
  readonly base: string;
}

export function KeyEditor({ name }: { readonly name: Bytes }) {
  const [seen, setSeen] = useState<Seen>({});
  const [draft, setDraft] = useState<Draft | undefined>(undefined);
  const changes = useChanges({ key: name });
  const read = ask("kv/range", { key: base64Of(name) });
  useEffect(() => {
    const over = new AbortController();
    send<RangeMessage>(read, over.signal).then(
      ({ kvs }) => setSeen({ kv: kvs?.[0] ?? null }),
      (error: unknown) => void (over.signal.aborted || setSeen((before) => ({ ...before, error }))),
    );
    return () => over.abort();
  }, [name, changes]);
  const { kv, error } = seen;
  if (kv === undefined) return error === undefined ? <Nothing>Reading the key …</Nothing> : <Failure error={error} />;
  const stored = kv === null ? "" : bytesOf(kv.value ?? "");
  const asText = textOf(stored as Bytes);
  const form = asText === undefined ? "base64" : "text";
  const now = asText ?? base64Of(stored as Bytes);
  const base = kv?.mod_revision ?? "0";
  const text = draft?.text ?? now;
  const isConflict = draft !== undefined && draft.base !== base;
  const isDirty = draft !== undefined && (text !== now || kv === null);
  return (
    <>
      <h2 class="mono">{shown(name)}</h2>
      {error !== undefined && <Failure error={error} />}
      <Facts kv={kv} size={stored.length} />
      {isConflict && (
        <p class="failure" role="alert">
          Somebody else has {kv === null ? "deleted this key" : `changed this key at revision ${base}`} since you began.{" "}
          <button class="quiet" onClick={() => setDraft(undefined)}>
            Take theirs
          </button>{" "}
          <button class="quiet" onClick={() => setDraft({ text, base })}>
            Keep mine
          </button>
        </p>
      )}
      <label class="value">
        <span>Value{form === "base64" ? " (no text: base64)" : ""}</span>
        <textarea
          class="mono"
          rows={Math.min(24, Math.max(6, text.split("\n").length + 1))}
          spellcheck={false}
          readOnly={readOnly.value === "yes"}
          value={text}
          onInput={(event) => setDraft({ text: event.currentTarget.value, base: draft?.base ?? base })}
        />
      </label>
      <div class="bar">
        <Save
          name={name}
          text={text}
          form={form}
          base={draft?.base ?? base}
          disabled={!isDirty || isConflict}
          onSaved={() => setDraft(undefined)}
        />
        <button
          class="quiet"
          disabled={form !== "text"}
          onClick={() => format(text, (made) => setDraft({ text: made, base: draft?.base ?? base }))}
        >
          Format
        </button>
        <button class="quiet" disabled={draft === undefined} onClick={() => setDraft(undefined)}>
          Undo
        </button>
        {kv !== null && <Delete name={name} base={base} />}
        <AsCurl call={read} />
      </div>
      {isDirty && <Difference before={now} after={text} />}
      {kv !== null && <KeyHistory name={name} newest={kv} onRestore={(old) => setDraft({ text: old, base })} />}
    </>
  );
}

function Facts({ kv, size }: { readonly kv: KeyValueMessage | null; readonly size: number }) {
  if (kv === null) return <Nothing>This key is not there. Saving a value makes it.</Nothing>;
  return (
    <dl class="facts">
      <dt>Changed at revision</dt>
      <dd data-revision={kv.mod_revision}>{kv.mod_revision}</dd>
      <dt>Made at revision</dt>
      <dd>{kv.create_revision}</dd>
      <dt>Version</dt>
      <dd>{kv.version}</dd>
      <dt>Size</dt>
      <dd>{size.toLocaleString("en")} bytes</dd>
      {kv.lease !== undefined && (
        <>
          <dt>Lease</dt>
          <dd>
            <LeaseCountdown id={kv.lease} />
          </dd>
        </>
      )}
    </dl>
  );
}

interface SaveProps {
  readonly name: Bytes;
  readonly text: string;
  readonly form: "text" | "base64";
  readonly base: string;
  readonly disabled: boolean;
  readonly onSaved: () => void;
}

/** Only if the key is as it was when writing began; its lease stays. */
function Save({ name, text, form, base, disabled, onSaved }: SaveProps) {
  const key = base64Of(name);
  const value = form === "text" ? base64Of(utf8Encode(text)) : text.trim();
  const call: ApiCall = act("kv/txn", {
    compare: [{ key, target: "MOD", result: "EQUAL", mod_revision: base }],
    success: [{ request_put: { key, value, ...(base === "0" ? {} : { ignore_lease: true }) } }],
  });
  return (
    <Action
      label="Save"
      call={call}
      disabled={disabled}
      onDone={(reply) => {
        if ((reply as { succeeded?: boolean }).succeeded !== true)
          return toast("failed", "Nothing was saved: somebody else has written meanwhile");
        toast("done", `${shown(name)} is saved`);
        onSaved();
      }}
    />
  );
}

function Delete({ name, base }: { readonly name: Bytes; readonly base: string }) {
  const [isSure, setSure] = useState(false);
  const key = base64Of(name);
  if (!isSure) {
    return (
      <button class="danger" disabled={readOnly.value === "yes"} onClick={() => setSure(true)}>
        Delete …
      </button>
    );
  }
  const call = act("kv/txn", {
    compare: [{ key, target: "MOD", result: "EQUAL", mod_revision: base }],
    success: [{ request_delete_range: { key } }],
  });
  return (
    <>
      <Action
        label="Delete it"
        danger
        call={call}
        onDone={(reply) => {
          if ((reply as { succeeded?: boolean }).succeeded !== true)
            return toast("failed", "It was not deleted: somebody else has written meanwhile");
          toast("done", `${shown(name)} is deleted`);
          goTo("keys/tree/");
        }}
      />
      <button class="quiet" onClick={() => setSure(false)}>
        Keep it
      </button>
    </>
  );
}

/** JSON with two spaces; what is no JSON is told. */
function format(text: string, done: (made: string) => void): void {
  try {
    done(JSON.stringify(JSON.parse(text), null, 2));
  } catch (error) {
    toast("failed", `This is no JSON: ${(error as Error).message}`);
  }
}
