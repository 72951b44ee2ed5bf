"""python-etcd (v2): keys, directories, queues, watches, locks, an election as its users write it, members."""
import sys
import threading

import etcd

host, port = sys.argv[1], int(sys.argv[2])
client = etcd.Client(host=host, port=port, allow_reconnect=True, read_timeout=20)


def fails(error, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except error:
        return
    raise AssertionError(f"{call.__name__} {arguments} {options} did not fail with {error.__name__}")


# keys and directories
assert client.write("/dir/key", "one").action == "set"
node = client.read("/dir/key")
assert node.value == "one" and node.createdIndex == node.modifiedIndex
assert client.read("/dir/key", quorum=True).value == "one"
fails(etcd.EtcdKeyNotFound, client.read, "/none")
fails(etcd.EtcdAlreadyExist, client.write, "/dir/key", "x", prevExist=False)
fails(etcd.EtcdCompareFailed, client.test_and_set, "/dir/key", "x", "wrong")
assert client.test_and_set("/dir/key", "two", "one").value == "two"
fails(etcd.EtcdNotFile, client.write, "/dir", "x")
fails(etcd.EtcdDirNotEmpty, client.delete, "/dir", dir=True)
client.write("/dir/sub/key", "deep")
assert sorted(child.key for child in client.read("/dir", recursive=True).leaves) == ["/dir/key", "/dir/sub/key"]
assert sorted(child.key for child in client.get("/dir").children) == ["/dir/key", "/dir/sub"]
node = client.read("/dir/key")
node.value = "three"
assert client.update(node).value == "three"
assert client.pop("/dir/sub/key").value == "deep"
assert "/dir/key" in client and "/none" not in client
timed = client.write("/timed", "x", ttl=1000)
assert 500 <= timed.ttl <= 1000
assert client.refresh("/timed", ttl=2000).ttl > 1500
assert client.read("/timed").value == "x"
queue = [client.write("/queue", value, append=True).key for value in "ab"]
assert [child.value for child in client.read("/queue", sorted=True).children] == ["a", "b"] and queue == sorted(queue)
client.write("/empty", None, dir=True)
assert client.read("/empty").dir
client.delete("/empty", dir=True)

# watches
index = client.write("/w", "1").modifiedIndex
threading.Timer(0.3, lambda: client.write("/w", "2")).start()
assert client.watch("/w").value == "2"
assert client.watch("/w", index=index).value == "1"
threading.Timer(0.3, lambda: client.write("/tree/deep/leaf", "x")).start()
assert client.watch("/tree", recursive=True).key == "/tree/deep/leaf"
fails(etcd.EtcdWatchTimedOut, client.watch, "/nothing-comes", timeout=1)
told = []
for event in client.eternal_watch("/w", index=index):
    told.append(event.value)
    if len(told) == 2:
        break
assert told == ["1", "2"]

# locks
first, second = etcd.Lock(client, "resource"), etcd.Lock(client, "resource")
assert first.acquire(blocking=True, lock_ttl=30) is True
assert first.is_acquired
assert second.acquire(blocking=False, lock_ttl=30) is False
threading.Timer(0.3, first.release).start()
assert second.acquire(blocking=True, lock_ttl=30, timeout=20) is True
second.release()
assert not second.is_acquired
with etcd.Lock(client, "with") as held:
    assert held.is_acquired

# an election, as daemons on v2 do it: create, renew by value, lose it, take it over
client.write("/leader", "one", ttl=1, prevExist=False)
fails(etcd.EtcdAlreadyExist, client.write, "/leader", "two", ttl=30, prevExist=False)
fails(etcd.EtcdCompareFailed, client.write, "/leader", "two", ttl=30, prevValue="two")
ended = client.watch("/leader", timeout=20)
assert ended.action == "expire" and ended._prev_node.value == "one"
client.write("/leader", "two", ttl=30, prevExist=False)
client.write("/leader", "two", ttl=30, prevValue="two")
client.delete("/leader", prevValue="two")

# the cluster
assert len(client.members) == 1
assert client.leader["clientURLs"] == [f"http://{host}:{port}"]
assert client.machines == [f"http://{host}:{port}"]
assert client.stats["state"] == "StateLeader"
assert client.leader_stats["leader"]
assert client.store_stats["getsSuccess"]
assert client.version

print("all done")
