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
];
