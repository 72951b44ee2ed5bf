"""etcd3gw (the JSON gateway, as OpenStack uses it): keys, leases, locks, watches, transactions."""
import sys
import threading

import etcd3gw
from etcd3gw.utils import _encode

host, port = sys.argv[1], int(sys.argv[2])
client = etcd3gw.Etcd3Client(host=host, port=port, api_path="/v3/")

# keys
assert client.put("key", "one") is True
assert client.get("key") == [b"one"]
assert client.create("key", "two") is False
assert client.create("new", "x") is True
assert client.replace("key", "one", "three") is True
assert client.replace("key", "one", "four") is False
assert client.get("key", metadata=True)[0][1]["version"] == "2"
client.put("p/b", "2")
client.put("p/a", "1")
assert client.get_prefix("p/", sort_order="ascend", sort_target="key")[0][0] == b"1"
assert [value for value, _ in client.get_prefix("p/", sort_order="descend", sort_target="value")] == [b"2", b"1"]
assert len(client.get_all()) == 4
assert client.delete("new") is True
assert client.delete("new") is False
assert client.delete_prefix("p/") is True
assert client.get("p/a") == []
assert "version" in client.status()
assert len(client.members()) == 1

# leases
lease = client.lease(ttl=600)
client.put("leased", "x", lease=lease)
assert 100 < lease.ttl() <= 600
assert lease.refresh() == 600
assert lease.keys() == [b"leased"]
lease.revoke()
assert client.get("leased") == []

# transactions
outcome = client.transaction(
    {
        "compare": [{"result": "EQUAL", "target": "VALUE", "key": _encode("key"), "value": _encode("three")}],
        "success": [{"request_put": {"key": _encode("key"), "value": _encode("four")}}],
        "failure": [],
    }
)
assert outcome["succeeded"] is True
assert client.get("key") == [b"four"]

# watches
events, cancel = client.watch("watched")
client.put("watched", "1")
client.delete("watched")
first = next(events)
assert first["kv"]["value"] == b"1", first
assert next(events)["type"] == "DELETE"
cancel()
threading.Timer(0.5, lambda: client.put("once", "x")).start()
assert client.watch_once("once", timeout=20)["kv"]["value"] == b"x"

# locks
lock, other = client.lock("resource", ttl=30), client.lock("resource", ttl=30)
assert lock.acquire() is True
assert lock.is_acquired() is True
assert other.acquire() is False
assert lock.refresh() == 30
assert lock.release() is True
assert other.acquire() is True
other.release()
with client.lock("resource", ttl=30) as held:
    assert held.is_acquired()

print("all done")
