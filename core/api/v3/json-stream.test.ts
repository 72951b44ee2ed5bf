import fc from "fast-check";
import { expect, it } from "vitest";
import { toUint8Array } from "../../bytes/bytes.ts";
import { utf8Encode } from "../../bytes/utf8.ts";
import { jsonDecoder } from "./json-codec.ts";
import { jsonMessages } from "./json-stream.ts";
import { LEASE_KEEP_ALIVE_REQUEST } from "./messages.ts";

const decode = jsonDecoder(LEASE_KEEP_ALIVE_REQUEST);

async function* inPieces(text: string, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  const bytes = toUint8Array(utf8Encode(text));
  let at = 0;
  for (let turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? bytes.length;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function idsOf(text: string, sizes: readonly number[] = [1_000_000], bytesMax = 1_000): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of jsonMessages(inPieces(text, sizes), decode, bytesMax)) ids.push(id);
  return ids;
}

it("jsonMessages() finds messages however the stream is cut", async () => {
  const texts = ['{"ID":"5"}', '{"ID":6}', ' {"ID" : "7", "x":"}{\\"" }\n', "null", "{}"];
  const want: Record<string, string> = { [texts[0]!]: "5", [texts[1]!]: "6", [texts[2]!]: "7", [texts[3]!]: "0", [texts[4]!]: "0" };
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...texts)),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      async (list, sizes) => {
        expect(await idsOf(list.join(""), sizes)).toEqual(list.map((text) => want[text]));
      },
    ),
  );
});

it("jsonMessages() gives a message as soon as it is complete", async () => {
  async function* stuck(): AsyncGenerator<Uint8Array> {
    yield toUint8Array(utf8Encode('{"ID":"5"}'));
    await new Promise<never>(() => {});
  }
  const messages = jsonMessages(stuck(), decode, 1_000);
  expect((await messages.next()).value).toEqual({ id: "5" });
});

it.each([
  ['{"ID":"5"}{', "unexpected EOF"],
  ['{"ID":', "unexpected EOF"],
  ["{]", "invalid character ']' looking for beginning of object key string"],
  ['{"ID":"x"}', "invalid character 'x' looking for beginning of value"],
])("jsonMessages() refuses %s", async (text, message) => {
  await expect(idsOf(text)).rejects.toThrow(message);
});

it("jsonMessages() holds no more than the limit of one message", async () => {
  await expect(idsOf(`{"x":"${"a".repeat(2_000)}`, [100])).rejects.toThrow("request is too large");
  expect(await idsOf('{"ID":"5"}'.repeat(200), [100])).toHaveLength(200);
});
