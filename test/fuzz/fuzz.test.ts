/**
 * Clients that are broken or mean no good, on the port that serves gRPC and HTTP: a defined answer or a closed connection, never a crash,
 * and memory within bounds. Each attack once, and some drawn from a fixed seed. More by hand: `npm run fuzz -- --seed 7 --minutes 10`.
 */
import { expect, test } from "vitest";
import type { MessageTable } from "../../core/api/v3/message-table.ts";
import { protobufDecoder, protobufEncoder } from "../../core/api/v3/protobuf-codec.ts";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { isQuorateError } from "../../core/errors.ts";
import { Random } from "../differential/random.ts";
import { servedServices } from "../helpers/served-services.ts";
import { ATTACKS, fuzz } from "./fuzz-run.ts";
import { fuzzed } from "./messages.ts";

const SEED = 1;
const DRAWN = 40;
const TEST_MS = 120_000;
/** Messages that are read a table. */
const MESSAGES = 400;

test(`every attack, and ${DRAWN} drawn from seed ${SEED}`, { timeout: TEST_MS }, async () => {
  const run = await fuzz({ seed: SEED, first: ATTACKS, more: (drawn) => drawn < DRAWN });
  console.log(`${run.inputs} inputs in ${run.attacks} attacks; the server grew by at most ${Math.round(run.growthBytes / 1024 ** 2)} MiB`);
  expect(run.attacks).toBe(ATTACKS.length + DRAWN);
  expect(run.inputs).toBeGreaterThan(100_000);
});

test("the reader of protobuf refuses or reads, and what it read it reads again", () => {
  const random = new Random(SEED);
  const tables = servedServices().flatMap(({ methods }) => methods.flatMap(({ request, reply }) => [request, reply]));
  let [read, refused] = [0, 0];
  for (const table of tables) {
    const erased = table as MessageTable<unknown>;
    const [decode, encode] = [protobufDecoder(erased), protobufEncoder(erased)];
    for (let n = 0; n < MESSAGES; n++) {
      const bytes = fuzzed(random, table).toString("latin1") as Bytes;
      try {
        const message = decode(bytes);
        if (isExact(message))
          expect(decode(encode(message)), `${table.name} ${Buffer.from(bytes, "latin1").toString("hex")}`).toEqual(message);
        read++;
      } catch (error) {
        if (!isQuorateError(error) || error.reason !== "badProtobuf") throw error;
        refused++;
      }
    }
  }
  console.log(`${read} messages read, ${refused} refused`);
  expect(Math.min(read, refused)).toBeGreaterThan(1_000);
});

/** Beyond 2^53 what is no id is read as the nearest double. */
function isExact(value: unknown): boolean {
  if (typeof value === "number") return Number.isSafeInteger(value);
  return typeof value !== "object" || value === null || Object.values(value).every(isExact);
}
