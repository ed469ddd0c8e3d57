"""What peers can fill at trackers that share a Redis, and what a Redis that is full leaves of them."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from decade_scale import RedisProcess
from tracker_store import consistent

import interop.tracker_store.registry
import interop.tracker_store.transaction
from interop.tracker_store import RedisRegistry
from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    ConnectRequest,
    FindRequest,
    Incoming,
    Limits,
    PeerAddr,
    PeerMode,
    Request,
    RequestMessage,
    Response,
    ResponseMessage,
    StatReportRequest,
    StreamStats,
    SwarmAction,
    TrackerServer,
    encode,
    parse_response,
)

JOIN, LEAVE = Action.JOIN, Action.LEAVE
HERE, ELSEWHERE = "198.51.100.1", "203.0.113.66"
_ids = itertools.count()


@pytest.fixture(scope="module")
def engine() -> Iterator[RedisProcess]:
    process = RedisProcess()
    yield process
    process.close()


@pytest.fixture
def prefix() -> str:
    return f"limits-{next(_ids)}"


def shared(engine: RedisProcess, prefix: str, **arguments: Any) -> TrackerServer:
    return TrackerServer(registry=RedisRegistry(engine.url, prefix=prefix), **arguments)


def connect(peer_id: str, *swarms: str, action: Action = JOIN) -> ConnectRequest:
    actions = tuple(SwarmAction(one, action, PeerMode.LEECH) for one in swarms)
    return ConnectRequest(f"t{next(_ids)}", peer_id, actions, None, (PeerAddr("10.0.0.1", 80),))


def post(server: TrackerServer, message: RequestMessage, host: str = HERE) -> Response:
    request = Request("POST", "/", (("Content-Type", MEDIA_TYPE),), encode(message))
    return server.handle(request, (host, 9), 0.0)


def ask(server: TrackerServer, message: RequestMessage, host: str = HERE) -> ResponseMessage:
    return parse_response(post(server, message, host).body).message


def test_a_peer_counts_for_the_host_that_has_it_join_more(engine, prefix):
    """As at a tracker that keeps all of it in memory"""
    one, other = (shared(engine, prefix, limits=Limits(memberships_per_host=4)) for _ in range(2))
    for name in "abc":
        assert ask(one, connect(name, "s")).error_code == 0
    assert ask(other, connect("a", "t"), ELSEWHERE).error_code == 0
    assert ask(one, connect("b", "t"), ELSEWHERE).error_code == 0
    assert post(other, connect("c", "t"), ELSEWHERE).status == 429
    assert ask(other, connect("c", "s"), ELSEWHERE).error_code == 0
    assert [one.peer(name).host for name in "abc"] == [ELSEWHERE, ELSEWHERE, HERE]
    assert ask(one, connect("d", "s")).error_code == 0
    assert [answer.result for answer in ask(other, connect("d", "t", "u")).swarm_result] == [0, 0]
    assert post(one, connect("d", "v")).status == 429
    assert ask(other, connect("a", "u"), "127.0.0.1").error_code == 0
    assert one.peer("a").host is None
    assert ask(one, connect("c", "t"), ELSEWHERE).error_code == 0
    client = engine.client()
    assert client.hgetall(f"{{{prefix}}}:places") == {HERE.encode(): b"3", ELSEWHERE.encode(): b"4"}


def test_a_swarm_for_a_swarm_moves_no_peer_to_a_host_that_another_tracker_has_filled_meanwhile(engine, prefix):
    one = shared(engine, prefix, limits=Limits(memberships_per_host=3))
    assert ask(one, connect("a", "s", "t")).error_code == 0
    assert ask(one, connect("c", "u"), "127.0.0.1").error_code == 0
    overtaking = [connect("b", "s", "t")]

    def select(members, requester, peer_num, count):
        while overtaking:
            assert ask(one, overtaking.pop(), ELSEWHERE).error_code == 0
        return ()

    slow = shared(engine, prefix, limits=Limits(memberships_per_host=3), select=select)
    actions = SwarmAction("u", JOIN, PeerMode.LEECH), SwarmAction("s", LEAVE, PeerMode.LEECH)
    assert post(slow, ConnectRequest("1", "a", actions), ELSEWHERE).status == 200
    assert overtaking == []
    # What it leaves it has left.
    assert (one.peer("a").host, set(one.peer("a").swarms)) == (HERE, {"t"})
    assert engine.client().hget(f"{{{prefix}}}:places", ELSEWHERE) == b"2"


def test_a_peer_that_is_there_joins_no_more_than_another_tracker_has_left(engine, prefix):
    one = shared(engine, prefix, limits=Limits(memberships=4))
    for name, swarm in (("a", "s"), ("c", "t")):
        assert ask(one, connect(name, swarm)).error_code == 0
    overtaking = [connect("b", "s", "u")]

    def select(members, requester, peer_num, count):
        while overtaking:
            assert ask(one, overtaking.pop()).error_code == 0
        return ()

    slow = shared(engine, prefix, limits=Limits(memberships=4), select=select)
    assert post(slow, connect("a", "t")).status == 503
    assert (overtaking, set(one.peer("a").swarms)) == ([], {"s"})


def test_what_a_peer_is_in_is_not_read_for_the_lists_of_others(engine, prefix):
    """Else four peers of one host could have a tracker read megabytes for each list"""
    server = shared(engine, prefix)
    assert ask(server, connect("a", "s", *(f"{number:0>2000}" for number in range(20)))).error_code == 0
    assert ask(server, StatReportRequest("1", "a", (StreamStats("s", 1),))).error_code == 0
    answer = ask(server, connect("b", "s"))
    assert [(one.peer_id, one.peer_addr.address) for one in answer.swarm_result[0].peer_group] == [("a", "10.0.0.1")]
    client = engine.client()
    assert client.hstrlen(f"{{{prefix}}}:peer:a", "r") > 40_000
    assert client.hstrlen(f"{{{prefix}}}:peer:a", "l") < 400
    assert len(server.peer("a").swarms) == 21
    assert server.peer("a").swarms["s"].stat == StreamStats("s", 1)
    assert all(one.swarms == {} for one in server.peers("s"))
    consistent(client, prefix)


def test_all_lists_of_one_answer_are_of_so_many_records(engine, prefix, monkeypatch):
    monkeypatch.setattr(interop.tracker_store.registry, "MAX_CANDIDATES", 35)
    server = shared(engine, prefix)
    for number in range(20):
        assert ask(server, connect(str(number), "s", "t", "u")).error_code == 0
    assert [len(one.peer_group or ()) for one in ask(server, connect("a", "s", "t", "u")).swarm_result] == [20, 15, 0]


def test_a_long_answer_is_not_kept(engine, prefix, monkeypatch):
    server = shared(engine, prefix)
    message = connect("a", "s")
    monkeypatch.setattr(interop.tracker_store.transaction, "MAX_ANSWER", len(post(server, message).body))
    longer = connect("a", "s", "another")
    assert ask(server, longer).error_code == 0
    kept = engine.client().get(f"{{{prefix}}}:answer:a")
    assert kept.endswith(post(server, message).body)
    assert ask(server, longer).error_code == 0


@pytest.mark.parametrize("record", ["{", "[]", "{}", '{"peer_id": 1}'])
def test_a_record_of_another_version_costs_its_own_peer_alone(engine, prefix, record):
    """And not those whose requests are carried out together with its own"""
    server = shared(engine, prefix)
    assert ask(server, connect("old", "s")).error_code == 0
    engine.client().hset(f"{{{prefix}}}:peer:old", "r", record)
    bodies = [encode(connect(name, "s")) for name in ("a", "old", "b")]
    requests = [Incoming(Request("POST", "/", (("Content-Type", MEDIA_TYPE),), body), (HERE, 9)) for body in bodies]
    answers = server.handle_all(requests, 0.0)
    assert [one.status for one in answers if isinstance(one, Response)] == [200, 503, 200]
    engine.client().zadd(f"{{{prefix}}}:deadlines", {"old": 1})
    assert ask(server, connect("old", "s")).error_code == 0
    consistent(engine.client(), prefix)


@pytest.fixture(params=["redis_process", "valkey_process"])
def full(request: pytest.FixtureRequest) -> Iterator[RedisProcess]:
    """One that can be told to be full."""
    process: RedisProcess = request.getfixturevalue(request.param)
    yield process
    process.client().config_set("maxmemory", 0)


def test_a_redis_that_is_full_takes_nothing_new_and_lets_go_of_who_is_silent(full, prefix):
    """maxmemory-policy noeviction, the default"""
    registry, client = RedisRegistry(full.url, prefix=prefix), full.client()
    registry.nonce_key()
    server = TrackerServer(registry=registry)
    for name in "ab":
        assert ask(server, connect(name, "s")).error_code == 0
    for name, swarm in (("c", "s"), ("d", "u"), ("e", "u")):
        assert ask(server, connect(name, swarm, "t")).error_code == 0
    client.zadd(f"{{{prefix}}}:deadlines", dict.fromkeys("cde", 1))
    client.config_set("maxmemory", 1)
    response = post(server, connect("f", "s"))
    assert (response.status, response.header("Retry-After")) == (503, "5")
    assert post(server, connect("a", "x")).status == 503
    assert [one.peer_id for one in ask(server, FindRequest("1", "a", "s")).swarm_result[0].peer_group] == ["b"]
    server.handle_timer(100.0)
    assert (server.peer_count, server.swarm_count, server.statistics()["memberships"]) == (2, 1, 2)
    consistent(client, prefix)
    client.config_set("maxmemory", 0)
    assert ask(server, connect("f", "s", "t")).error_code == 0
    consistent(client, prefix)
