/** Keys: as folders or as a list, with a search in keys and values; and one key with its value, history and lease. */
import { useSignal } from "@preact/signals";
import { useState } from "preact/hooks";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { utf8Encode } from "../../core/bytes/utf8.ts";
import { keyAt, placeOf } from "../key-value.ts";
import { KeyEditor } from "../parts/key-editor.tsx";
import { KeyList } from "../parts/key-list.tsx";
import { KeySearch } from "../parts/key-search.tsx";
import { Link, goTo } from "../router.tsx";
import { readOnly } from "../state.ts";

const FORMS = { tree: "Folders", list: "List", search: "Search" } as const;
type Form = keyof typeof FORMS;

/** Places: `keys/tree/PREFIX`, `keys/list/PREFIX`, `keys/search/TEXT`, `keys/key/KEY`. */
export function Keys({ rest }: { readonly rest: string }) {
  const slash = rest.indexOf("/");
  const [form, at] = slash < 0 ? [rest || "tree", ""] : [rest.slice(0, slash), rest.slice(slash + 1)];
  if (form === "key") return <KeyEditor key={at} name={keyAt(at)} />;
  const shown: Form = form in FORMS ? (form as Form) : "tree";
  return (
    <>
      <div class="bar" role="group" aria-label="How keys are shown">
        {(Object.keys(FORMS) as Form[]).map((name) => (
          <Link
            key={name}
            to={`keys/${name}/${name === "search" ? "" : placeOf(keyAt(shown === "search" ? "" : at))}`}
            current={name === shown}
          >
            {FORMS[name]}
          </Link>
        ))}
        <NewKey prefix={shown === "search" ? ("" as Bytes) : keyAt(at)} />
      </div>
      {shown === "search" ? (
        <KeySearch key="search" text={at} />
      ) : (
        <KeyList key={shown + at} prefix={keyAt(at)} isTree={shown === "tree"} />
      )}
    </>
  );
}

function NewKey({ prefix }: { readonly prefix: Bytes }) {
  const isOpen = useSignal(false);
  const [name, setName] = useState("");
  if (!isOpen.value) {
    return (
      <button
        class="primary"
        disabled={readOnly.value === "yes"}
        onClick={() => {
          setName(prefix);
          isOpen.value = true;
        }}
      >
        New key
      </button>
    );
  }
  return (
    <form
      class="bar"
      onSubmit={(event) => {
        event.preventDefault();
        if (name !== "") goTo(`keys/key/${placeOf(utf8Encode(name))}`);
      }}
    >
      <label>
        Name <input value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <button class="primary" disabled={name === ""}>
        Open
      </button>
    </form>
  );
}
