/**
 * Scripts for `etcdctl`, as people write them: `$CTL` is the command, and its endpoint is in the environment. They run one after the other
 * on the same store, so that each finds what those before it have left.
 */

export interface Script {
  readonly name: string;
  readonly text: string;
}

const script = (name: string, text: string): Script => ({ name, text });

export const SCRIPTS: readonly Script[] = [
  script(
    "put answers OK, and the value before when asked",
    "$CTL put a 1; $CTL put a 2 --prev-kv; $CTL put a 3 --prev-kv=true; $CTL put -- a -4",
  ),
  script(
    "put takes the value from standard input",
    "echo from stdin | $CTL put b; printf 'no line end' | $CTL put c; $CTL get b; $CTL get c",
  ),
  script(
    "put in json and fields",
    "$CTL put a 5 -w json; $CTL put a 6 --prev-kv -w json; $CTL put a 7 --prev-kv -w fields; $CTL put a 8 -w=fields",
  ),
  script(
    "put with what does not go together",
    "$CTL put; echo $?; $CTL put k v --ignore-value; echo $?; $CTL put k --ignore-value; echo $?",
  ),
  script("put with a lease that is none", "$CTL put k v --lease 123; echo $?; $CTL put k v --lease zz; echo $?"),
  script("put keeps a value or a lease", "$CTL put a --ignore-value --prev-kv; $CTL put a 9 --ignore-lease; $CTL get a -w json"),
  script(
    "get of one key",
    "$CTL get a; $CTL get a -w json; $CTL get a -w fields; $CTL get a --print-value-only; $CTL get nothing; echo $?",
  ),
  script(
    "get of ranges",
    "$CTL get a c; $CTL get --prefix '' --keys-only; $CTL get b --from-key --print-value-only; $CTL get --prefix '' --limit 2 -w json",
  ),
  script(
    "get with orders",
    "$CTL get --prefix '' --order=DESCEND --sort-by=KEY; $CTL get --prefix '' --sort-by=MODIFY; $CTL get --prefix '' --order=descend --sort-by=version",
  ),
  script("get of what was", "$CTL get a --rev 2; $CTL get a --rev 3 -w json; $CTL get a --rev 1000; echo $?"),
  script("get in hexadecimal digits", "$CTL get b --hex; $CTL get b --hex -w fields"),
  script("get at any member", "$CTL get a --consistency=s; $CTL get a --consistency=x; echo $?"),
  script(
    "get that cannot be",
    "$CTL get; echo $?; $CTL get a --order=BAD; echo $?; $CTL get a --sort-by=BAD; echo $?; $CTL get a -w bogus; echo $?",
  ),
  script("get with flags against each other", "$CTL get a --prefix --from-key; echo $?; $CTL get a b --prefix; echo $?"),
  script(
    "strange bytes",
    `printf 'a\\0b\\377"\\\\\\n\\t' | $CTL put strange; $CTL get strange; $CTL get strange -w json; $CTL get strange -w fields; $CTL put 'schlüssel <&>' 'wért ☃'; $CTL get 'schlüssel <&>' -w fields; $CTL get 'schlüssel <&>' -w json`,
  ),
  script(
    "a value in a variable",
    'if [ "$($CTL get a --print-value-only)" = 9 ]; then echo nine; fi; for key in $($CTL get --prefix "" --keys-only); do echo "<$key>"; done',
  ),
  script(
    "del",
    "$CTL del b; $CTL del c --prev-kv; $CTL del nothing; $CTL del nothing -w fields; $CTL put d 1; $CTL del d --prev-kv -w fields; $CTL put d 1; $CTL del d --prev-kv -w json; $CTL del; echo $?",
  ),
  script(
    "del of ranges",
    "$CTL put x1 1; $CTL put x2 2; $CTL put x3 3; $CTL del x1 x2 --prev-kv; $CTL del --prefix x -w json; $CTL del zzz --from-key",
  ),
  script("txn that holds", `printf 'value("a") = "9"\\nmod("a") > "0"\\n\\nput a 10\\nget a\\ndel nothing\\n\\nget a\\n\\n' | $CTL txn`),
  script(
    "txn that does not",
    `printf 'version("a") = "0"\\n\\nput a 2\\n\\nget a\\nput "k 1" "v\\\\n2" --prev-kv\\nget "k 1"\\n\\n' | $CTL txn`,
  ),
  script(
    "txn in json and fields",
    `printf 'create("a") > "0"\\n\\nput a 11 --prev-kv\\nget a\\ndel --prefix k --prev-kv\\n\\n\\n' | $CTL txn -w json; printf '\\n\\n\\n' | $CTL txn -w fields; printf '\\nget a\\nput a 12\\ndel nothing\\n\\n\\n' | $CTL txn -w fields`,
  ),
  script("txn with questions", `printf 'version("a") = "0"\\n\\nput a 2\\n\\n\\n' | $CTL txn -i`),
  script(
    "txn that cannot be read",
    `printf 'bogus\\n\\n\\n\\n' | $CTL txn; echo $?; printf '\\nput a\\n\\n' | $CTL txn; echo $?; printf '\\nbogus a\\n\\n\\n' | $CTL txn; echo $?`,
  ),
  script(
    "compact",
    "$CTL compact 5; $CTL compact 5; echo $?; $CTL compact abc; echo $?; $CTL compact 6 -w json; $CTL get a --rev 3; echo $?; $CTL compact 7 --physical",
  ),
  script(
    "watch of what was, and is to come",
    "$CTL put w 1 >/dev/null; $CTL put w 2 >/dev/null; watching 9 w --rev $(rev -1); $CTL put w 3 >/dev/null; seen",
  ),
  script(
    "watch of a prefix with what was before",
    "$CTL put w/1 1 >/dev/null; watching 8 --prefix w/ --prev-kv --rev $(rev 0); $CTL put w/1 2 >/dev/null; seen",
  ),
  script("watch in json", "$CTL put w 4 >/dev/null; watching 1 w --rev $(rev 0) -w json; seen"),
  script("watch in fields", "$CTL put w 5 >/dev/null; $CTL del w >/dev/null; watching 18 w --rev $(rev -1) -w fields; seen"),
  script("watch of a range from now on", "watching 3 w w1; sleep 1.5; $CTL put w 6 >/dev/null; seen"),
  script(
    "watch with a command",
    `$CTL put w 'a "b"' >/dev/null; watching 8 w --rev $(rev 0) -- sh -c 'env | grep ^ETCD_WATCH | sort; echo done'; seen`,
  ),
  script("watch with a command that fails", "$CTL put w 7 >/dev/null; $CTL watch w --rev $(rev 0) -- sh -c 'echo no; exit 3'; echo $?"),
  script("watch of what is forgotten", "$CTL watch a --rev 2; echo $?"),
  script("watch that cannot be", "$CTL watch; echo $?; $CTL watch w --; echo $?"),
  script("watches from standard input", `$CTL put w 8 >/dev/null; R=$(rev 0); (echo "watch w --rev $R"; sleep 2) | $CTL watch -i; echo $?`),
  script(
    "lease grant and its id",
    "$CTL lease grant 300; $CTL lease grant 300 -w json; $CTL lease grant 300 -w fields; $CTL lease grant; echo $?; $CTL lease grant abc; echo $?",
  ),
  script(
    "keys of a lease",
    "L=$(grant); $CTL put leased v --lease $L; $CTL get leased -w json; $CTL get leased -w fields; $CTL lease timetolive $L; $CTL lease timetolive $L --keys; $CTL lease timetolive $L --keys -w json; $CTL lease timetolive $L --keys -w fields; $CTL lease revoke $L; $CTL get leased; $CTL lease timetolive $L; $CTL lease timetolive $L -w json",
  ),
  script("lease list", "$CTL lease list; $CTL lease list -w json; $CTL lease list -w fields"),
  script(
    "lease keep-alive",
    "L=$(grant); $CTL lease keep-alive --once $L; $CTL lease keep-alive --once $L -w json; $CTL lease keep-alive --once $L -w fields; $CTL lease revoke $L -w json; $CTL lease keep-alive --once $L; echo $?; $CTL lease keep-alive $L; echo $?; $CTL lease revoke $L; echo $?; $CTL lease revoke zz; echo $?",
  ),
  script(
    "lock with a command",
    "$CTL lock one echo held; $CTL lock one -- sh -c 'env | grep ^ETCD_LOCK_KEY | cut -d/ -f1 | wc -l; exit 0'; echo $?; $CTL lock; echo $?; $CTL lock one -- no-such-command; echo $?",
  ),
  script(
    "lock keeps others out, in turn",
    "$CTL lock two -- sh -c 'echo first; sleep 1; echo end of first' & sleep 0.4; $CTL lock two -- echo second; wait",
  ),
  script("elect and observe that cannot be", "$CTL elect; echo $?; $CTL elect a; echo $?; $CTL elect -l a b; echo $?"),
  script("members", "$CTL member list; $CTL member list -w table; $CTL member list -w json; $CTL member list -w fields"),
  script(
    "member add, update, promote, remove",
    "$CTL member add x; echo $?; $CTL member add x --peer-urls=http://127.0.0.1:9999 --learner; ID=$($CTL member list | grep 9999 | cut -d, -f1); $CTL member list | grep 9999; $CTL member promote $ID; echo $?; $CTL member update $ID --peer-urls=http://127.0.0.1:9998; $CTL member remove $ID; $CTL member remove $ID; echo $?; $CTL member remove zz; echo $?",
  ),
  script(
    "endpoints",
    "$CTL endpoint health >/dev/null; echo $?; $CTL endpoint status; $CTL endpoint status -w json; $CTL endpoint status -w fields; $CTL endpoint hashkv; $CTL endpoint hashkv -w json; $CTL endpoint hashkv -w fields",
  ),
  script(
    "endpoints in a script",
    `$CTL endpoint status -w json | grep -o '"Endpoint"' ; $CTL endpoint health --cluster >/dev/null; echo $?; $CTL endpoint status --cluster | wc -l`,
  ),
  script(
    "move-leader, defrag, alarm",
    "$CTL move-leader; echo $?; $CTL move-leader 123; echo $?; $CTL defrag; $CTL alarm list; $CTL alarm disarm; echo $?",
  ),
  script(
    "users",
    "$CTL user add root:pw; $CTL user add bob:pw -w json; $CTL user add eve --no-password; echo secret | $CTL user add zed --interactive=false; $CTL user list; $CTL user list -w json; $CTL user add; echo $?; $CTL user add bob:pw; echo $?; $CTL user get nobody; echo $?; echo other | $CTL user passwd bob --interactive=false; $CTL user delete eve; $CTL user add a:b -w fields; $CTL user delete a -w fields; $CTL user get bob -w fields; echo $?",
  ),
  script(
    "roles",
    "$CTL role add r1; $CTL role add r2 -w json; $CTL role list; $CTL role list -w json; $CTL role list -w fields; $CTL role grant-permission r1 read a; $CTL role grant-permission r1 readwrite b --prefix; $CTL role grant-permission r1 write c --from-key; $CTL role grant-permission r1 read k1 k3 -w json; $CTL role get r1; $CTL role get r1 -w json; $CTL role get r1 -w fields; $CTL role delete r2; $CTL role delete r9; echo $?",
  ),
  script(
    "roles that cannot be",
    "$CTL role grant-permission r1 bogus c; echo $?; $CTL role grant-permission r1; echo $?; $CTL role get; echo $?; $CTL role revoke-permission r1 nothing; echo $?",
  ),
  script(
    "roles of users",
    "$CTL user grant-role bob r1; $CTL user get bob; $CTL user get bob --detail; $CTL user get bob -w json; $CTL user revoke-role bob r1; $CTL user revoke-role bob r1; echo $?; $CTL user grant-role bob r1",
  ),
  script(
    "permissions taken back",
    "$CTL role revoke-permission r1 a; $CTL role revoke-permission r1 b --prefix; $CTL role revoke-permission r1 c --from-key; $CTL role revoke-permission r1 k1 k3 -w json; $CTL role grant-permission r1 readwrite a",
  ),
  script(
    "with authentication on",
    "$CTL auth enable; $CTL get a; echo $?; $CTL get a --user root:pw; $CTL get a --user root --password pw; $CTL get a --user root:no; echo $?; $CTL get a --user bob:other; $CTL get z --user bob:other; echo $?; $CTL endpoint health --user bob:other >/dev/null; echo $?; $CTL auth disable --user root:pw; $CTL get a --user root:pw",
  ),
];
