"""Many requests at once at trackers that share a Redis: they wait for it together, and no limit is overstepped."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tracker_store import consistent

from interop._redis import FailedError, SharedRedis
from interop.tracker_store import RedisRegistry
from interop.tracker_store.registry import _SCRIPTS
from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    ConnectRequest,
    FindRequest,
    Incoming,
    Limits,
    PeerAddr,
    PeerMode,
    PeerNum,
    Request,
    RequestMessage,
    Response,
    ResponseMessage,
    SwarmAction,
    TrackerServer,
    encode,
    parse_response,
)

JOIN, LEAVE = Action.JOIN, Action.LEAVE
SEEDER, LEECH = PeerMode.SEEDER, PeerMode.LEECH
CROWDED = "198.51.100.7"
_names = (f"many-{number}" for number in itertools.count())
_ids = itertools.count()


@pytest.fixture
def prefix() -> str:
    return next(_names)


@pytest.fixture
def shared(redis_process, prefix) -> Callable[..., TrackerServer]:
    """Makes one more tracker on the store."""

    def make(*, track_timer: float = 180.0, **arguments: Any) -> TrackerServer:
        registry = RedisRegistry(redis_process.url, prefix=prefix, track_timer=track_timer)
        return TrackerServer(registry=registry, **arguments)

    return make


def connect(peer_id: str, *swarms: str, action: Action = JOIN, mode: PeerMode = LEECH) -> ConnectRequest:
    actions = tuple(SwarmAction(one, action, mode) for one in swarms or ("s",))
    return ConnectRequest(f"t{next(_ids)}", peer_id, actions, PeerNum(29), (PeerAddr("192.0.2.1", 80),))


def given(message: RequestMessage, host: str = CROWDED) -> Incoming:
    return Incoming(Request("POST", "/", (("Content-Type", MEDIA_TYPE),), encode(message)), (host, 4000))


def ask(server: TrackerServer, *messages: RequestMessage, host: str = CROWDED) -> list[ResponseMessage]:
    """All at once."""
    answers = server.handle_all([given(one, host) for one in messages], 0.0)
    return [parse_response(one.body).message for one in answers if isinstance(one, Response)]


def codes(server: TrackerServer, *messages: RequestMessage, host: str = CROWDED) -> list[int]:
    return [int(one.error_code) for one in ask(server, *messages, host=host)]


def test_requests_that_come_together_are_carried_out_by_two_ways_to_the_store(shared, redis_process):
    server = shared()
    names = [f"p{number}" for number in range(20)]
    assert codes(server, *map(connect, names)) == [0] * 20
    client = redis_process.client()
    before = client.info("stats")["total_reads_processed"]
    answers = ask(server, *(FindRequest("1", name, "s") for name in names))
    ways = client.info("stats")["total_reads_processed"] - before
    for name, answer in zip(names, answers, strict=True):
        assert {one.peer_id for one in answer.swarm_result[0].peer_group} == {*names} - {name}
    # One for all that is read and one for all that is written, besides INFO and a look for the dead; alone it were 40.
    assert ways <= 12


def test_a_connect_to_several_swarms_has_the_lists_of_all_of_them_from_one_look(shared):
    server = shared()
    assert codes(server, *(connect(f"{swarm}{number}", swarm) for swarm in "abc" for number in range(3))) == [0] * 9
    answer = ask(server, connect("viewer", "a", "b", "c", "new"))[0]
    listed = {one.swarm_id: {peer.peer_id for peer in one.peer_group or ()} for one in answer.swarm_result}
    assert listed == {swarm: {f"{swarm}{number}" for number in range(3)} for swarm in "abc"} | {"new": set()}


def test_a_connect_to_many_large_swarms_has_as_many_peers_as_an_answer_may_have(shared):
    server = shared()
    swarms = [f"swarm {number}" for number in range(12)]
    for name in range(40):
        assert codes(server, connect(f"p{name}", *swarms, mode=SEEDER)) == [0]
    answer = ask(server, connect("viewer", *swarms))[0]
    assert [len(one.peer_group or ()) for one in answer.swarm_result] == [29] * 10 + [0] * 2


@pytest.mark.parametrize("kind", ["redis_process", "valkey_process"])
def test_two_trackers_let_no_host_have_more_than_its_limit_whatever_comes_at_once(request, prefix, kind):
    engine = request.getfixturevalue(kind)
    limits = Limits(memberships_per_host=25)

    def fill(seed: int) -> list[int]:
        server = TrackerServer(registry=RedisRegistry(engine.url, prefix=prefix), limits=limits)
        return codes(server, *(connect(f"{seed}-{number}") for number in range(20)))

    with ThreadPoolExecutor(2) as pool:
        found = [code for one in pool.map(fill, range(2)) for code in one]
    assert (found.count(0), found.count(5)) == (25, 15)
    consistent(engine.client(), prefix)
    server = TrackerServer(registry=RedisRegistry(engine.url, prefix=prefix), limits=limits)
    assert codes(server, connect("elsewhere"), host="203.0.113.66") == [0]
    assert codes(server, connect("0-0", "another")) == [5]


def test_what_a_tracker_has_room_for_at_all_is_exact_too(shared):
    """RFC 7846 section 4.3: 05"""
    one = shared(limits=Limits(peers=7))
    assert sorted(codes(one, *(connect(f"p{number}") for number in range(10)))) == [0] * 7 + [5] * 3
    swarms = shared(limits=Limits(swarms=4))
    told = codes(swarms, *(connect(f"p{number}", f"new {number}") for number in range(7)))
    assert sorted(told) == [0] * 3 + [5] * 4
    memberships = shared(limits=Limits(memberships=12))
    told = codes(memberships, *(connect(f"p{number}", "new 0", "new 1", mode=SEEDER) for number in range(7)))
    assert one.statistics()["memberships"] <= 12


def test_a_peer_that_leaves_or_is_silent_or_was_dropped_makes_room_for_its_host(shared, redis_process, prefix):
    """maxmemory-policy allkeys-lru may take any record"""
    limits = Limits(memberships_per_host=3)
    one, other = shared(limits=limits), shared(limits=limits)
    client = redis_process.client()
    assert codes(one, connect("leaves", "s", "t"), connect("dropped")) == [0, 0]
    assert codes(other, connect("more")) == [5]
    assert codes(other, connect("leaves", "t", action=LEAVE)) == [0]
    assert codes(other, connect("silent")) == [0]
    assert codes(one, connect("more")) == [5]
    client.zadd(f"{{{prefix}}}:deadlines", {"silent": 0, "leaves": 0})
    one.handle_timer(10.0)
    client.delete(f"{{{prefix}}}:peer:dropped")
    assert codes(one, FindRequest("1", "leaves", "s")) == [3]
    assert codes(one, connect("leaves")) == [0]
    assert codes(one, FindRequest("1", "leaves", "s")) == [0]
    assert client.hgetall(f"{{{prefix}}}:places") == {CROWDED.encode(): b"1"}
    assert codes(one, connect("a"), connect("b"), connect("c")) == [0, 0, 5]
    consistent(client, prefix)


def test_the_key_of_nonces_is_one_for_all_and_outlives_a_redis_that_loses_it(redis_process, prefix):
    one, other, late = (RedisRegistry(redis_process.url, prefix=prefix) for _ in range(3))
    key = one.nonce_key()
    assert len(key) == 32
    assert other.nonce_key() == key
    redis_process.client().delete(f"{{{prefix}}}:nonce-key")
    other.handle_timer(0.0)
    assert late.nonce_key() == key
    redis_process.client().set(f"{{{prefix}}}:nonce-key", b"of a tracker that was faster")
    late.handle_timer(0.0)
    assert redis_process.client().get(f"{{{prefix}}}:nonce-key") == b"of a tracker that was faster"
    without = RedisRegistry(redis_process.url, prefix=f"{prefix}-other")
    without.handle_timer(0.0)
    assert redis_process.client().get(f"{{{prefix}-other}}:nonce-key") is None


def test_scripts_that_a_server_has_lost_are_sent_to_it_again(redis_process, prefix):
    shared = SharedRedis(redis_process.url, _SCRIPTS, prefix=prefix)
    redis_process.client().script_flush()
    calls = [("sample", ["s", 5]), ("largest", [5]), ("sample", ["t", 5])]
    assert shared.run_all(calls) == [[], [], []]
    assert shared.run_all([]) == []
    shared.close()


def test_what_one_script_fails_with_stands_in_its_place(redis_process, prefix):
    shared = SharedRedis(redis_process.url, _SCRIPTS, prefix=prefix)
    first, failed, last = shared.run_all([("sample", ["s", 5]), ("reap", ["junk", ""]), ("largest", [5])])
    assert (first, last) == ([], [])
    assert isinstance(failed, FailedError)
    shared.close()
