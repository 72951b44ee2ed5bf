/** Who asks, for tests of the views: passwords are compared as they are, tokens are counted. */
import { Authenticator } from "../../core/api/auth/authenticator.ts";
import type { Member } from "../../core/replica/member.ts";

export function localAuthenticator(member: Member, wallMs = (): number => 0): Authenticator {
  let tokens = 0;
  return new Authenticator({
    member,
    passwords: {
      hash: (password) => Promise.resolve(`plain:${password}`),
      matches: (password, hash) => Promise.resolve(hash === `plain:${password}`),
    },
    randomToken: () => `token${++tokens}`,
    monotonicMs: () => 0,
    wallMs,
  });
}
