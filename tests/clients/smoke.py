"""Uses a server on 127.0.0.1:$PINYON_PORT through redis-py as an application would.

Every group of commands, in RESP2 and RESP3; exits with an error at the first wrong answer.
$PINYON_IS_REDIS leaves out what only Pinyon has.
"""

import os
import time

import redis

PORT = int(os.environ["PINYON_PORT"])
IS_REDIS = bool(os.environ.get("PINYON_IS_REDIS"))

FIFTEEN = [
    "peak.allocated", "total.allocated", "startup.allocated", "replication.backlog", "clients.slaves",
    "clients.normal", "aof.buffer", "lua.caches", "functions.caches", "overhead.total", "keys.count",
    "keys.bytes-per-key", "dataset.bytes", "dataset.percentage", "peak.percentage",
]


def equal(found, expected):
    assert found == expected, f"{found!r} instead of {expected!r}"


def refused(words, call):
    """Checks that a call is answered by an error that contains these words."""
    try:
        answer = call()
    except redis.ResponseError as why:
        assert words in str(why), f"{why} instead of {words}"
    else:
        raise AssertionError(f"{answer!r} instead of an error with {words}")


def connection(client):
    equal(client.ping(), True)
    equal(client.echo("hello"), b"hello")
    assert client.client_id() > 0
    client.client_setname("smoke")
    equal(client.client_getname() in (b"smoke", "smoke"), True)
    mine = client.client_info()
    equal(mine["name"], "smoke")
    if not IS_REDIS:
        equal(mine["lib-name"], "redis-py")
    assert any(each["name"] == "smoke" for each in client.client_list())
    client.client_no_evict("ON")
    if not IS_REDIS:
        client.client_no_touch("OFF")
    other = redis.Redis(port=PORT)
    number = other.client_id()
    equal(client.client_kill_filter(_id=number), 1)
    refused("unknown command", lambda: client.execute_command("NOSUCH", "x"))
    refused("wrong number of arguments", lambda: client.execute_command("GET"))


def strings(client):
    equal(client.set("k", "v"), True)
    equal(client.get("k"), b"v")
    equal(client.set("k", "w", nx=True), None)
    equal(client.set("k", "w", xx=True, get=True), b"v")
    equal(client.set("k", "x", ex=100, keepttl=False), True)
    assert 0 < client.ttl("k") <= 100
    equal(client.setnx("k", "no"), False)
    equal(client.setex("e", 100, "v"), True)
    equal(client.psetex("p", 100_000, "v"), True)
    equal(client.getset("k", "y"), b"x")
    equal(client.getdel("e"), b"v")
    equal(client.getex("p", persist=True), b"v")
    equal(client.ttl("p"), -1)
    equal(client.mset({"a": 1, "b": 2, "c": 3, "d": 4}), True)
    equal(client.mget("a", "b", "none", "d"), [b"1", b"2", None, b"4"])
    equal(client.msetnx({"a": 9, "new": 9}), False)
    equal(client.msetnx({"new1": 9, "new2": 9}), True)
    equal(client.append("k", "z"), 2)
    equal(client.strlen("k"), 2)
    equal(client.getrange("k", 0, 0), b"y")
    equal(client.substr("k", 1, -1), b"z")
    equal(client.setrange("k", 1, "Z!"), 3)
    equal(client.get("k"), b"yZ!")
    equal(client.incr("n"), 1)
    equal(client.incrby("n", 10), 11)
    equal(client.decr("n"), 10)
    equal(client.decrby("n", 20), -10)
    equal(client.incrbyfloat("f", 0.1), 0.1)
    equal(client.incrbyfloat("f", 0.2), 0.3)
    client.mset({"{t}1": "ohmytext", "{t}2": "mynewtext"})
    equal(client.lcs("{t}1", "{t}2"), b"mytext")
    equal(client.lcs("{t}1", "{t}2", len=True), 6)
    refused("not an integer", lambda: client.incr("k"))
    binary = bytes(range(256)) * 300
    client.set(b"\xff\x00\r\n", binary)
    equal(client.get(b"\xff\x00\r\n"), binary)


