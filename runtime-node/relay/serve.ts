/**
 * `relay` for the members in `QUORATE_URL` (one address or several with commas between), as hosts start it that take a default export with
 * `fetch`: `deno serve`, and `deno task relay` with it.
 */
import { errBadField } from "../../core/errors.ts";
import { relay } from "./relay.ts";

const url = process.env["QUORATE_URL"] ?? "";
if (url.trim() === "") throw errBadField("QUORATE_URL", "QUORATE_URL must be the address of a member, or of several with commas between");

export default { fetch: relay({ endpoints: url.split(",").map((one) => one.trim()) }) };
