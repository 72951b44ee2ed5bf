/** How the client commands end. The numbers are etcdctl's, so that a script that looks at them goes on working. */
export const EXIT = {
  done: 0,
  /** It could not be done: the store said no, or was not reached. */
  failed: 1,
  /** Who asks is not who he says, or the lease to be renewed is gone. */
  connection: 2,
  /** What came in on standard input cannot be read. */
  input: 3,
  /** A format or an order that this command does not have. */
  unsupported: 4,
  /** The store ended it: the history that a watch wanted is gone. */
  interrupted: 5,
  /** A wrong command line. */
  usage: 128,
} as const;

/** Ends the command with a message for the person who typed it. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}
