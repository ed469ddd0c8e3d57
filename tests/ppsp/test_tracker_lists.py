"""The PPSTP tracker: which peers a list has."""

import random
from collections import Counter
from typing import Any

from ppstp_server import JOIN, LEAVE, LEECH, SEEDER, ask, connect, crowd, find, join, listed, post, tracker

from ppsp.tracker import (
    MAX_RESPONSE,
    AddressType,
    Connection,
    PeerAddr,
    PeerNum,
    parse_response,
)


def test_a_list_is_limited_by_peer_count_and_by_the_rfc():
    """RFC 7846 section 3.2.2: peer_count should be less than 30"""
    server = crowd(60)
    assert len(listed(ask(server, find("peer 0", "s", PeerNum(5))))) == 5
    assert len(listed(ask(server, find("peer 0", "s", PeerNum(10**6))))) == 29
    assert len(listed(ask(server, find("peer 0", "s")))) == 29
    assert listed(ask(server, find("peer 0", "s", PeerNum(0)))) == []


def test_the_default_is_a_random_sample_without_repetition():
    """RFC 7846 sections 4.1.1, 4.1.2, implementation notes"""
    server = crowd(40, random_bytes=random.Random(7).randbytes)
    seen: Counter[str] = Counter()
    for _ in range(600):
        names = listed(ask(server, find("peer 0", "s", PeerNum(10))))
        assert len(set(names)) == len(names) == 10
        seen.update(names)
    assert len(seen) == 39
    # 600 draws of 10 out of 39: 154 each on average, standard deviation 11.
    assert min(seen.values()) > 154 - 55
    assert max(seen.values()) < 154 + 55


def test_the_whole_swarm_is_listed_when_it_is_small():
    server = crowd(12)
    assert sorted(listed(ask(server, find("peer 3", "s")))) == sorted(f"peer {n}" for n in range(12) if n != 3)


def test_the_same_chance_gives_the_same_octets():
    first, second = crowd(50), crowd(50)
    request = find("peer 1", "s")
    assert post(first, request) == post(second, request)


def test_the_longest_answers_fit_what_a_client_reads():
    """A peer whose ID and addresses are as long as they can be, and take the most octets in JSON, spoils no list."""
    server = tracker()
    swarms = [(str(number), JOIN, SEEDER) for number in range(20)]
    for number in range(40):
        label = chr(1) * 32
        addresses = tuple(
            PeerAddr(
                "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff",
                60000 + n,
                2**64 - 1,
                AddressType.REFLEXIVE,
                Connection.WIRELESS,
                label,
                label,
            )
            for n in range(8)
        )
        ask(server, connect(f"{number:02}" + chr(1) * 254, *swarms, peer_addr=addresses))
    join(server, "a", "0")
    for message, peers in (
        (find("a", "0"), 29),
        (connect("a", *((swarm_id, JOIN, LEECH) for swarm_id, _, _ in swarms)), None),
    ):
        response = post(server, message)
        assert len(response.body) < MAX_RESPONSE
        results = parse_response(response.body).message.swarm_result
        assert peers is None or len({peer.peer_id for peer in results[0].peer_group}) == peers
        assert sum(len(one.peer_group or ()) for one in results) <= 290


def test_an_own_selector_decides_and_cannot_list_the_requester_twice_or_too_many():
    def by_port(members: Any, requester: Any, peer_num: Any, count: int) -> Any:
        assert requester.peer_id == "peer 2"
        assert (peer_num, count) == (PeerNum(3), 3)
        return sorted([*members, *members], key=lambda peer: peer.peer_id)

    server = tracker(select=by_port)
    for number in range(9):
        join(server, f"peer {number}", mode=SEEDER)
    assert listed(ask(server, find("peer 2", "s", PeerNum(3)))) == ["peer 0", "peer 1", "peer 3"]


def test_swarms_stay_consistent_when_peers_leave_in_any_order():
    server = crowd(30)
    for number in (29, 0, 13, 28, 1):
        ask(server, connect(f"peer {number}", ("s", LEAVE, LEECH)))
    assert {peer.peer_id for peer in server.peers("s")} == {f"peer {n}" for n in range(30)} - {
        f"peer {n}" for n in (29, 0, 13, 28, 1)
    }
    for peer in server.peers("s"):
        assert server.peers("s")[peer.swarms["s"].position] is peer
