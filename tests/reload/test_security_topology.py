"""What a hostile node tries on a ring: forged and replayed Joins, Leaves, Updates and Attaches (RFC 6940 section 13.6).

The table of all negatives is in test_security_identity.py.
"""

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from reload_hostile import (
    ATTACKER,
    STEP,
    Attacker,
    Ring,
    Victim,
    error_code,
    neighbors,
    num_attaches,
    place,
    signer,
    unharmed,
)
from reload_overlay import Host, candidates

from reload._presentation import encode
from reload.attach import CONNECTING_TIMEOUT, MAX_INCOMING, MAX_INCOMING_BY_HOP, MAX_INCOMING_OF_NODE
from reload.candidates import MAX_CANDIDATES
from reload.chord_candidates import MAX_BY_ONE
from reload.chord_queries import MAX_ASKED
from reload.contents import ErrorCode, MessageCode
from reload.destinations import NodeDestination, OpaqueDestination
from reload.events import CandidatesWanted
from reload.message import Message, decode_message
from reload.methods import (
    AppAttachReq,
    AttachReqAns,
    ChordLeaveData,
    ChordLeaveType,
    JoinReq,
    LeaveReq,
    RouteQueryReq,
)
from reload.signing import encode_signed

NEAR = place(2)
"""A peer whom the attacker is no neighbor of, as far as it is known."""


@pytest.fixture
def ring() -> Iterator[Ring]:
    with unharmed() as made:
        yield made


def _answered(messages: list[Message], code: int) -> bool:
    return [message.contents.message_code for message in messages] == [code]


# Forged.


def test_a_join_with_the_id_of_another_is_forbidden(ring: Ring) -> None:
    attacker = ring.attacker()
    for node_id in (place(1), place(0), (7).to_bytes(16, "big")):
        errors = attacker.errors(MessageCode.JOIN_REQ, JoinReq(node_id), transaction=ring.transaction())
        assert errors == [ErrorCode.FORBIDDEN]


