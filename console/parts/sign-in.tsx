/** Signing in, where authentication is on: with name and password, or with a token that one has. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ask, send } from "../api.ts";
import { token } from "../state.ts";
import { Failure } from "./failure.tsx";

export function SignIn({ onClose }: { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const error = useSignal<unknown>(undefined);
  useEffect(() => dialog.current?.showModal(), []);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => String(fields.get(name) ?? "");
    try {
      token.value =
        text("token").trim() ||
        (await send<{ readonly token: string }>(ask("auth/authenticate", { name: text("name"), password: text("password") }))).token;
      onClose();
    } catch (failure) {
      error.value = failure;
    }
  };
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="sign-in-title">
      <h2 id="sign-in-title">Sign in</h2>
      <form onSubmit={(event) => void submit(event)}>
        <label>
          User <input name="name" autocomplete="username" />
        </label>
        <label>
          Password <input name="password" type="password" autocomplete="current-password" />
        </label>
        <label>
          or token <input name="token" type="password" autocomplete="off" />
        </label>
        {error.value !== undefined && <Failure error={error.value} />}
        <button class="primary">Sign in</button>{" "}
        <button type="button" class="quiet" onClick={onClose}>
          Cancel
        </button>
      </form>
    </dialog>
  );
}
