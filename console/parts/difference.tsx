/** What a save would change, line by line. */
import { diffLines } from "diff";

/** Lines that a save takes away, and lines that it adds. */
export function Difference({ before, after }: { readonly before: string; readonly after: string }) {
  return (
    <figure>
      <figcaption>What a save changes</figcaption>
      <pre class="diff">
        {diffLines(before, after).map(({ value, added, removed }, at) => {
          const sign = added === true ? "+ " : removed === true ? "- " : "  ";
          const lines = value.replace(/\n$/, "").split("\n");
          const text = lines.map((line) => sign + line).join("\n");
          return added === true ? (
            <ins key={at}>{`${text}\n`}</ins>
          ) : removed === true ? (
            <del key={at}>{`${text}\n`}</del>
          ) : (
            <span key={at}>{`${text}\n`}</span>
          );
        })}
      </pre>
    </figure>
  );
}
