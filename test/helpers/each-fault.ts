/** Runs one scenario again and again, each time with another call of one client going wrong: what comes out must be the same. */
import { type Fault, type LabClient, RecipeLab } from "./recipe-lab.ts";

const FAULTS: readonly Fault[] = ["lose-reply", "lose-request", "refuse"];

/** More calls than any scenario makes. */
const CALLS_MAX = 100;

/**
 * @param scenario made with a fresh lab each time; returns what is compared, without times and revisions that faults may move
 * @returns how many runs there were, and what the one without a fault gave
 * @throws Error naming the call and the fault when a run fails
 */
export async function withEachFault<T>(
  scenario: (lab: RecipeLab, client: LabClient) => Promise<T>,
  check: (result: T, expected: T) => void,
): Promise<{ readonly runs: number; readonly expected: T }> {
  const run = async (fault: LabClient["fault"]): Promise<{ result: T; calls: number }> => {
    const lab = await RecipeLab.start();
    const client = lab.client();
    client.fault = fault;
    const result = await scenario(lab, client);
    await lab.close();
    return { result, calls: client.calls.length };
  };
  const { result: expected, calls } = await run(() => "none");
  if (calls > CALLS_MAX) throw new Error(`${calls} calls: the scenario is too long`);
  let runs = 0;
  for (let nth = 1; nth <= calls; nth++) {
    for (const fault of FAULTS) {
      let kind = "";
      try {
        const { result } = await run((call) => {
          if (call.number !== nth) return "none";
          kind = call.kind;
          return fault;
        });
        check(result, expected);
      } catch (error) {
        throw new Error(`with ${fault} of call ${nth}, a ${kind}`, { cause: error });
      }
      runs++;
    }
  }
  return { runs, expected };
}
