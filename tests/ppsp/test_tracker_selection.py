"""Which peers a tracker lists: at random, by what they say of themselves, by costs from outside."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp.tracker import (
    AbilityNat,
    Action,
    ByProperties,
    ConnectRequest,
    PeerAddr,
    PeerMode,
    PeerNum,
    PeerSelector,
    RandomSample,
    Ranked,
    RegisteredPeer,
    Request,
    SwarmAction,
    TrackerServer,
    encode,
    parse_response,
)
from ppsp.tracker.selection import CHOICE

NO_NAT, STUN, TURN = AbilityNat.NO_NAT, AbilityNat.STUN, AbilityNat.TURN


def counted() -> Callable[[int], bytes]:
    counter = itertools.count()
    return lambda size: bytes((next(counter) * 167 + 13) % 256 for _ in range(size))


def peer(name: str, properties: PeerNum | None = None, source: str | None = "192.0.2.1") -> RegisteredPeer:
    address = PeerAddr("192.0.2.200", 80)
    return RegisteredPeer(name, 1, 0.0, peer_addr=(address,), properties=properties, source=source)


def chosen(select: PeerSelector, members: Sequence[RegisteredPeer], wish: PeerNum | None, count: int) -> list[str]:
    """As the tracker takes them."""
    requester = peer("me", source="198.51.100.1")
    found = (one.peer_id for one in select(members, requester, wish, count) if one.peer_id != "me")
    return list(itertools.islice(found, count))


def test_peers_that_a_nat_does_not_hide_come_first_for_one_behind_a_nat():
    """RFC 7846 section 4.1.1: filtered by ability_nat for NAT traversal"""
    members = [peer("turn", PeerNum(1, TURN)), peer("silent"), peer("open", PeerNum(1, NO_NAT))]
    select = ByProperties(counted())
    for wish in (STUN, TURN):
        assert chosen(select, members, PeerNum(3, wish), 3) == ["open", "silent", "turn"]
    assert sorted(chosen(select, members, PeerNum(3, NO_NAT), 3)) == ["open", "silent", "turn"]


@pytest.mark.parametrize(
    ("wish", "better", "worse"),
    [
        (PeerNum(5, online_time=200), PeerNum(1, online_time=200), PeerNum(1, online_time=199)),
        (PeerNum(5, upload_bandwidth=600), PeerNum(1, upload_bandwidth=600), PeerNum(1, upload_bandwidth=500)),
        (PeerNum(5, concurrent_links=5), PeerNum(1, concurrent_links=5), PeerNum(1, concurrent_links=6)),
        (PeerNum(5, online_time=200), PeerNum(1, online_time=300, upload_bandwidth=9), PeerNum(1, online_time=400)),
    ],
)
def test_peers_with_the_capabilities_that_are_asked_for_come_first_and_silent_ones_before_worse(wish, better, worse):
    """RFC 7846 section 4.1.2: concurrent_links, online_time, and upload_bandwidth for the preferred capabilities"""
    members = [peer("worse", worse), peer("better", better), peer("silent")]
    found = chosen(ByProperties(counted()), members, wish, 3)
    assert found[0] == "better"
    assert found.index("silent") < found.index("worse") or worse.online_time == 400


@pytest.mark.parametrize("wish", [None, PeerNum(5)])
def test_without_properties_the_list_is_a_random_sample(wish):
    """RFC 7846 section 4.1.1, IMPLEMENTATION NOTE"""
    members = [peer(f"{number}", PeerNum(1, NO_NAT, 0, 10**6, number)) for number in range(100)]
    first = chosen(ByProperties(counted()), members, wish, 5)
    assert first == chosen(RandomSample(counted()), members, wish, 5)


def distances(source: str, destinations: Sequence[str]) -> list[float]:
    assert source == "198.51.100.1"
    return [float(one.rpartition(".")[2]) for one in destinations]


def test_the_nearest_peers_come_first_and_a_quarter_of_the_list_is_random():
    """RFC 7846 section 4.1.1: ALTO [RFC7285]"""
    members = [peer(f"{number}", source=f"192.0.2.{number}") for number in range(64)]
    found = chosen(Ranked(distances, counted()), members, None, 8)
    assert found[:6] == ["0", "1", "2", "3", "4", "5"]
    assert set(found[6:]) != {"6", "7"}
    several = Counter(name for _ in range(50) for name in chosen(Ranked(distances, counted()), members, None, 8)[6:])
    assert not set(several) & {"0", "1", "2", "3", "4", "5"}


def test_who_is_of_no_known_cost_comes_last_but_is_listed():
    costs = {"a": math.inf, "b": math.nan, "c": 5.0, "d": 1.0}
    members = [peer(name, source=f"192.0.2.{ord(name)}") for name in costs]

    def ask(source: str, destinations: Sequence[str]) -> list[float]:
        return [costs[chr(int(one.rpartition(".")[2]))] for one in destinations]

    found = chosen(Ranked(ask, counted()), members, None, 4)
    assert found[:2] == ["d", "c"]
    assert set(found[2:]) == {"a", "b"}


def test_a_peer_that_never_was_seen_counts_as_where_it_says_and_cannot_be_ranked_for():
    asked: list[tuple[str, Sequence[str]]] = []

    def costs(source: str, destinations: Sequence[str]) -> list[float]:
        asked.append((source, destinations))
        return [0.0] * len(destinations)

    select = Ranked(costs, counted())
    assert chosen(select, [peer("a", source=None)], None, 3) == ["a"]
    assert asked == [("198.51.100.1", ["192.0.2.200"])]
    assert [one.peer_id for one in select([peer("a")], peer("me", source=None), None, 3)] == ["a"]
    assert len(asked) == 1


@given(size=st.integers(0, 400), count=st.integers(1, 29), with_me=st.booleans())
def test_every_policy_lists_as_many_as_there_are_none_twice_and_looks_at_a_bounded_number(size, count, with_me):
    looked_at: list[int] = []

    def costs(source: str, destinations: Sequence[str]) -> list[float]:
        looked_at.append(len(destinations))
        return [0.0] * len(destinations)

    members = [peer(f"{number}", PeerNum(1, NO_NAT, number, number)) for number in range(size)]
    if with_me:
        members.append(peer("me"))
    for select in (RandomSample(counted()), ByProperties(counted()), Ranked(costs, counted())):
        found = chosen(select, members, PeerNum(count, STUN, 1, 1, 1), count)
        assert len(found) == len(set(found)) == min(size, count)
    assert all(number <= count * CHOICE + 1 for number in looked_at)


def test_a_tracker_tells_its_policy_what_peers_said_and_where_their_requests_came_from():
    seen: list[tuple[str, str | None, PeerNum | None]] = []

    def select(
        members: Sequence[RegisteredPeer], requester: RegisteredPeer, peer_num: PeerNum | None, count: int
    ) -> Iterable[RegisteredPeer]:
        seen.extend((one.peer_id, one.source, one.properties) for one in (requester, *members))
        return members

    server = TrackerServer(select=select)
    for number, name in enumerate(("a", "b")):
        action = SwarmAction("s", Action.JOIN, PeerMode.LEECH)
        body = encode(ConnectRequest("1", name, (action,), PeerNum(5, STUN), (PeerAddr("10.0.0.1", 80),)))
        request = Request("POST", "/", (("Content-Type", "application/json"),), body)
        response = server.handle(request, (f"198.51.100.{number}", 9), 0.0)
        assert parse_response(response.body).message.error_code == 0
    assert seen == [("b", "198.51.100.1", PeerNum(5, STUN)), ("a", "198.51.100.0", PeerNum(5, STUN))]
