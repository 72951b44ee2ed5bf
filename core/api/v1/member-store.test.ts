import { clientContract } from "../../../test/contract/client-port.ts";
import { LocalMember } from "../../../test/helpers/local-member.ts";
import { MemberStore } from "./member-store.ts";

clientContract("on a member", async () => {
  const member = new LocalMember();
  return {
    store: new MemberStore(member, { maxTxnOps: 128, minLeaseTtlSeconds: 2, pause: () => Promise.resolve() }),
    compact: async (revision) => void (await member.propose({ kind: "compact", revision })),
    close: () => Promise.resolve(),
  };
});