def keys(client):
    client.flushdb()
    client.mset({f"key:{n}": n for n in range(500)})
    equal(client.dbsize(), 500)
    equal(sorted(client.scan_iter(count=37)), sorted(f"key:{n}".encode() for n in range(500)))
    equal(len(list(client.scan_iter(match="key:1?", _type="string"))), 10)
    equal(sorted(client.keys("key:49?")), sorted(f"key:{n}".encode() for n in range(490, 500)))
    equal(client.exists("key:1", "key:2", "none"), 2)
    equal(client.touch("key:1", "none"), 1)
    equal(client.delete("key:1", "key:2", "none"), 2)
    equal(client.unlink("key:3"), 1)
    equal(client.type("key:4"), b"string")
    equal(client.rename("key:4", "four"), True)
    equal(client.renamenx("key:5", "four"), False)
    equal(client.copy("four", "copied"), True)
    equal(client.expire("four", 100), True)
    equal(client.expire("four", 200, nx=True), False)
    equal(client.pexpire("four", 100_000), True)
    equal(client.expireat("four", 33177117420), True)
    equal(client.expiretime("four"), 33177117420)
    equal(client.pexpireat("four", 33177117420000), True)
    equal(client.pexpiretime("four"), 33177117420000)
    assert client.pttl("four") > 0
    equal(client.persist("four"), True)
    equal(client.ttl("none"), -2)
    assert client.randomkey() is not None
    assert client.object("encoding", "four") in (b"int", b"embstr")
    equal(client.object("refcount", "copied") >= 1, True)
    assert client.object("idletime", "copied") >= 0
    refused("no such key", lambda: client.rename("none", "x"))
    client.set("brief", "v", px=1)
    time.sleep(0.003)
    equal(client.get("brief"), None)


def databases(client):
    other = redis.Redis(port=PORT, db=5)
    other.set("only", "there")
    equal(client.exists("only"), 0)
    equal(other.move("only", 6), True)
    other.swapdb(5, 6)
    equal(other.get("only"), b"there")
    other.flushdb(asynchronous=True)
    equal(other.dbsize(), 0)
    other.close()


def pipelines(client):
    with client.pipeline(transaction=False) as pipe:
        for n in range(1000):
            pipe.set(f"pipe:{n}", n).incr(f"pipe:{n}").get(f"pipe:{n}")
        pipe.execute_command("NOSUCH")
        answers = pipe.execute(raise_on_error=False)
    for n in range(1000):
        equal(answers[3 * n:3 * n + 3], [True, n + 1, str(n + 1).encode()])
    assert isinstance(answers[-1], redis.ResponseError)


def server(client):
    info = client.info()
    for field in ["redis_version", "used_memory", "connected_clients", "maxmemory", "db0", "uptime_in_seconds"]:
        assert field in info, field
    equal(client.info("keyspace")["db0"]["keys"], client.dbsize())
    equal(client.config_get("maxmemory"), {"maxmemory": str(256 << 20)})
    equal(client.config_set("timeout", 100), True)
    equal(client.config_get("timeout")["timeout"], "100")
    client.config_set("timeout", 0)
    equal(client.config_resetstat(), True)
    seconds, micros = client.time()
    assert seconds > 1_600_000_000 and 0 <= micros < 1_000_000
    assert client.command_count() > 50
    assert "get" in client.command()
    assert client.command_getkeys("MSET", "a", 1, "b", 2) in (["a", "b"], [b"a", b"b"])
    assert client.execute_command("COMMAND DOCS", "get")
    assert client.lolwut()


def memory(client):
    client.set("large", "x" * 50_000)
    stats = client.memory_stats()
    if not IS_REDIS:
        equal(list(stats)[:15], FIFTEEN)
        equal(stats["overhead.total"] + stats["dataset.bytes"], stats["total.allocated"])
        equal(stats["keys.count"], client.dbsize())
    for name in FIFTEEN[:13]:
        assert isinstance(stats[name], int), f"{name} is {stats[name]!r}"
    for name in FIFTEEN[13:]:
        assert 0 <= float(stats[name]) <= 100, f"{name} is {stats[name]!r}"
    assert 50_000 < client.memory_usage("large") < 70_000
    equal(client.memory_usage("large", samples=0), client.memory_usage("large"))
    equal(client.memory_usage("none"), None)
    equal(client.memory_purge(), True)
    assert client.memory_malloc_stats()
    assert client.execute_command("MEMORY DOCTOR")
    assert len(client.execute_command("MEMORY HELP")) >= 12


def main():
    for protocol in (2, 3):
        client = redis.Redis(port=PORT, protocol=protocol)
        client.flushall()
        for group in (connection, strings, keys, databases, pipelines, server, memory):
            try:
                group(client)
            except Exception as why:
                raise SystemExit(f"{group.__name__} in RESP{protocol}: {why!r}") from why
        equal(client.flushall(), True)
        equal(client.dbsize(), 0)
        client.close()


if __name__ == "__main__":
    main()
