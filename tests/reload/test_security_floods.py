"""What is left of thousands of hostile messages of each class: every table within its limit (RFC 6940 section 13.6.5).

The table of all negatives is in test_security_identity.py.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from reload_hostile import (
    ATTACKER,
    STEP,
    Attacker,
    Ring,
    neighbors,
    num_attaches,
    place,
    signer,
    store_of,
    stored,
    unharmed,
)
from reload_identities import ALICE
from reload_overlay import Host, candidates

from reload import limits
from reload._chain import MAX_PATHS
from reload._presentation import encode
from reload.attach import MAX_INCOMING
from reload.chord_admission import MAX_ADMISSIONS
from reload.chord_candidates import MAX_BY_ONE, MAX_CANDIDATES
from reload.chord_queries import MAX_ASKED
from reload.configuration_update import MAX_LEARNED_KINDS, UpdatesSent
from reload.configuring import MAX_TELLING
from reload.connections import MAX_LINKS, MAX_LINKS_OF_NODE
from reload.contents import MessageCode
from reload.destinations import NodeDestination, OpaqueDestination
from reload.events import MessageDropped
from reload.header import FRAGMENT_AT
from reload.methods import (
    AttachReqAns,
    ConfigUpdateReq,
    ConfigUpdateType,
    JoinReq,
    LeaveReq,
    PingAns,
    PingReq,
    ProbeReq,
    RouteQueryReq,
)
from reload.quotas import Quotas
from reload.reassembly import MAX_MESSAGES, MAX_MESSAGES_OF_HOP, MAX_OCTETS
from reload.signing import MAX_VERIFIED
from reload.transactions import MAX_ANSWER_OCTETS, MAX_ANSWERS
from reload.via_lists import MAX_KEPT, SLOT_BITS, CompactViaLists

MANY = 20_000
"""Messages of a class that costs no signature."""
MANY_SIGNED = 4000
"""Messages of a class that does: more than any table holds, and as many as a link brings at once."""
PING = MessageCode.PING_REQ


def check_limits(host: Host) -> None:
    """Every table of a node that others can fill."""
    parts, topology = host.node._parts, host.node.topology
    assembling, answers, verifier = (
        parts.receiver._reassembler,
        parts.responder._answers,
        parts.context.in_force.verifier,
    )
    sizes = {
        "links": (len(parts.connections), MAX_LINKS),
        "incomplete messages": (len(assembling), MAX_MESSAGES),
        "incomplete messages of a neighbor": (max(assembling._of_hop.values(), default=0), MAX_MESSAGES_OF_HOP),
        "octets of incomplete messages": (assembling.octets, MAX_OCTETS),
        "answers": (len(answers), MAX_ANSWERS),
        "octets of answers": (answers.octets, MAX_ANSWER_OCTETS),
        "signatures": (len(verifier._verified), MAX_VERIFIED),
        "paths": (len(verifier._paths._held), MAX_PATHS),
        "certificates": (len(verifier._cache), verifier._cache._limit),
        "Attaches": (num_attaches(host), MAX_INCOMING + MAX_BY_ONE),
        "candidates": (len(topology._candidates), MAX_CANDIDATES),
        "Updates owed": (len(topology._queries), MAX_ASKED + len(parts.connections)),
        "joining": (len(topology._admission._waiting) + len(topology._admission._hand_overs), MAX_ADMISSIONS),
        "configurations under way": (parts.configuring._telling, MAX_TELLING),
        "configurations sent": (len(parts.configuring._sent._sent), UpdatesSent()._limit),
        "Kinds learned": (len(parts.context.in_force.learned), MAX_LEARNED_KINDS),
        "resources": (len(parts.storage), Quotas().max_resources),
        "octets stored": (parts.storage.octets, Quotas().max_octets),
        "requests of its own": (len(parts.requester), 64),
        "events": (len(parts.events), limits.MAX_DROP_EVENTS + 64),
        "tasks": (len(parts.tasks), 0),
    }
    over = {name: size for name, size in sizes.items() if size[0] > size[1]}
    assert over == {}


@pytest.fixture
def ring() -> Iterator[Ring]:
    """In the end all is as it was, and every table within its limit."""
    with unharmed() as made:
        yield made
        for host in made.hosts:
            check_limits(host)


def _numbered(octets: bytes, count: int = MANY) -> Iterator[bytes]:
    """The same under many transaction IDs: whatever is signed does not hold any more."""
    for number in range(count):
        yield octets[:20] + number.to_bytes(8, "big") + octets[28:]


def _cheap() -> dict[str, Callable[[Attacker], Iterator[bytes]]]:
    def ping(attacker: Attacker, *to: Any, **fields: Any) -> Iterator[bytes]:
        return _numbered(attacker.octets(PING, PingReq(), *to, **fields))

    def garbage(attacker: Attacker) -> Iterator[bytes]:
        good, chance = attacker.octets(PING, PingReq()), random.Random(1)
        for _ in range(MANY):
            octets = bytearray(good)
            for _ in range(3):
                octets[chance.randrange(16 if chance.random() < 0.5 else 80)] = chance.randrange(256)
            yield bytes(octets)

    def first_fragments(attacker: Attacker) -> Iterator[bytes]:
        octets = attacker.octets(PING, PingReq(bytes(3000)))
        word = (0x80000000).to_bytes(4, "big")
        return _numbered(octets[:FRAGMENT_AT] + word + octets[FRAGMENT_AT + 4 :])

    def holes(attacker: Attacker) -> Iterator[bytes]:
        octets = attacker.octets(PING, PingReq(bytes(16)))
        for number in range(MANY):
            word = 0x80000000 | number % 41 * 97
            made = octets[:FRAGMENT_AT] + word.to_bytes(4, "big") + octets[FRAGMENT_AT + 4 :]
            yield made[:20] + (number // 41).to_bytes(8, "big") + made[28:]

    return {
        "TTL 255": lambda attacker: ping(attacker, ttl=255),
        "another overlay": lambda attacker: ping(attacker, overlay=7),
        "opaque IDs": lambda attacker: ping(attacker, OpaqueDestination(b"\x80\x01")),
        "loops": lambda attacker: ping(attacker, *[NodeDestination(place(at % 2)) for at in range(6)]),
        "changed octets": garbage,
        "first fragments": first_fragments,
        "fragments with holes": holes,
    }


CHEAP = _cheap()


@pytest.mark.parametrize("make", CHEAP.values(), ids=CHEAP.keys())
def test_every_table_is_within_its_limit(ring: Ring, make: Callable[[Attacker], Iterator[bytes]]) -> None:
    attacker = ring.attacker()
    attacker.flood(make(attacker))
    for host in ring.hosts:
        check_limits(host)


def test_requests_for_others_are_forwarded_and_nothing_of_them_is_kept_beyond_the_limit() -> None:
    """By a peer that keeps Via Lists; of every list that it promises to keep, it does."""
    with unharmed() as ring:
        lists = CompactViaLists(random.Random(5).randbytes)
        ring.hosts[0].node._parts.sender.via_lists = lists
        attacker, sink = ring.attacker(), ring.attacker(node_id=(99).to_bytes(16, "big"))
        to = NodeDestination(sink.signer.node_id)
        via = (NodeDestination(place(3)), OpaqueDestination(b"\x80\x01", is_compact=True)) * 100
        attacker.flood(_numbered(attacker.octets(PING, PingReq(), to, via_list=via[:2])))
        assert len(lists) <= 1 << SLOT_BITS
        ring.settle(16.0)
        attacker.flood(_numbered(attacker.octets(PING, PingReq(), to, via_list=via), 1000))
        assert max((len(slot.via_list) for slot in lists._slots.values()), default=0) <= MAX_KEPT
        for host in ring.hosts:
            check_limits(host)


def _bodies() -> dict[str, list[tuple[int, Any, dict[str, Any]]]]:
    (one,) = candidates(1, 1).candidates
    near = [(STEP + 1000 - at).to_bytes(16, "big") for at in range(1, 120)]
    value = stored(b"forged", 10**15, by=signer(place(0), ALICE))
    attach = AttachReqAns(b"", b"", b"passive", (one,))
    query = RouteQueryReq(send_update=True, destination=NodeDestination(place(3)))
    return {
        "Pings and Probes": [
            (PING, PingReq(), {}),
            (PING, PingReq(), {"configuration_sequence": 3}),
            (MessageCode.PROBE_REQ, ProbeReq((1, 2, 3, 77)), {}),
        ],
        "Joins, Leaves, Updates and RouteQueries": [
            (MessageCode.JOIN_REQ, JoinReq(near[0]), {}),
            (MessageCode.LEAVE_REQ, LeaveReq(place(1)), {}),
            (MessageCode.UPDATE_REQ, neighbors(near, near), {}),
            (MessageCode.ROUTE_QUERY_REQ, query, {}),
        ],
        "Attaches": [(MessageCode.ATTACH_REQ, attach, {})],
        "Stores and ConfigUpdates": [
            (MessageCode.STORE_REQ, store_of(value), {}),
            (MessageCode.STORE_REQ, store_of(value, replica=1, generation=7), {}),
            (MessageCode.CONFIG_UPDATE_REQ, ConfigUpdateReq(ConfigUpdateType.CONFIG, b"<overlay/>"), {}),
        ],
        "answers and errors": [(MessageCode.PING_ANS, PingAns(1, 2), {}), (MessageCode.ERROR, b"\0\2\0\0", {})],
    }


SIGNED = _bodies()


def _signed(attacker: Attacker, bodies: list[tuple[int, Any, dict[str, Any]]]) -> Iterator[bytes]:
    """By the attacker, and by many that have no link."""
    sybils = [signer((number + 50).to_bytes(16, "big"), name="sybil") for number in range(100)]
    encoded = [(code, body if isinstance(body, bytes) else encode(body), fields) for code, body, fields in bodies]
    chance = random.Random(3)
    for number in range(MANY_SIGNED):
        code, body, fields = encoded[number % len(encoded)]
        by = attacker.signer if chance.random() < 0.2 else sybils[chance.randrange(len(sybils))]
        yield attacker.octets(code, body, transaction=number, signer=by, **fields)


@pytest.mark.parametrize("bodies", SIGNED.values(), ids=SIGNED.keys())
def test_of_what_is_signed_every_table_is_within_its_limit(bodies: list[tuple[int, Any, dict[str, Any]]]) -> None:
    """The attacker is a peer by then, if it has sent an Update; without its link nothing is left of it."""
    ring = Ring()
    before = ring.state()
    attacker = ring.attacker(1)
    attacker.flood(_signed(attacker, bodies))
    for host in ring.hosts:
        check_limits(host)
    assert ring.serves()
    ring.hosts[1].node.link_lost(attacker.link, ring.now)
    ring.settle(300.0)
    assert ring.state() == before
    assert ring.serves()


def test_a_neighbor_has_so_many_messages_taken_and_others_are_served_meanwhile(ring: Ring) -> None:
    flooder, other = ring.attacker(), ring.attacker(node_id=(77).to_bytes(16, "big"))
    node = ring.hosts[0].node
    octets = flooder.octets(PING, PingReq())
    probe = flooder.octets(MessageCode.PROBE_REQ, ProbeReq((1, 2, 3)), transaction=2)
    for number in range(MANY):
        node.receive_message(flooder.link, probe if number % 2 else octets, ring.now)
    (answer,) = other.send(PING, PingReq(), transaction=3)
    assert answer.contents.message_code == MessageCode.PING_ANS
    assert len(flooder.received()) == limits.REQUESTS_AT_ONCE
    assert {event.reason for event in ring.hosts[0].events if isinstance(event, MessageDropped)} == {
        "too many messages at a time"
    }
    ring.settle(2.0)
    assert len(flooder.send(PING, PingReq(), transaction=4)) == 1


def test_links_are_so_many_for_one_node_and_no_more(ring: Ring) -> None:
    links = [ring.attacker().link for _ in range(50)]
    connections = ring.hosts[0].node._parts.connections
    assert [connection.link for connection in connections.links_to(ATTACKER)] == links[-MAX_LINKS_OF_NODE:]
    check_limits(ring.hosts[0])


def test_what_nobody_reads_does_not_pile_up(ring: Ring) -> None:
    """A driver that takes no events, while everything is dropped."""
    attacker = ring.attacker()
    node = ring.hosts[0].node
    for number in range(3000):
        node.receive_message(attacker.link, number.to_bytes(4, "big"), ring.now)
    check_limits(ring.hosts[0])


def test_joins_of_many_nodes_at_once_are_told_to_wait(ring: Ring) -> None:
    """Each over its own link, as a Join has to come; those that are admitted are lost before they can be used."""
    numbers = range(1, MAX_ADMISSIONS + 21)
    places = [(STEP + 500 - number).to_bytes(16, "big") for number in numbers]
    attackers = [ring.attacker(1, node_id=node_id, by=signer(node_id, name="sybil")) for node_id in places]
    node = ring.hosts[1].node
    for attacker in attackers:
        node.receive_message(
            attacker.link, attacker.octets(MessageCode.JOIN_REQ, JoinReq(attacker.signer.node_id)), 0.0
        )
        check_limits(ring.hosts[1])
    answers = [octets for link, octets in node.messages_to_send(ring.now) if link >= attackers[0].link]
    assert len(answers) >= len(attackers)
    for attacker in attackers:
        node.link_lost(attacker.link, ring.now)
