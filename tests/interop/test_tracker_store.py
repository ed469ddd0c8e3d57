"""A tracker's registrations in a real Redis: they do what those in memory do, for several trackers at once."""

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from decade_scale import RedisProcess
from tracker_store import consistent

from interop.tracker_store import RedisRegistry, StoreError
from ppsp.tracker import (
    MEDIA_TYPE,
    AbilityNat,
    Action,
    Allowed,
    Connection,
    ConnectRequest,
    ErrorCode,
    FindRequest,
    Limits,
    PeerAddr,
    PeerMode,
    PeerNum,
    PeerState,
    Registry,
    Request,
    RequestMessage,
    Response,
    ResponseMessage,
    Rules,
    StatReportRequest,
    StreamStats,
    SwarmAction,
    TrackerServer,
    TrackerState,
    encode,
    parse_response,
)
from ppsp.tracker.registry import MemoryRegistry

JOIN, LEAVE = Action.JOIN, Action.LEAVE
SEEDER, LEECH = PeerMode.SEEDER, PeerMode.LEECH
_names = (f"test-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def engine() -> Iterator[RedisProcess]:
    process = RedisProcess()
    yield process
    process.close()


@pytest.fixture
def prefix() -> str:
    return next(_names)


def shared(engine: RedisProcess, prefix: str, *, track_timer: float = 180.0, **arguments: Any) -> TrackerServer:
    """One of the trackers that share what is under the prefix."""
    registry = RedisRegistry(engine.url, prefix=prefix, track_timer=track_timer)
    return TrackerServer(registry=registry, **arguments)


_ids = itertools.count()


def connect(peer_id: str, *actions: tuple[str, Action, PeerMode], **more: Any) -> ConnectRequest:
    more = {"peer_addr": (PeerAddr("192.0.2.1", 1 + sum(peer_id.encode()) % 60000),)} | more
    return ConnectRequest(f"t{next(_ids)}", peer_id, tuple(SwarmAction(*action) for action in actions), **more)


def post(server: TrackerServer, message: RequestMessage, now: float = 0.0) -> Response:
    request = Request("POST", "/", (("Content-Type", MEDIA_TYPE),), encode(message))
    return server.handle(request, ("198.51.100.7", 4000), now)


def ask(server: TrackerServer, message: RequestMessage, now: float = 0.0) -> ResponseMessage:
    return parse_response(post(server, message, now).body).message


def listed(answer: ResponseMessage) -> set[str]:
    return {peer.peer_id for peer in answer.swarm_result[0].peer_group or ()}


def test_two_trackers_share_peers_and_swarms(engine, prefix):
    one, other = shared(engine, prefix), shared(engine, prefix)
    assert one.state is TrackerState.INIT
    assert ask(one, connect("a", ("s", JOIN, SEEDER))).error_code == 0
    assert listed(ask(other, connect("b", ("s", JOIN, LEECH)))) == {"a"}
    assert listed(ask(one, FindRequest("1", "b", "s"))) == {"a"}
    assert (one.peer_count, other.swarm_count, other.state) == (2, 1, TrackerState.STARTED)
    assert ask(other, connect("a", ("s", LEAVE, SEEDER))).error_code == 0
    assert listed(ask(one, FindRequest("2", "b", "s"))) == set()
    assert ask(one, connect("b", ("s", LEAVE, LEECH))).error_code == 0
    assert (one.peer_count, one.swarm_count, one.state) == (0, 0, TrackerState.INIT)
    left = {key.decode().removeprefix(f"{{{prefix}}}:") for key in engine.client().keys(f"{{{prefix}}}*")}
    assert left == {"memberships", "answer:a", "answer:b"}


def test_everything_that_is_known_of_a_peer_survives(engine, prefix):
    one, other = shared(engine, prefix), shared(engine, prefix)
    addresses = (
        PeerAddr("2001:db8::2", 80, 2, connection=Connection.WIRELESS, asn="3", peer_protocol="PPSP-PP"),
        PeerAddr("192.0.2.2", 81),
    )
    properties = PeerNum(5, AbilityNat.STUN, 1, 2, 3)
    ask(one, connect("zoë \u0000 ☃", ("swärm", JOIN, LEECH), peer_addr=addresses, peer_num=properties))
    stat = StreamStats("swärm", 2**64 - 1, 1, 2, 3)
    assert ask(other, StatReportRequest("2", "zoë \u0000 ☃", (stat,))).swarm_result[0].result == 0
    peer = one.peer("zoë \u0000 ☃")
    assert (peer.peer_addr, peer.properties, peer.source) == (addresses, properties, "198.51.100.7")
    assert (peer.state, peer.swarms["swärm"].stat, peer.swarms["swärm"].peer_mode) == (PeerState.TRACKING, stat, LEECH)
    assert [one.peer_id for one in other.peers("swärm")] == ["zoë \u0000 ☃"]


def test_a_request_repeated_at_the_other_tracker_gets_the_same_answer_and_is_carried_out_once(engine, prefix):
    """RFC 7846 section 4.3"""
    strict = Rules(strict=True)
    one, other = shared(engine, prefix, rules=strict), shared(engine, prefix, rules=strict)
    ask(one, connect("b", ("s", JOIN, SEEDER)))
    joining = connect("a", ("s", JOIN, SEEDER), peer_num=PeerNum(5))
    first = post(one, joining)
    # Carried out twice, a strict tracker would refuse the second (table 6) and end the registration.
    assert post(other, joining) == first
    leaving = connect("a", ("s", LEAVE, SEEDER))
    assert post(other, leaving) == post(one, leaving)
    assert post(one, leaving).status == 200
    assert other.peer("a") is None
    assert ask(other, joining).error_code == 0
    assert other.peer("a") is not None


def test_a_random_session_at_two_trackers_is_answered_as_by_one_in_memory(engine, prefix):
    """RFC 7846 section 2.3: the state machines do not depend on where registrations are kept."""
    limits = Limits(peers=4, swarms=3, memberships=6, swarms_per_peer=2)
    trackers = shared(engine, prefix, limits=limits), shared(engine, prefix, limits=limits)
    reference = TrackerServer(limits=limits)
    chance = random.Random(7846)
    seen = set()
    for number in range(400):
        who, swarm = chance.choice("abcdef"), chance.choice("stuv")
        kind = chance.randrange(4)
        if kind < 2:
            swarms = chance.choices("stuv", k=chance.randint(1, 3))
            actions = [(name, chance.choice(list(Action)), chance.choice(list(PeerMode))) for name in swarms]
            message: RequestMessage = connect(who, *actions, peer_num=PeerNum(29))
        elif kind == 2:
            message = FindRequest(f"t{number}", who, swarm)
        else:
            message = StatReportRequest(f"t{number}", who, (StreamStats(swarm, number),))
        for _ in range(chance.randint(1, 2)):
            answer, due = ask(chance.choice(trackers), message), ask(reference, message)
            assert (answer.error_code, answer.transaction_id) == (due.error_code, due.transaction_id)
            assert [one.result for one in answer.swarm_result] == [one.result for one in due.swarm_result]
            for ours, theirs in zip(answer.swarm_result, due.swarm_result, strict=True):
                assert {one.peer_id for one in ours.peer_group or ()} == {
                    one.peer_id for one in theirs.peer_group or ()
                }
            seen.add(int(answer.error_code))
        told, due_told = trackers[0].statistics(), reference.statistics()
        for name in ("state", "peers", "swarms", "memberships"):
            assert told[name] == due_told[name]
        by_swarm = {one["swarm_id"]: one for one in told["largest_swarms"]}
        assert by_swarm == {one["swarm_id"]: one for one in due_told["largest_swarms"]}
    assert seen == {0, 3, 5}


def test_a_tracker_that_was_overtaken_begins_anew(engine, prefix):
    one, other = shared(engine, prefix), shared(engine, prefix)
    ask(one, connect("a", ("s", JOIN, LEECH)))
    ask(one, connect("b", ("u", JOIN, LEECH)))
    overtaking = [connect("a", ("s", LEAVE, LEECH)), connect("a", ("t", JOIN, SEEDER))]

    def select(members, requester, peer_num, count):
        if overtaking:
            assert ask(other, overtaking.pop()).error_code == 0
        return members

    slow = shared(engine, prefix, select=select)
    assert listed(ask(slow, connect("a", ("u", JOIN, LEECH)))) == {"b"}
    assert overtaking == []
    peer = one.peer("a")
    assert {swarm_id: membership.peer_mode for swarm_id, membership in peer.swarms.items()} == {"t": SEEDER, "u": LEECH}
    assert one.statistics()["memberships"] == 3


def test_a_peer_that_has_left_meanwhile_is_told_so(engine, prefix):
    one = shared(engine, prefix)
    ask(one, connect("a", ("s", JOIN, LEECH), ("t", JOIN, LEECH)))
    leaving = [connect("a", ("s", LEAVE, LEECH))]

    def select(members, requester, peer_num, count):
        while leaving:
            assert ask(one, leaving.pop()).error_code == 0
        return members

    slow = shared(engine, prefix, select=select)
    assert ask(slow, FindRequest("1", "a", "s")).error_code == ErrorCode.FORBIDDEN_ACTION
    assert leaving == []


def test_a_peer_that_is_overtaken_for_ever_is_told_to_come_back(engine, prefix):
    one, other = shared(engine, prefix), shared(engine, prefix)
    ask(one, connect("a", ("s", JOIN, LEECH)))
    ask(one, connect("b", ("s", JOIN, LEECH)))
    numbers = itertools.count()

    def select(members, requester, peer_num, count):
        ask(other, connect("a", (f"t{next(numbers)}", JOIN, SEEDER)))
        return ()

    slow = shared(engine, prefix, select=select)
    assert ask(slow, connect("a", ("s", JOIN, LEECH))).error_code == ErrorCode.SERVICE_UNAVAILABLE
    assert next(numbers) == 8


def test_a_silent_peer_is_removed_from_everything_by_whichever_tracker_looks(engine, prefix):
    """RFC 7846 section 2.3.2 D"""
    one, other = shared(engine, prefix, track_timer=0.05), shared(engine, prefix)
    ask(other, connect("b", ("s", JOIN, LEECH)))
    ask(one, connect("a", ("s", JOIN, SEEDER), ("t", JOIN, SEEDER)))
    deadline = engine.client().zscore(f"{{{prefix}}}:deadlines", "a")
    while (time := engine.client().time())[0] * 1000 + time[1] // 1000 <= deadline:
        pass
    # Nobody has looked yet, and nobody is told of it any more.
    assert listed(ask(other, FindRequest("1", "b", "s"), now=1.0)) == set()
    assert other.peer("a") is None
    other.handle_timer(10.0)
    assert (other.peer_count, other.swarm_count, other.statistics()["memberships"]) == (1, 1, 1)
    assert other.get_timer() == 12.0


def test_a_silent_peer_that_is_back_before_anybody_has_looked_begins_anew(engine, prefix):
    server, client = shared(engine, prefix), engine.client()
    ask(server, connect("a", ("s", JOIN, SEEDER), ("t", JOIN, SEEDER)))
    first = server.peer("a").number
    client.zadd(f"{{{prefix}}}:deadlines", {"a": 1})
    assert ask(server, connect("a", ("u", JOIN, LEECH))).error_code == 0
    assert (set(server.peer("a").swarms), server.swarm_count) == ({"u"}, 1)
    assert server.peer("a").number != first
    consistent(client, prefix)


def test_what_counts_as_a_sign_of_life_starts_the_timer_anew(engine, prefix):
    server = shared(engine, prefix, track_timer=1000.0)
    joining = connect("a", ("s", JOIN, LEECH))
    stat = StatReportRequest("2", "a", (StreamStats("s"),))
    ask(server, joining)
    client = engine.client()
    for message in (FindRequest("1", "a", "s"), stat, stat, StatReportRequest("3", "a"), joining):
        client.zadd(f"{{{prefix}}}:deadlines", {"a": 2**52})
        assert ask(server, message).error_code == 0
        assert client.zscore(f"{{{prefix}}}:deadlines", "a") < 2**52
    client.zadd(f"{{{prefix}}}:deadlines", {"a": 2**52})
    for refused in (FindRequest("4", "a", "other"), connect("a", ("other", LEAVE, LEECH))):
        assert ask(server, refused).error_code == ErrorCode.FORBIDDEN_ACTION
    assert client.zscore(f"{{{prefix}}}:deadlines", "a") == 2**52


def test_somebody_else_cannot_use_a_peer_id_at_another_tracker(engine, prefix):
    one = shared(engine, prefix, authenticate=lambda request, certificate, now: Allowed("anna"))
    other = shared(engine, prefix, authenticate=lambda request, certificate, now: Allowed("mallory"))
    assert ask(one, connect("a", ("s", JOIN, LEECH))).error_code == 0
    assert ask(other, connect("a", ("s", LEAVE, LEECH))).error_code == ErrorCode.FORBIDDEN_ACTION
    assert ask(other, FindRequest("1", "a", "s")).error_code == ErrorCode.FORBIDDEN_ACTION
    assert set(one.peer("a").swarms) == {"s"}


def test_a_redis_that_hangs_or_dies_is_error_05_and_back_it_works_at_once():
    """RFC 7846 section 4.3"""
    process = RedisProcess()
    try:
        now = 0.0
        registry = RedisRegistry(process.url, clock=lambda: now)
        server = TrackerServer(registry=registry, has_statistics=True)
        assert ask(server, connect("a", ("s", JOIN, LEECH))).error_code == 0
        process.kill()
        response = post(server, FindRequest("1", "a", "s"), now=5.0)
        assert (response.status, response.header("Retry-After")) == (503, "5")
        assert parse_response(response.body).message.error_code == ErrorCode.SERVICE_UNAVAILABLE
        assert server.handle(Request("GET", "/stats"), None, 5.0).status == 503
        server.handle_timer(100.0)
        process.restart()
        assert ask(server, FindRequest("1", "a", "s")).error_code == ErrorCode.SERVICE_UNAVAILABLE
        now = 1.0
        # The file of that Redis has kept the peer.
        assert ask(server, FindRequest("1", "a", "s")).error_code == 0
        process.client().flushall()
        process.client().script_flush()
        # One that lost everything has peers register anew, as a tracker that was restarted.
        assert ask(server, FindRequest("2", "a", "s")).error_code == ErrorCode.FORBIDDEN_ACTION
        assert ask(server, connect("a", ("s", JOIN, LEECH))).error_code == 0
    finally:
        process.close()


def test_a_redis_that_has_dropped_a_record_for_want_of_memory_costs_that_peer_alone(engine, prefix):
    """maxmemory-policy allkeys-lru takes any key, and leaves those that name it"""
    server = shared(engine, prefix)
    for name in ("a", "b", "gone"):
        assert ask(server, connect(name, ("s", JOIN, LEECH))).error_code == 0
    engine.client().delete(f"{{{prefix}}}:peer:gone")
    assert listed(ask(server, FindRequest("1", "a", "s"))) == {"b"}
    assert (server.peer_count, server.statistics()["memberships"]) == (2, 2)
    assert ask(server, StatReportRequest("2", "gone")).error_code == ErrorCode.FORBIDDEN_ACTION
    assert ask(server, connect("gone", ("s", JOIN, LEECH))).error_code == 0
    assert listed(ask(server, FindRequest("3", "a", "s"))) == {"b", "gone"}
    consistent(engine.client(), prefix)


def test_a_place_that_has_no_redis_is_one_line(tmp_path):
    with pytest.raises(StoreError, match="scheme") as caught:
        RedisRegistry("http://127.0.0.1/")
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="No such file"):
        RedisRegistry(f"unix://{tmp_path}/none").check()


