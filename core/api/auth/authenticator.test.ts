import { expect, test } from "vitest";
import { localAuthenticator } from "../../../test/helpers/local-authenticator.ts";
import { LocalMember } from "../../../test/helpers/local-member.ts";

const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;

test("names and passwords in each request are taken as Go takes them, and nothing else is", async () => {
  const member = new LocalMember();
  for (const [name, hash] of [
    ["root", "plain:pw"],
    ["ü", "plain:pä:ß"],
  ] as const) {
    await member.propose({ kind: "auth", change: { op: "userAdd", name, hash } });
  }
  const authenticator = localAuthenticator(member);
  const asked = async (header: string) => (await authenticator.basicCaller({ header: () => header })).user;
  for (const header of [basic("root:pw"), basic("root:pw").replace("Basic", "bASIC")]) expect(await asked(header)).toBe("root");
  expect(await asked(basic("ü:pä:ß"))).toBe("ü");
  const none = ["", "Basic", "Basic a", "Basic !!!", "Bearer x", basic(""), basic(":"), basic("root"), basic("root:"), basic("rootp")];
  for (const header of [...none, basic("root:no"), basic("nobody:pw"), basic("root:pw").replaceAll("=", "")]) {
    expect([header, await asked(header)]).toEqual([header, ""]);
  }
});
