/** What a listener for clients has to know of TLS: with which certificates it answers, whom it asks for one, and whom it sends away. */
import type { Socket } from "node:net";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import type { Settings } from "../settings.ts";
import { commonNameOf, isNamed, isTls } from "./certificate-names.ts";
import type { TlsSource } from "./tls-source.ts";

export class ListenerTls {
  /** Clients without a certificate of a trusted authority are turned away. */
  readonly requiresCertificate: boolean;
  readonly #source: TlsSource;
  readonly #allowedHostname: string | undefined;
  readonly #namesAreUsers: boolean;
  readonly #names = new WeakMap<Socket, string>();

  constructor(source: TlsSource, settings: Settings) {
    this.#source = source;
    // As in etcd: who names authorities means clients to have their certificates.
    this.requiresCertificate = settings["client-cert-auth"] || settings["trusted-ca-file"] !== undefined;
    this.#allowedHostname = settings["client-cert-allowed-hostname"];
    this.#namesAreUsers = settings["client-cert-auth"];
  }

  /** The common name of a client's certificate, where it is to be a user. @param socket plain or TLS */
  certificateNameOf(socket: Socket): string | undefined {
    if (!this.#namesAreUsers || !isTls(socket)) return undefined;
    let name = this.#names.get(socket);
    if (name === undefined) this.#names.set(socket, (name = commonNameOf(socket)));
    return name;
  }

  /** For the next connection; the same object as long as nothing has changed. */
  current(): SecureContextOptions {
    return this.#source.current();
  }

  /** Reads certificates anew if their files have changed. */
  refresh(): void {
    this.#source.refresh();
  }

  /** @returns why a client with a valid certificate is turned away all the same; null when it is not */
  refuse(socket: TLSSocket): string | null {
    const name = this.#allowedHostname;
    if (name === undefined || isNamed(socket, name)) return null;
    return `the client's certificate is not for ${name} (--client-cert-allowed-hostname)`;
  }
}