def test_a_join_over_the_link_of_another_node_is_forbidden(ring: Ring) -> None:
    """Of a node that has a certificate, and signs for itself: its Join must come over its own link."""
    accomplice = signer((STEP // 2 + 5).to_bytes(16, "big"))
    attacker = ring.attacker(1)
    errors = attacker.errors(MessageCode.JOIN_REQ, JoinReq(accomplice.node_id), signer=accomplice)
    assert errors == [ErrorCode.FORBIDDEN]


def test_a_join_that_others_forward_is_forbidden(ring: Ring) -> None:
    attacker = ring.attacker(3)
    (answer,) = attacker.send(MessageCode.JOIN_REQ, JoinReq(ATTACKER), NodeDestination(place(1)))
    assert error_code(answer) == ErrorCode.FORBIDDEN


def test_a_join_at_a_peer_of_another_part_of_the_ring_is_refused(ring: Ring) -> None:
    attacker = ring.attacker(3)
    assert attacker.errors(MessageCode.JOIN_REQ, JoinReq(ATTACKER)) == [ErrorCode.NOT_FOUND]


@pytest.mark.parametrize("number", range(5))
def test_a_leave_for_another_is_forbidden(ring: Ring, number: int) -> None:
    attacker = ring.attacker()
    for data in (b"", encode(ChordLeaveData(ChordLeaveType.FROM_SUCC, (ATTACKER,)))):
        body = LeaveReq(place(number), data)
        assert attacker.errors(MessageCode.LEAVE_REQ, body, transaction=ring.transaction()) == [ErrorCode.FORBIDDEN]


def test_a_leave_of_who_is_no_peer_changes_nothing(ring: Ring) -> None:
    """Not even the peers that it names become anything to anybody."""
    attacker = ring.attacker(1)
    made_up = tuple((STEP + at).to_bytes(16, "big") for at in range(64))
    body = LeaveReq(ATTACKER, encode(ChordLeaveData(ChordLeaveType.FROM_SUCC, made_up)))
    assert _answered(attacker.send(MessageCode.LEAVE_REQ, body), MessageCode.LEAVE_ANS)


def test_an_update_in_the_name_of_this_node_itself_is_forbidden(ring: Ring) -> None:
    attacker = ring.attacker()
    own = signer(place(0), "alice@example.org")
    assert attacker.errors(MessageCode.UPDATE_REQ, neighbors(), signer=own) == [ErrorCode.FORBIDDEN]


def _reach(ring: Ring) -> list[Any]:
    """What each peer is responsible for, and whom its messages go to."""
    places = [(at * STEP // 16 + 3).to_bytes(16, "big") for at in range(16 * 5)]
    found = []
    for host in ring.hosts:
        topology = host.node.topology
        found.append([topology.is_responsible(at) for at in places])
        found.append([topology.next_hop(at) for at in places])
    return found


def test_who_names_itself_everybodys_neighbor_comes_to_stand_at_its_own_place_and_nowhere_else() -> None:
    """The most that an Update achieves: what is between the predecessor's place and its own is the attacker's.

    The Node-ID is that of its certificate: an enrollment server gives it, or the hash of a key.
    """
    ring = Ring()
    before = _reach(ring)
    attackers = [ring.attacker(at) for at in (1, 3)]
    for attacker in attackers:
        everybody = [place(at) for at in range(5)]
        body = neighbors([ATTACKER, *everybody], [ATTACKER, *everybody])
        assert MessageCode.UPDATE_ANS in [
            message.contents.message_code for message in attacker.send(MessageCode.UPDATE_REQ, body)
        ]
        assert ring.hosts[3].node.topology.table.predecessor == place(2)
    places = [at * STEP // 16 + 3 for at in range(16 * 5)]
    for now, then in zip(_reach(ring), before, strict=True):
        for at, after, earlier in zip(places, now, then, strict=True):
            if after != earlier:
                # Up to its place all is its own; beyond, it is a hop for what goes as far as the next peer.
                assert 1000 < at <= STEP // 2 or (after == ATTACKER and at <= STEP + 1000)
    # Those whom the attacker has no link with have not heard of it.
    for number in (0, 2, 4):
        assert ATTACKER not in ring.hosts[number].node.topology.table
    assert ring.hosts[3].node.topology.is_responsible(place(3))
    assert ring.serves()
    ring.hosts[1].node.link_lost(attackers[0].link, ring.now)
    ring.hosts[3].node.link_lost(attackers[1].link, ring.now)
    ring.settle(30.0)
    assert _reach(ring) == before


def test_an_update_that_others_forward_places_nobody(ring: Ring) -> None:
    """Its signer is attached as a candidate at most, which finds nobody there."""
    attacker = ring.attacker(3)
    answers = attacker.send(
        MessageCode.UPDATE_REQ, neighbors([ATTACKER], [ATTACKER]), NodeDestination(place(3)), NodeDestination(place(1))
    )
    assert MessageCode.UPDATE_ANS in [message.contents.message_code for message in answers]
    assert ATTACKER not in ring.hosts[1].node.topology.table
    ring.settle(200.0)
    assert ATTACKER not in ring.hosts[1].node.topology.table


def test_an_update_with_thousands_of_ids_has_some_attached_and_nothing_else() -> None:
    """As many as a message holds; all so near that they would be neighbors."""
    ring = Ring(max_message_size=60_000)
    attacker = ring.attacker(1)
    victim = ring.hosts[1].node
    before = ring.state()
    made_up = [(STEP + 1000 - at).to_bytes(16, "big") for at in range(1, 1700)]
    beyond = [(STEP + 1000 + at).to_bytes(16, "big") for at in range(1, 1700)]
    for number in range(20):
        body = neighbors(made_up[number:], beyond[number:])
        attacker.send(MessageCode.UPDATE_REQ, body, transaction=ring.transaction())
        assert len(victim.topology._candidates) <= MAX_BY_ONE
        assert num_attaches(ring.hosts[1]) <= MAX_BY_ONE
    assert set(victim.topology.table._by_id) == {place(at) for at in (0, 2, 3, 4)} | {ATTACKER}
    ring.hosts[1].node.link_lost(attacker.link, ring.now)
    ring.settle(400.0)
    assert ring.state() == before
    assert ring.serves()


def test_who_names_itself_from_afar_does_not_take_the_place_of_whom_peers_name(ring: Ring) -> None:
    """Many Node-IDs have a peer forward their Updates: those that this peer itself names are attached all the same."""
    attacker = ring.attacker(3)
    for number in range(5, 45):
        sybil = signer((STEP + 1000 - number).to_bytes(16, "big"), name="sybil")
        route = NodeDestination(place(3)), NodeDestination(place(1))
        attacker.send(MessageCode.UPDATE_REQ, neighbors(), *route, signer=sybil, transaction=ring.transaction())
    found = ring.hosts[1].node.topology._candidates
    assert len(found) == MAX_BY_ONE
    named = (STEP + 999).to_bytes(16, "big")
    found.consider(place(3), (named,), ring.now)
    assert named in found
    ring.settle(300.0)


def test_an_update_whose_lists_are_longer_than_it_is_invalid(ring: Ring) -> None:
    attacker = ring.attacker()
    octets = encode(neighbors([ATTACKER], [ATTACKER]))
    for at in (5, 6, 23, 24):
        lie = bytearray(octets)
        lie[at] ^= 0x55
        errors = attacker.errors(MessageCode.UPDATE_REQ, bytes(lie), transaction=ring.transaction())
        assert errors == [ErrorCode.INVALID_MESSAGE]


def test_an_update_with_ids_that_no_node_has_names_nobody() -> None:
    ring = Ring()
    attacker = ring.attacker(1)
    nobody = [bytes(16), b"\xff" * 16, place(1), place(1), ATTACKER]
    attacker.send(MessageCode.UPDATE_REQ, neighbors(nobody, nobody))
    assert len(ring.hosts[1].node.topology._candidates) == 0
    assert ring.serves()


def test_a_route_query_for_an_opaque_id_is_forbidden(ring: Ring) -> None:
    attacker = ring.attacker()
    body = RouteQueryReq(send_update=True, destination=OpaqueDestination(b"\x80\x01", is_compact=True))
    assert attacker.errors(MessageCode.ROUTE_QUERY_REQ, body) == [ErrorCode.FORBIDDEN]


def test_route_queries_are_owed_an_update_each_and_no_more_than_a_few_at_a_time(ring: Ring) -> None:
    attacker = ring.attacker()
    body = RouteQueryReq(send_update=True, destination=NodeDestination(place(1)))
    for _ in range(50):
        octets = attacker.octets(MessageCode.ROUTE_QUERY_REQ, body, transaction=ring.transaction())
        ring.hosts[0].node.receive_message(attacker.link, octets, ring.now)
    assert len(ring.hosts[0].node.topology._queries) <= MAX_ASKED
    codes = [message.contents.message_code for message in attacker.received()]
    assert codes.count(MessageCode.ROUTE_QUERY_ANS) == 50
    assert codes.count(MessageCode.UPDATE_REQ) == 1


def test_updates_for_route_queries_do_not_pile_up_when_nobody_acknowledges_them(ring: Ring) -> None:
    """One to a node is under way, and to some nodes at a time, however many ask."""
    attacker = ring.attacker()
    topology = ring.hosts[0].node.topology
    body = RouteQueryReq(send_update=True, destination=NodeDestination(place(1)))
    for number in [0, 0, *range(MAX_ASKED + 10)]:
        sybil = signer((number + 10).to_bytes(16, "big"), name="sybil")
        messages = attacker.send(MessageCode.ROUTE_QUERY_REQ, body, transaction=ring.transaction(), signer=sybil)
        assert MessageCode.ROUTE_QUERY_ANS in [message.contents.message_code for message in messages]
        assert len(topology._queries) <= MAX_ASKED
    assert sorted(topology._queries._sent.values()) == [
        (number + 10).to_bytes(16, "big") for number in range(MAX_ASKED)
    ]
    ring.settle(20.0)
    assert topology._queries._sent == {}


# Replayed.


def _heard(ring: Ring, code: int, by: Host) -> list[Message]:
    """The messages of this code that a node has sent, as whoever listened has them."""
    found = [decode_message(octets) for _, sender, _, octets in ring.sent if sender == by.number]
    return [message for message in found if message.contents.message_code == code]


def _towards(message: Message, *destinations: bytes) -> bytes:
    header = attrs.evolve(message.header, destination_list=tuple(map(NodeDestination, destinations)))
    return encode_signed(attrs.evolve(message, header=header))


@pytest.fixture
def returned() -> Iterator[tuple[Ring, dict[int, list[Message]]]]:
    """A ring in which a peer has left and come again, and what it said then. Nothing may come of what is replayed."""
    ring = Ring()
    gone = ring.hosts[3]
    gone.node.leave(ring.now)
    ring.settle(30.0)
    heard = {code: _heard(ring, code, gone) for code in (17, 15, 19, 7)}
    ring.hosts.remove(gone)
    ring.hosts.insert(3, ring.enter(place(3)))
    ring.hosts.pop()
    ring.victims = [Victim(ring, host) for host in ring.hosts]
    ring.settle(120.0)
    before = ring.state()
    yield ring, heard
    ring.settle(300.0)
    assert ring.state() == before
    assert ring.serves()


def _replay(ring: Ring, attacker: Attacker, messages: list[Message], *through: bytes) -> list[int]:
    """Have all peers get all of these; the codes of what comes back."""
    assert messages
    back = []
    for message in messages:
        for number in range(5):
            if place(number) not in through:
                back += attacker.send_octets(_towards(message, *through, place(number)))
            ring.settle(1.0)
    return [message.contents.message_code for message in back]


@pytest.mark.parametrize("code", [MessageCode.LEAVE_REQ, MessageCode.JOIN_REQ])
@pytest.mark.parametrize("at", [0, 2, 3])
def test_a_join_or_leave_of_earlier_is_forbidden(
    returned: tuple[Ring, dict[int, list[Message]]], code: int, at: int
) -> None:
    """Over the attacker's link; and also through the very node that has sent it, which forwards over its own."""
    ring, heard = returned
    attacker = ring.attacker(at)
    through = (place(at),) if at == 3 else ()
    assert set(_replay(ring, attacker, heard[code], *through)) == {MessageCode.ERROR}


@pytest.mark.parametrize("at", [0, 2, 3])
def test_an_update_of_earlier_places_nobody(returned: tuple[Ring, dict[int, list[Message]]], at: int) -> None:
    ring, heard = returned
    attacker = ring.attacker(at)
    through = (place(at),) if at == 3 else ()
    assert set(_replay(ring, attacker, heard[MessageCode.UPDATE_REQ], *through)) <= {
        MessageCode.UPDATE_ANS,
        MessageCode.ERROR,
    }


def test_an_update_of_a_peer_that_has_left_brings_nobody_back() -> None:
    ring = Ring()
    gone = ring.hosts[3]
    heard = _heard(ring, MessageCode.UPDATE_REQ, gone)
    gone.node.leave(ring.now)
    ring.settle(100.0)
    ring.hosts.remove(gone)
    ring.victims = [Victim(ring, host) for host in ring.hosts]
    before = ring.state()
    attacker = ring.attacker(2)
    for message in heard:
        for host in ring.hosts:
            attacker.send_octets(_towards(message, host.node_id))
            assert gone.node_id not in host.node.topology.table
    ring.settle(300.0)
    assert ring.state() == before
    assert ring.fetch(ring.hosts[1]) == [b"of Alice"]


# Attach.


def _attach(number: int, count: int = 1) -> AttachReqAns:
    (one,) = candidates(number, 1).candidates
    return AttachReqAns(b"", b"", b"passive", (one,) * count)


def test_a_neighbor_with_many_node_ids_leaves_room_for_the_attaches_of_others(ring: Ring) -> None:
    """Of each Node-ID one; and when they have timed out, the neighbor itself may attach again."""
    attacker, other = ring.attacker(), ring.attacker(node_id=(77).to_bytes(16, "big"))
    codes = []
    for number in range(MAX_INCOMING + 10):
        sybil = signer((number + 10).to_bytes(16, "big"), name="sybil")
        answers = attacker.send(MessageCode.ATTACH_REQ, _attach(1), signer=sybil, transaction=ring.transaction())
        codes += [error_code(answer) for answer in answers if answer.contents.message_code == MessageCode.ERROR]
        assert num_attaches(ring.hosts[0]) <= MAX_INCOMING_BY_HOP
    assert codes == [ErrorCode.REQUEST_TIMEOUT] * (MAX_INCOMING + 10 - MAX_INCOMING_BY_HOP)
    assert _answered(other.send(MessageCode.ATTACH_REQ, _attach(2), transaction=98), MessageCode.ATTACH_ANS)
    ring.settle(CONNECTING_TIMEOUT)
    assert num_attaches(ring.hosts[0]) == 0
    assert _answered(attacker.send(MessageCode.ATTACH_REQ, _attach(1), transaction=99), MessageCode.ATTACH_ANS)
    ring.settle(CONNECTING_TIMEOUT)


def test_one_node_has_few_attaches_at_a_time_however_often_it_asks(ring: Ring) -> None:
    attacker = ring.attacker()
    for _ in range(50):
        attacker.send(MessageCode.ATTACH_REQ, _attach(1), transaction=ring.transaction())
        assert num_attaches(ring.hosts[0]) <= MAX_INCOMING_OF_NODE
    ring.settle(CONNECTING_TIMEOUT)


@pytest.mark.parametrize("count", [0, MAX_CANDIDATES + 1, 200])
def test_an_attach_with_no_candidates_or_a_great_many_is_invalid(ring: Ring, count: int) -> None:
    attacker = ring.attacker()
    before = [event for event in ring.hosts[0].events if isinstance(event, CandidatesWanted)]
    assert attacker.errors(MessageCode.ATTACH_REQ, _attach(1, count)) == [ErrorCode.INVALID_MESSAGE]
    assert [event for event in ring.hosts[0].events if isinstance(event, CandidatesWanted)] == before


def test_no_connection_is_attempted_to_addresses_of_many_hosts(ring: Ring) -> None:
    attacker = ring.attacker()
    (one,) = candidates(1, 1).candidates
    for addr, port in ((b"\xff" * 4, 80), (bytes(4), 80), (bytes((224, 0, 0, 1)), 80), (bytes((192, 0, 2, 1)), 0)):
        target = attrs.evolve(
            one,
            addr_port=attrs.evolve(
                one.addr_port, addr_port=attrs.evolve(one.addr_port.addr_port, addr=addr, port=port)
            ),
        )
        body = attrs.evolve(_attach(1), candidates=(target,))
        errors = attacker.errors(MessageCode.ATTACH_REQ, body, transaction=ring.transaction())
        assert errors == [ErrorCode.INVALID_MESSAGE]


def test_an_app_attach_to_an_application_that_is_not_here_is_not_found(ring: Ring) -> None:
    attacker = ring.attacker()
    (one,) = candidates(1, 1).candidates
    for application in (0, 5060, 0xFFFF):
        body = AppAttachReq(b"", b"", application, b"passive", (one,))
        errors = attacker.errors(MessageCode.APP_ATTACH_REQ, body, transaction=ring.transaction())
        assert errors == [ErrorCode.NOT_FOUND]


def test_an_attach_in_the_name_of_this_node_itself_is_forbidden(ring: Ring) -> None:
    attacker = ring.attacker()
    own = signer(place(0), "alice@example.org")
    assert attacker.errors(MessageCode.ATTACH_REQ, _attach(1), signer=own) == [ErrorCode.FORBIDDEN]


def test_an_attach_gives_no_routing_to_who_sends_no_update(ring: Ring) -> None:
    attacker = ring.attacker(1)
    attacker.send(MessageCode.ATTACH_REQ, _attach(1))
    ring.settle(1.0)
    assert all(host.node.topology.next_hop(ATTACKER) != ATTACKER for host in ring.hosts)
    ring.settle(CONNECTING_TIMEOUT)
