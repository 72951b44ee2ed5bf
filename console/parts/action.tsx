/** A button that changes something: it cannot be pressed in read-only mode, says how it went, and shows its request as a curl command. */
import { useState } from "preact/hooks";
import { type ApiCall, asCurl, send } from "../api.ts";
import { textOf } from "./failure.tsx";
import { readOnly } from "../state.ts";
import { toast } from "./toasts.tsx";

interface ActionProps {
  readonly label: string;
  /** What is sent. */
  readonly call: ApiCall;
  /** Said when it was done. Left out: `onDone` says it. */
  readonly done?: string;
  readonly danger?: boolean;
  readonly disabled?: boolean;
  readonly onDone?: (reply: unknown) => void;
}

export function Action({ label, call, done, danger = false, disabled = false, onDone }: ActionProps) {
  const [busy, setBusy] = useState(false);
  const run = async (): Promise<void> => {
    setBusy(true);
    try {
      const reply = await send<unknown>(call);
      if (done !== undefined) toast("done", done);
      onDone?.(reply);
    } catch (error) {
      toast("failed", `${label}: ${textOf(error)}`);
    } finally {
      setBusy(false);
    }
  };
  return (
    <span class="action">
      <button class={danger ? "danger" : "primary"} disabled={busy || disabled || readOnly.value === "yes"} onClick={() => void run()}>
        {label}
      </button>
      <AsCurl call={call} />
    </span>
  );
}

/** Copies the request as a curl command. */
export function AsCurl({ call }: { readonly call: ApiCall }) {
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(asCurl(call));
      toast("done", "The curl command is in the clipboard");
    } catch {
      toast("failed", asCurl(call)); // browsers have no clipboard on plain HTTP: then it can be read
    }
  };
  return (
    <button class="quiet" title={asCurl(call)} onClick={() => void copy()}>
      as curl
    </button>
  );
}
