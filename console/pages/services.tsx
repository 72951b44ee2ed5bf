/** Services: their instances, how each is, and how long each lives without a heartbeat. */
import { useState } from "preact/hooks";
import { utf8Decode } from "../../core/bytes/utf8.ts";
import { placeOf } from "../key-value.ts";
import { Action } from "../parts/action.tsx";
import { Failure, Nothing } from "../parts/failure.tsx";
import { LeaseCountdown } from "../parts/lease-countdown.tsx";
import { KEYS_MAX, type StoredKey, useKeys } from "../parts/use-keys.ts";
import { Link } from "../router.tsx";
import { readOnly } from "../state.ts";

/** Each lease is asked for by itself. */
const LEASES_MS = 5_000;

interface Instance {
  readonly stored: StoredKey;
  readonly service: string;
  readonly id: string;
  readonly status: string;
  readonly address: string;
  readonly zone: string;
  readonly version: string;
}

/** Places: `services` and `services/NAME`. */
export function Services({ rest }: { readonly rest: string }) {
  const { keys, count = 0, error } = useKeys(rest === "" ? "/quorate/services/" : `/quorate/services/${encodeURIComponent(rest)}/`);
  if (keys === undefined) return error === undefined ? <Nothing>Reading services …</Nothing> : <Failure error={error} />;
  const instances = keys.flatMap(instanceIn);
  return (
    <>
      {error !== undefined && <Failure error={error} />}
      {rest !== "" && (
        <p>
          <Link to="services">All services</Link>
        </p>
      )}
      {count > KEYS_MAX && <Nothing>{`${count} instances; the first ${KEYS_MAX} are here. The page of one service has its own.`}</Nothing>}
      {instances.length === 0 ? (
        <Nothing>No instance is registered{rest === "" ? "" : " here"}.</Nothing>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">Service</th>
              <th scope="col">Instance</th>
              <th scope="col">Status</th>
              <th scope="col">Address</th>
              <th scope="col">Zone</th>
              <th scope="col">Version</th>
              <th scope="col">Lives</th>
              <th scope="col">
                <span class="hidden">What can be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {instances.map((one) => (
              <tr key={one.stored.key} data-instance={`${one.service}/${one.id}`} data-status={one.status}>
                <td>
                  <Link to={`services/${encodeURIComponent(one.service)}`}>{one.service}</Link>
                </td>
                <th scope="row" class="mono">
                  <Link to={`keys/key/${placeOf(one.stored.key)}`}>{one.id}</Link>
                </th>
                <td>
                  <span class={`role ${one.status === "passing" ? "leader" : one.status === "critical" ? "down" : ""}`}>{one.status}</span>
                </td>
                <td class="mono">{one.address}</td>
                <td>{one.zone}</td>
                <td>{one.version}</td>
                <td>{one.stored.lease === undefined ? "without a lease" : <LeaseCountdown id={one.stored.lease} everyMs={LEASES_MS} />}</td>
                <td>{one.stored.lease !== undefined && <Remove id={one.stored.lease} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

/** Its process registers anew as soon as it finds out: this is for one that is gone, or whose name is wrong. */
function Remove({ id }: { readonly id: string }) {
  const [isSure, setSure] = useState(false);
  if (!isSure) {
    return (
      <button class="danger" disabled={readOnly.value === "yes"} onClick={() => setSure(true)}>
        Remove …
      </button>
    );
  }
  const call = { method: "POST", path: "/v3/lease/revoke", body: { ID: id } } as const;
  return (
    <>
      <Action label="Remove it" danger call={call} done="The instance is off the list" />{" "}
      <button class="quiet" onClick={() => setSure(false)}>
        Leave it
      </button>
    </>
  );
}

/** None for a key that is no instance's, such as the note of who left last. */
function instanceIn(stored: StoredKey): Instance[] {
  const [, , , service = "", id = ""] = stored.key.split("/");
  try {
    const said = JSON.parse(utf8Decode(stored.value)) as Readonly<Record<string, unknown>>;
    if (typeof said["address"] !== "string") return [];
    const text = (name: string): string => (said[name] === undefined || said[name] === null ? "" : String(said[name] as string | number));
    const port = text("port");
    const address = `${said["scheme"] === undefined ? "" : `${text("scheme")}://`}${said["address"]}${port === "" ? "" : `:${port}`}`;
    const status = text("status") || "passing";
    return [
      {
        stored,
        service: decodeURIComponent(service),
        id: decodeURIComponent(id),
        status,
        address,
        zone: text("zone"),
        version: text("version"),
      },
    ];
  } catch {
    return [];
  }
}