def test_both_registries_fit_the_port():
    fits: list[type[Registry]] = [MemoryRegistry, RedisRegistry]
    assert len(fits) == 2


def churn(url: str, prefix: str, seed: int, times: int) -> set[int]:
    """What one of several trackers does with peers that all of them serve; the error codes of its answers."""
    chance = random.Random(seed)
    server = TrackerServer(registry=RedisRegistry(url, prefix=prefix))
    codes = set()
    for number in range(times):
        who = chance.choice("abcd")
        swarms = chance.sample("stuv", chance.randint(1, 3))
        actions = [SwarmAction(name, chance.choice(list(Action)), chance.choice(list(PeerMode))) for name in swarms]
        address = (PeerAddr("192.0.2.1", 80),)
        message = ConnectRequest(f"{seed}-{number}", who, tuple(actions), PeerNum(29), address)
        codes.add(int(ask(server, message).error_code))
    return codes


@pytest.mark.parametrize("kind", ["redis_process", "valkey_process"])
def test_trackers_that_change_the_same_peers_at_once_leave_everything_consistent(request, prefix, kind):
    engine = request.getfixturevalue(kind)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda seed: churn(engine.url, prefix, seed, 60), range(4)))
    assert set().union(*done) <= {0, 3, 5}
    consistent(engine.client(), prefix)


def test_a_tracker_killed_in_the_middle_of_its_work_leaves_everything_consistent(engine, prefix):
    work = f"from test_tracker_store import churn; print(flush=True); churn({engine.url!r}, {prefix!r}, 1, 10**6)"
    path = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[1] / "helpers")))
    process = subprocess.Popen(
        [sys.executable, "-c", work], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    try:
        process.stdout.readline()
        client = engine.client()
        while not client.exists(f"{{{prefix}}}:memberships"):
            pass
    finally:
        process.kill()
        process.communicate()
    consistent(client, prefix)
    assert churn(engine.url, prefix, 2, 20) <= {0, 3}
