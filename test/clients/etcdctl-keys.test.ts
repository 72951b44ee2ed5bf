/** `etcdctl` on keys, transactions and watches: what it shows is what it shows of a real etcd. */
import { describe, expect, test } from "vitest";
import { CAN_COMPARE, expectSame, lines } from "./sides.ts";
import type { Transcript } from "./transcript.ts";

describe.skipIf(!CAN_COMPARE)("etcdctl", () => {
  test.concurrent("put and get with all flags", async () => {
    const shown = await expectSame(
      lines(
        "etcdctl put /a/1 one",
        "etcdctl put /a/2 two --prev-kv",
        "etcdctl put /a/2 two-b --prev-kv",
        "etcdctl put /a/3 three -w json",
        "etcdctl put /b/1 other -w fields",
        "etcdctl put /a/10 ten",
        "etcdctl put -- -dash -value",
        "etcdctl put nosuch --ignore-value",
        "etcdctl put /a/1 --ignore-value --prev-kv",
        "etcdctl put /a/1 x --lease=7b",
        "etcdctl put /a/1",
        "etcdctl put",
        "etcdctl get",
        "etcdctl get /a/1",
        "etcdctl get /a/1 -w simple --hex",
        "etcdctl get /a/1 -w table",
        "etcdctl get /a/1 -w fields",
        "etcdctl get /a/1 -w json",
        "etcdctl get /nothing",
        "etcdctl get /a/ --prefix",
        "etcdctl get --prefix ''",
        "etcdctl get /a/1 /a/3",
        "etcdctl get /a/2 --from-key",
        "etcdctl get /a/2 --from-key --prefix",
        "etcdctl get --prefix /a/ --limit=2",
        "etcdctl get --prefix /a/ --limit=2 -w json",
        "etcdctl get --prefix /a/ --rev=3",
        "etcdctl get --prefix /a/ --rev=1",
        "etcdctl get --prefix /a/ --rev=100",
        "etcdctl get --prefix /a/ --keys-only",
        "etcdctl get --prefix /a/ --keys-only --print-value-only",
        "etcdctl get --prefix /a/ --print-value-only",
        "etcdctl get --prefix /a/ --order=DESCEND",
        "etcdctl get --prefix /a/ --order=ASCEND --sort-by=VALUE",
        "etcdctl get --prefix /a/ --order=DESCEND --sort-by=MODIFY -w json",
        "etcdctl get --prefix /a/ --order=DESCEND --sort-by=CREATE",
        "etcdctl get --prefix /a/ --order=DESCEND --sort-by=VERSION",
        "etcdctl get --prefix /a/ --sort-by=KEY",
        "etcdctl get --prefix /a/ --order=UP",
        "etcdctl get --prefix /a/ --sort-by=SIZE",
        "etcdctl get /a/1 --consistency=s",
        "etcdctl get /a/1 --consistency=x",
        "etcdctl del /a/1",
        "etcdctl del /a/1",
        "etcdctl del --prefix /a/ --prev-kv",
        "etcdctl del --from-key /",
        "etcdctl del -w json --prev-kv nothing",
        "etcdctl del",
      ),
    );
    expect(shown).toContain("etcdserver: mvcc: required revision is a future revision");
  });

  test.concurrent("get -w protobuf", async () => {
    // The header holds ids, whose length differs: only what follows it is compared.
    const withoutHeader = async (shell: Transcript): Promise<void> => {
      await shell.quietly("etcdctl put a 1; etcdctl put b 2");
      await shell.run(
        `etcdctl get a c -w protobuf | od -An -v -tx1 | tr -d ' \\n' | sed -E 's/^0a..08([89a-f].)*[0-7].10([89a-f].)*[0-7]./header/'`,
      );
    };
    expect(await expectSame(withoutHeader)).toContain("12");
  });

  test.concurrent("txn, typed and piped", async () => {
    const typed = (text: string, flags = ""): string => `printf '${text}' | etcdctl txn ${flags}`;
    const shown = await expectSame(
      lines(
        typed("\n\nput k 1\n\n", "-i"),
        typed('value("k") = "1"\n\nput k 2\nget k\n\nput k 3\n\n', "-i"),
        typed('value("k") = "1"\n\nput k 2\n\nput k 4\nget k\n\n'),
        typed(
          'mod("k") > "1"\ncreate("k") = "2"\nversion("k") < "100"\n\nput k 5\nget k --rev 3\ndel z --prefix --prev-kv\nget --prefix k -w json\n\n\n',
        ),
        typed("nonsense\n\n\n\n"),
        typed('size("k") = "1"\n\n\n\n'),
        typed("\n\nput k\n\n"),
        typed("\n\nput k 1\nput k 2\n\n"),
      ),
    );
    expect(shown).toContain("SUCCESS");
    expect(shown).toContain("etcdserver: duplicate key given in txn request");
  });

  test.concurrent("watch: a key, a prefix, a range, from a revision, with what was before", async () => {
    const watched: [flags: string, events: number][] = [
      ["k", 1],
      ["--prefix /w/", 3],
      ["/w/a /w/c", 2],
      ["--prefix /w/ --rev=2 --prev-kv", 6],
      ["--prefix /w/ -w json --rev=3", 5],
      ["--prefix '' --rev=1 -w fields", 9],
    ];
    await expectSame(async (shell) => {
      await shell.quietly("etcdctl put /w/a 1; etcdctl put /w/a 2; etcdctl del /w/a");
      // Each begins at the revision after these, and so sees the same however late it is.
      const started = watched.map(([flags]) => {
        const command = `etcdctl watch ${flags} ${flags.includes("--rev") ? "" : "--rev=5"}`;
        return { command, program: shell.start(command) };
      });
      await shell.quietly(
        "etcdctl put /w/a 3; etcdctl put /w/b '' --prev-kv; etcdctl put /w/c 1; etcdctl put k 1; etcdctl put end 1; etcdctl put z 1",
      );
      for (const [at, { command, program }] of started.entries()) {
        const [, events] = watched[at]!;
        const once = command.includes("json") ? /"mod_revision"/ : command.includes("fields") ? /"Type"/ : /(PUT|DELETE)\n/;
        await program.until(new RegExp(`^(?:[^]*?${once.source}){${events}}[^]*\n$`));
        const { stdout, stderr } = await program.kill();
        shell.note(command, { code: 0, stdout: onlyEvents(stdout), stderr });
      }
    });
  });

  test.concurrent("watch: typed, with a command for each event, of what is compacted", async () => {
    const shown = await expectSame(async (shell) => {
      await shell.quietly("etcdctl put a 1; etcdctl put a 2; etcdctl put a 3; etcdctl compaction 3");
      await shell.run("etcdctl watch a --rev=2");
      const command =
        "etcdctl watch a --rev=3 -- sh -c 'echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE at $ETCD_WATCH_REVISION'";
      const executing = shell.start(command);
      await executing.until(/"PUT" "a" "3" at/);
      shell.note(command, { ...(await executing.kill()), code: 0 });
      const typed = shell.start("etcdctl watch -i");
      typed.type("watch a --rev=4\n");
      await typed.until(/PUT\na\n3\n/);
      typed.type("watch b --prefix --rev=5\nprogress\n");
      await typed.until(/progress notify: 4\n/);
      await shell.quietly("etcdctl put b1 x");
      await typed.until(/PUT\nb1\nx\n/);
      typed.type("nonsense\n");
      await typed.until(/Invalid command/);
      shell.note("etcdctl watch -i", { ...(await typed.kill()), code: 0 });
    });
    expect(shown).toContain("required revision has been compacted");
  });
});

/** How events are packed into replies is chance: one line each, without the headers of replies. */
function onlyEvents(stdout: string): string {
  if (!stdout.startsWith("{")) return stdout.replaceAll(/^"(ClusterID|MemberID|Revision|RaftTerm)" : .*\n/gm, "");
  const replies = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { readonly Events: readonly unknown[] });
  return replies.flatMap(({ Events }) => Events.map((event) => JSON.stringify(event))).join("\n");
}
