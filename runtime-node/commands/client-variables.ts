/** Variables of the client commands, which `serve` does not take for slips in its own. */
export const CLIENT_VARIABLES = [
  "QUORATE_ENDPOINTS",
  "QUORATE_USER",
  "QUORATE_PASSWORD",
  "QUORATE_TOKEN",
  "QUORATE_CACERT",
  "QUORATE_CERT",
  "QUORATE_KEY",
  "QUORATE_COMMAND_TIMEOUT",
  "QUORATE_WRITE_OUT",
  "QUORATE_CONTEXT",
] as const;

export type ClientVariable = (typeof CLIENT_VARIABLES)[number];
