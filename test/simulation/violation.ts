/** A broken promise of the cluster, with the name of the check that saw it. */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly check: string;

  constructor(check: string, message: string) {
    super(`${check}: ${message}`);
    this.check = check;
  }
}

export function demand(condition: boolean, check: string, message: () => string): asserts condition {
  if (!condition) throw new Violation(check, message());
}
