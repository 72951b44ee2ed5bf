/** Names in the certificate that the other side of a connection has shown. */
import { type Socket, isIP } from "node:net";
import type { TLSSocket } from "node:tls";

export function isTls(socket: Socket): socket is TLSSocket {
  return (socket as Partial<TLSSocket>).encrypted === true;
}

/** @param name of a host, or an address, that has to be among the certificate's alternative names; wildcards there count */
export function isNamed(socket: TLSSocket, name: string): boolean {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return false;
  return isIP(name) === 0 ? certificate.checkHost(name, { subject: "never" }) !== undefined : certificate.checkIP(name) !== undefined;
}

/** The common name of the certificate's subject; the last one when there are several, as Go takes it. Empty: none. */
export function commonNameOf(socket: TLSSocket): string {
  // Node's types know one name only.
  const name: unknown = socket.getPeerCertificate().subject?.CN;
  const last: unknown = Array.isArray(name) ? name.at(-1) : name;
  return typeof last === "string" ? last : "";
}
