"""Uses the data types of a server on 127.0.0.1:$PINYON_PORT through redis-py as an application would.

Every group of commands, in RESP2 and RESP3; exits with an error at the first wrong answer.
"""

import os
import sys

import redis

sys.path.insert(0, os.path.dirname(__file__))
from smoke import PORT, IS_REDIS, equal, refused  # noqa: E402


def pairs(reply):
    """Scores as pairs, whatever the protocol makes of them."""
    return [(member, float(score)) for member, score in reply]


def hashes(client):
    equal(client.hset("h", mapping={"f1": "v1", "f2": 2, "f3": "3.5"}), 3)
    equal(client.hget("h", "f1"), b"v1")
    equal(client.hmget("h", "f1", "none", "f2"), [b"v1", None, b"2"])
    equal(client.hgetall("h"), {b"f1": b"v1", b"f2": b"2", b"f3": b"3.5"})
    equal(client.hsetnx("h", "f1", "no"), False)
    equal((client.hlen("h"), client.hstrlen("h", "f1"), client.hexists("h", "f9")), (3, 2, False))
    equal(client.hincrby("h", "f2", 40), 42)
    equal(client.hincrbyfloat("h", "f3", 0.25), 3.75)
    equal(sorted(client.hkeys("h")), [b"f1", b"f2", b"f3"])
    equal(len(client.hvals("h")), 3)
    assert client.hrandfield("h") in (b"f1", b"f2", b"f3")
    equal(dict(client.hscan_iter("h")), client.hgetall("h"))
    equal(client.hdel("h", "f1", "f9"), 1)
    if not IS_REDIS:
        equal(client.hexpire("h", 100, "f2", "f9"), [1, -2])
        assert 0 < client.httl("h", "f2")[0] <= 100
        equal(client.hpersist("h", "f2"), [1])
    refused("WRONGTYPE", lambda: client.lpush("h", "x"))


def lists(client):
    equal(client.rpush("l", "a", "b", "c", "d"), 4)
    equal(client.lpush("l", "z"), 5)
    equal(client.lrange("l", 0, -1), [b"z", b"a", b"b", b"c", b"d"])
    equal((client.lpop("l"), client.rpop("l", 2)), (b"z", [b"d", b"c"]))
    equal(client.linsert("l", "BEFORE", "b", "between"), 3)
    equal((client.lindex("l", 1), client.llen("l"), client.lpos("l", "b")), (b"between", 3, 2))
    equal(client.lset("l", 0, "first"), True)
    equal(client.lrem("l", 0, "between"), 1)
    equal(client.lmove("l", "other", "LEFT", "RIGHT"), b"first")
    equal(client.rpoplpush("other", "l"), b"first")
    equal(client.lmpop(2, "none", "l", direction="LEFT", count=5), [b"l", [b"first", b"b"]])
    equal(client.rpushx("none", "x"), 0)
    client.rpush("n", *range(100))
    equal(client.ltrim("n", 10, 19), True)
    equal(client.llen("n"), 10)


def sets(client):
    equal(client.sadd("s1", "a", "b", "c"), 3)
    equal(client.sadd("s2", "b", "c", "d"), 3)
    equal(client.smembers("s1"), {b"a", b"b", b"c"})
    equal(client.sinter("s1", "s2"), {b"b", b"c"})
    equal(client.sunion("s1", "s2"), {b"a", b"b", b"c", b"d"})
    equal(client.sdiff("s1", "s2"), {b"a"})
    equal((client.sinterstore("d1", "s1", "s2"), client.sunionstore("d2", "s1", "s2"), client.sdiffstore("d3", "s1", "s2")), (2, 4, 1))
    equal(client.sintercard(2, ["s1", "s2"], limit=1), 1)
    equal(client.smismember("s1", ["a", "d"]), [1, 0])
    equal((client.sismember("s1", "a"), client.scard("s1")), (1, 3))
    equal(client.smove("s1", "s2", "a"), True)
    assert client.srandmember("s2") in client.smembers("s2")
    equal(len(client.spop("s2", 2)), 2)
    equal(set(client.sscan_iter("s1")), {b"b", b"c"})
    equal(client.srem("s1", "b", "c"), 2)
    equal(client.exists("s1"), 0)


