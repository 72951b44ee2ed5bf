"""Patroni's store of cluster state, over v2 or v3: two nodes of a database cluster race, lead, hand over, and take over from the dead."""
import json
import os
import sys
import time

from patroni.dcs import get_dcs

kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
TTL = 3


def node(name):
    settings = {kind: {"host": f"{host}:{port}"}, "scope": "demo", "namespace": "/service", "name": name}
    dcs = get_dcs({**settings, "ttl": TTL, "loop_wait": 1, "retry_timeout": 3})
    dcs.set_retry_timeout(10)
    return dcs


def until(what, condition):
    limit = time.time() + 20
    while not condition():
        assert time.time() < limit, what
        time.sleep(0.05)


one, two = node("one"), node("two")

# The first node makes the cluster.
assert one.initialize(create_new=True, sysid="12345")
assert not two.initialize(create_new=True, sysid="67890")
assert one.set_config_value(json.dumps({"ttl": TTL}))
for dcs in (one, two):
    dcs.get_cluster()
    assert dcs.touch_member({"conn_url": f"postgres://{dcs._name}", "state": "running", "role": "replica"})

# One leads.
assert one.attempt_to_acquire_leader()
assert not two.attempt_to_acquire_leader()
until("two sees the leader", lambda: two.get_cluster().leader is not None)
cluster = two.get_cluster()
assert cluster.leader.name == "one" and cluster.initialize == "12345"
until("two sees the members", lambda: sorted(member.name for member in two.get_cluster().members) == ["one", "two"])
assert two.get_cluster().config.data == {"ttl": TTL}
one.get_cluster()
assert one.update_leader(1000)
until("the position of the leader is known", lambda: two.get_cluster().last_lsn == 1000)
assert one.set_history_value(json.dumps([[1, 1000, "promoted"]]))
until("history is known", lambda: two.get_cluster().history is not None)

# Synchronous standbys are written only by who has read the last word.
assert one.write_sync_state("one", "two")
until("the standby is known", lambda: one.get_cluster().sync.leader == "one")
sync = one.get_cluster().sync
assert one.write_sync_state("one", None, index=sync.index)
assert not two.write_sync_state("two", "one", index=sync.index)

# It hands over: the failover key, a release, a watch that wakes, the other one leads.
assert two.manual_failover("one", "two")
until("the failover key is seen", lambda: one.get_cluster().failover is not None)
failover = one.get_cluster().failover
assert failover.leader == "one" and failover.candidate == "two"
assert one.manual_failover("", "", index=failover.index)
one.get_cluster()
assert one.update_leader(1001)
one.delete_leader()
until("the leader is gone", lambda: two.get_cluster().is_unlocked())
assert two.attempt_to_acquire_leader()

# It dies: what it held ends with its time to live, and a watch wakes before its own time is over.
until("two leads", lambda: one.get_cluster().leader is not None and one.get_cluster().leader.name == "two")
begun = time.time()
while not one.get_cluster().is_unlocked():
    assert time.time() < begun + 20
    one.touch_member({"conn_url": "postgres://one", "state": "running", "role": "replica"})
    leader = one.get_cluster().leader
    one.watch(leader and leader.index, 0.5)
assert one.attempt_to_acquire_leader()

until("two is no member any more", lambda: [member.name for member in one.get_cluster().members] in ([], ["one"]))
assert one.delete_cluster()
until("all is gone", lambda: one.get_cluster().initialize is None)
print("all done")
sys.stdout.flush()
# Threads that watch go on for ever.
os._exit(0)
