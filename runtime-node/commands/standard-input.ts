/** What comes in on standard input, whole. */
import { CommandError, EXIT } from "./exit-codes.ts";

/** @throws CommandError at a terminal, where nobody would know that it waits */
export async function readStandardInput(): Promise<Buffer> {
  if (process.stdin.isTTY) throw new CommandError("a value is missing: as an argument, or on standard input", EXIT.usage);
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