def sorted_sets(client):
    equal(client.zadd("z", {"a": 1, "b": 2.5, "c": 3}), 3)
    equal(client.zadd("z", {"a": 5}, gt=True, ch=True), 1)
    equal(pairs(client.zrange("z", 0, -1, withscores=True)), [(b"b", 2.5), (b"c", 3.0), (b"a", 5.0)])
    equal(client.zrange("z", 2, 4, byscore=True), [b"b", b"c"])
    equal(client.zrevrange("z", 0, 0), [b"a"])
    equal((client.zscore("z", "b"), client.zrank("z", "a"), client.zrevrank("z", "a")), (2.5, 2, 0))
    equal((client.zcount("z", "-inf", "+inf"), client.zcard("z"), client.zlexcount("z", "-", "+")), (3, 3, 3))
    equal(client.zincrby("z", 1.5, "b"), 4.0)
    equal(client.zmscore("z", ["a", "none"]), [5.0, None])
    equal(client.zadd("y", {"a": 10, "x": 1}), 2)
    equal(client.zunionstore("u", {"z": 1, "y": 2}), 4)
    equal(client.zscore("u", "a"), 25.0)
    equal(client.zinter(["z", "y"]), [b"a"])
    equal(client.zinterstore("i", ["z", "y"], aggregate="MAX"), 1)
    equal(client.zdiff(["z", "y"]), [b"c", b"b"])
    equal(client.zintercard(2, ["z", "y"]), 1)
    equal(client.zrangestore("r", "z", 0, 1), 2)
    equal(pairs(client.zpopmin("z", 1)), [(b"c", 3.0)])
    equal(client.zremrangebyscore("z", 4, 4), 1)
    equal(dict(client.zscan_iter("y")), {b"a": 10.0, b"x": 1.0})
    equal(client.zrem("y", "x"), 1)
    equal(client.geoadd("geo", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")), 2)
    assert 166_000 < client.geodist("geo", "Palermo", "Catania") < 167_000
    equal(client.geosearch("geo", longitude=15, latitude=37, radius=100, unit="km"), [b"Catania"])
    equal(client.geohash("geo", "Palermo"), ["sqc8b49rny0"] if isinstance(client.geohash("geo", "Palermo")[0], str) else [b"sqc8b49rny0"])


def streams(client):
    first = client.xadd("x", {"field": "one"})
    second = client.xadd("x", {"field": "two", "more": "3"})
    equal(client.xlen("x"), 2)
    equal(client.xrange("x"), [(first, {b"field": b"one"}), (second, {b"field": b"two", b"more": b"3"})])
    equal(client.xrevrange("x", count=1)[0][0], second)
    equal(client.xgroup_create("x", "g", id="0"), True)
    read = client.xreadgroup("g", "me", {"x": ">"}, count=1)
    assert first in str(read).encode() or first.decode() in str(read)
    equal(client.xpending("x", "g")["pending"], 1)
    equal(client.xack("x", "g", first), 1)
    client.xreadgroup("g", "me", {"x": ">"})
    equal([entry[0] for entry in client.xclaim("x", "g", "you", 0, [second])], [second])
    equal(client.xinfo_stream("x")["length"], 2)
    equal(client.xinfo_groups("x")[0]["pending"], 1)
    equal(len(client.xinfo_consumers("x", "g")), 2)
    equal(client.xtrim("x", maxlen=1, approximate=False), 1)
    equal(client.xdel("x", second), 1)
    equal(client.xgroup_destroy("x", "g"), 1)


def bits_and_sketches(client):
    equal(client.setbit("b", 7, 1), 0)
    equal((client.getbit("b", 7), client.bitcount("b"), client.bitpos("b", 1)), (1, 1, 7))
    client.set("b2", b"\xff")
    equal(client.bitop("AND", "b3", "b", "b2"), 1)
    equal(client.bitfield("b").set("u8", 8, 200).get("u8", 8).execute(), [0, 200])
    equal(client.pfadd("p1", "a", "b", "c"), 1)
    equal(client.pfadd("p2", "c", "d"), 1)
    equal((client.pfcount("p1"), client.pfcount("p1", "p2")), (3, 4))
    equal(client.pfmerge("p3", "p1", "p2"), True)
    equal(client.pfcount("p3"), 4)


def everything(client):
    client.rpush("numbers", 3, 1, 2)
    client.mset({"w1": 30, "w2": 20, "w3": 10})
    equal(client.sort("numbers"), [b"1", b"2", b"3"])
    equal(client.sort("numbers", by="w*", get="w*"), [b"10", b"20", b"30"])
    equal(client.sort("numbers", desc=True, store="sorted"), 3)
    for key in client.keys("*"):
        payload = client.dump(key)
        assert payload is not None
        client.restore("copy", 0, payload, replace=True)
        equal(client.type("copy"), client.type(key))
        assert client.memory_usage(key) > 0
        if not IS_REDIS:
            bill = client.execute_command("MEMORY", "EXPLAIN", key)
            total = dict(zip(bill[::2], bill[1::2]))[b"total.bytes"] if isinstance(bill, list) else bill[b"total.bytes"]
            equal(total, client.memory_usage(key))
    equal(client.copy("numbers", "again"), True)
    equal(client.rename("again", "anew"), True)
    equal(client.object("encoding", "p1"), b"raw")


def main():
    for protocol in (2, 3):
        client = redis.Redis(port=PORT, protocol=protocol)
        client.flushall()
        for group in (hashes, lists, sets, sorted_sets, streams, bits_and_sketches, everything):
            try:
                group(client)
            except Exception as why:
                raise SystemExit(f"{group.__name__} in RESP{protocol}: {why!r}") from why
        client.flushall()
        client.close()


if __name__ == "__main__":
    main()
