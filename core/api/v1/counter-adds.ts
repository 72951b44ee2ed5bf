/**
 * Adds to one counter by many requests at once: a member makes one at a time of each counter, so that its own adds do not fail each other's
 * compares, and those without bounds that have gathered meanwhile, all up or all down, go together as one. Each caller has the total that is his in the order of
 * their coming. Correctness rests on the compares alone: other members, and whoever adds with an idempotency key, add beside it.
 */
import { isQuorateError } from "../../errors.ts";
import type { RecipeContext } from "../../recipes/client-port.ts";
import { type Count, addToCounter } from "../../recipes/counter.ts";

interface Bounds {
  readonly min?: bigint | undefined;
  readonly max?: bigint | undefined;
}

interface Waiting {
  readonly n: bigint;
  readonly bounds: Bounds;
  readonly resolve: (count: Count) => void;
  readonly reject: (error: unknown) => void;
}

export class CounterAdds {
  readonly #context: RecipeContext;
  /** By the counter's name, for as long as something is under way. */
  readonly #lines = new Map<string, Waiting[]>();

  constructor(context: RecipeContext) {
    this.#context = context;
  }

  /** @throws QuorateError as `addToCounter` */
  add(name: string, n: bigint, bounds: Bounds = {}): Promise<Count> {
    return new Promise((resolve, reject) => {
      const waiting = { n, bounds, resolve, reject };
      const line = this.#lines.get(name);
      if (line !== undefined) return void line.push(waiting);
      const begun = [waiting];
      this.#lines.set(name, begun);
      void this.#serve(name, begun);
    });
  }

  /** Never rejects. */
  async #serve(name: string, line: Waiting[]): Promise<void> {
    while (line.length > 0) {
      const alone = line.findIndex((one) => !goesWith(line[0]!, one));
      await this.#together(name, line.splice(0, alone < 0 ? line.length : Math.max(1, alone)));
    }
    this.#lines.delete(name);
  }

  async #together(name: string, adds: readonly Waiting[]): Promise<void> {
    const sum = adds.reduce((all, { n }) => all + n, 0n);
    try {
      const { value, revision } = await addToCounter(this.#context, name, sum, adds[0]!.bounds);
      let total = value - sum;
      for (const { n, resolve } of adds) resolve({ value: (total += n), revision });
    } catch (error) {
      // All of them would be too much for a counter, and some may not be.
      if (adds.length > 1 && isQuorateError(error) && error.reason === "conflict") {
        for (const add of adds) await this.#together(name, [add]);
      } else for (const { reject } of adds) reject(error);
    }
  }
}

/** Of one direction, so that no total on the way is beyond the last one, which is checked. */
function goesWith(first: Waiting, { n, bounds: { min, max } }: Waiting): boolean {
  return min === undefined && max === undefined && first.n < 0n === n < 0n;
}
