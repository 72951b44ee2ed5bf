import { afterEach, beforeEach, expect, test } from "vitest";
import { withEachFault } from "../../test/helpers/each-fault.ts";
import { RecipeLab } from "../../test/helpers/recipe-lab.ts";
import { ascii } from "../bytes/bytes.ts";
import { Session } from "./session.ts";
import { deleteTask, directTask, forgetWorker, reportProgress, taskChange, taskState } from "./task.ts";

let lab: RecipeLab;
beforeEach(async () => {
  lab = await RecipeLab.start();
});
afterEach(() => lab.close());

test("everybody sees what is to be done and how far the workers are; who vanishes is lost, who had ended is not", async () => {
  const { context } = lab.client();
  const { revision } = await lab.run(directTask(context, "import", ascii("v2"), 0));
  await expect(lab.run(directTask(context, "import", ascii("v3"), 0))).rejects.toMatchObject({ reason: "conflict" });
  await lab.run(directTask(context, "import", ascii("v3"), revision));
  const clients = { a: lab.client(), "b/c": lab.client() };
  for (const [worker, client] of Object.entries(clients)) {
    const { id } = await lab.run(Session.open(client.context, { ttl: "5s" }));
    await lab.run(reportProgress(client.context, "import", worker, { state: "running", percent: 10 }, id));
    if (worker === "a") await lab.run(reportProgress(client.context, "import", "a", { state: "done", note: "42 rows" }, id));
    client.kill();
  }
  const before = await lab.run(taskState(context, "import"));
  expect(before).toMatchObject({
    spec: "v3",
    workers: [
      { worker: "a", state: "done", note: "42 rows" },
      { worker: "b/c", state: "running", percent: 10 },
    ],
  });
  await lab.run(taskChange(context, "import", before.revision));
  expect((await lab.run(taskState(context, "import"))).workers).toMatchObject([{ state: "done" }, { worker: "b/c", state: "lost" }]);
  await lab.run(forgetWorker(context, "import", "b/c"));
  expect((await lab.run(taskState(context, "import"))).workers).toHaveLength(1);
  await lab.run(deleteTask(context, "import"));
  expect(lab.keys("/quorate/tasks/")).toEqual([]);
});

test("a report is the same act again when the answer was lost", async () => {
  await withEachFault(
    async (one, { context }) => {
      const { id } = await one.run(Session.open(context));
      await one.run(reportProgress(context, "t", "w", { state: "running" }, id));
      await one.run(reportProgress(context, "t", "w", { state: "failed" }, id));
      return (await one.run(taskState(context, "t"))).workers;
    },
    (workers) => expect(workers).toEqual([{ worker: "w", state: "failed" }]),
  );
});

test("a report that arrives late does not undo a later one", async () => {
  const client = lab.client();
  const { id } = await lab.run(Session.open(client.context));
  const first = client.calls.length + 1;
  // The first try of the transaction comes seconds after the second.
  client.fault = ({ number, kind }) => (number <= first + 1 && kind === "txn" ? "late" : "none");
  await lab.run(reportProgress(client.context, "t", "w", { state: "running", percent: 10 }, id));
  await lab.run(reportProgress(client.context, "t", "w", { state: "done" }, id));
  await lab.advance(5_000);
  expect((await lab.run(taskState(client.context, "t"))).workers).toEqual([{ worker: "w", state: "done" }]);
});

test.each([
  ["percent", { percent: 101 }],
  ["note", { note: "x".repeat(1001) }],
])("a report with a bad %s is refused", async (field, more) => {
  const report = reportProgress(lab.client().context, "t", "w", { state: "running", ...more }, "7");
  await expect(lab.run(report)).rejects.toMatchObject({ details: { field } });
});
