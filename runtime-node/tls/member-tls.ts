/** TLS between members: with which certificates they meet, and whose are taken. */
import type { SecureContextOptions, TLSSocket } from "node:tls";
import type { PeerTls } from "../../adapters/tcp-transport/tcp-transport.ts";
import type { Settings } from "../settings.ts";
import { commonNameOf, isNamed } from "./certificate-names.ts";
import type { TlsSource } from "./tls-source.ts";

export class MemberTls implements PeerTls {
  readonly requiresCertificate: boolean;
  readonly verifiesServer: boolean;
  readonly #source: TlsSource;
  readonly #commonName: string | undefined;
  readonly #hostname: string | undefined;

  /** @param isSelfMade certificates of the members' own making (`--peer-auto-tls`), which prove nothing */
  constructor(source: TlsSource, settings: Settings, isSelfMade: boolean) {
    this.#source = source;
    // As in etcd: who names authorities means the others to have their certificates.
    this.requiresCertificate = settings["peer-client-cert-auth"] || settings["peer-trusted-ca-file"] !== undefined;
    this.verifiesServer = !isSelfMade;
    this.#commonName = settings["peer-cert-allowed-cn"];
    this.#hostname = settings["peer-cert-allowed-hostname"];
  }

  current(): SecureContextOptions {
    return this.#source.current();
  }

  /** Reads certificates anew if their files have changed. */
  refresh(): void {
    this.#source.refresh();
  }

  refuse(socket: TLSSocket): string | null {
    const [name, host] = [this.#commonName, this.#hostname];
    if (name !== undefined && commonNameOf(socket) !== name) {
      return `the certificate has the common name ${JSON.stringify(commonNameOf(socket))}, not ${name} (--peer-cert-allowed-cn)`;
    }
    if (host !== undefined && !isNamed(socket, host)) return `the certificate is not for ${host} (--peer-cert-allowed-hostname)`;
    return null;
  }
}
