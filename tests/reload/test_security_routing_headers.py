"""What a hostile node tries with headers, lists, lengths and errors (RFC 6940 sections 6 and 13.6.5).

The table of all negatives is in test_security_identity.py.
"""

import random
from typing import Any

import pytest
from reload_hostile import (
    ANSWER,
    ATTACKER,
    ERROR,
    HOME,
    PING,
    STEP,
    Ring,
    error_code,
    place,
    signer,
    store_of,
    stored,
    to,
    unharmed,
    unharmed_ring,
)
from reload_identities import ALICE

from reload.contents import ErrorCode, MessageCode, MessageExtension
from reload.destinations import (
    Destination,
    NodeDestination,
    OpaqueDestination,
    ResourceDestination,
    encode_destinations,
)
from reload.header import ForwardingOption, OptionFlag
from reload.message import decode_message
from reload.methods import LeaveReq, PingAns, PingReq
from reload.naming import wildcard
from reload.via_lists import CompactViaLists, SealedViaLists

ring = unharmed_ring
ANYBODY = NodeDestination(wildcard())


def _passed(ring: Ring, since: int) -> list[tuple[int, int]]:
    """Between whom messages have gone."""
    return [(sender, receiver) for _, sender, receiver, _ in ring.sent[since:]]


# Destination lists.


@pytest.mark.parametrize(
    "destinations",
    [
        (to(0), to(1), to(0), to(1)),
        (to(1), to(2), to(1)),
        (to(1), to(1)),
        (to(0), to(0)),
        (to(1), to(2), to(3), to(2), ResourceDestination(HOME)),
        (to(1),) * 200,
        (OpaqueDestination(b"\x80\x01", is_compact=True),) * 2,
    ],
)
def test_a_destination_that_comes_again_is_an_invalid_message(
    ring: Ring, destinations: tuple[Destination, ...]
) -> None:
    attacker = ring.attacker()
    since = len(ring.sent)
    assert attacker.errors(PING, PingReq(), *destinations) == [ErrorCode.INVALID_MESSAGE]
    assert _passed(ring, since) == [(ring.hosts[0].number, -1)]


@pytest.mark.parametrize("code", [ANSWER, ERROR])
def test_a_response_that_would_go_round_is_dropped_silently(ring: Ring, code: int) -> None:
    attacker = ring.attacker()
    since = len(ring.sent)
    assert attacker.send(code, PingAns(1, 2), *(to(1), to(2)) * 3) == []
    assert _passed(ring, since) == []
    assert len(ring.drops(0)) == 1


def test_a_message_goes_over_a_link_once_for_each_destination_and_no_more(ring: Ring) -> None:
    """The longest loop that a list without duplicates describes."""
    attacker = ring.attacker()
    since = len(ring.sent)
    attacker.send(PING, PingReq(), *(to(number) for number in (1, 2, 3, 4)), to(0))
    assert len(_passed(ring, since)) <= 2 * 5 + 1


@pytest.mark.parametrize("last", [to(0), to(1), OpaqueDestination(b"\x80\x01")])
def test_a_resource_id_that_is_not_the_last_destination_is_dropped_silently(ring: Ring, last: Destination) -> None:
    attacker = ring.attacker()
    first, second = (encode_destinations([each], 16) for each in (last, ResourceDestination(HOME)))
    octets = attacker.octets(PING, PingReq(), last, ResourceDestination(HOME)).replace(first + second, second + first)
    since = len(ring.sent)
    assert attacker.send_octets(octets) == []
    assert _passed(ring, since) == []
    (reason,) = ring.drops(0)
    assert "Resource-ID" in reason


@pytest.mark.parametrize("via_list", [(to(2),), (to(3), to(2)), (to(2),) * 50, (OpaqueDestination(b"\x80\x01"),)])
def test_a_via_list_that_is_made_up_leads_nobody_to_a_victim(ring: Ring, via_list: tuple[Destination, ...]) -> None:
    """What is answered goes back to the attacker first, who has to carry it to its victim itself."""
    for number, destinations in ((0, (to(0),)), (0, (to(1),)), (4, (ResourceDestination(HOME),))):
        attacker = ring.attacker(number)
        since = len(ring.sent)
        answers = attacker.send(PING, PingReq(), *destinations, via_list=via_list, transaction=ring.transaction())
        asked = [decode_message(octets) for *_, octets in ring.sent[since:]]
        back = [each for each in asked if each.contents.message_code != PING]
        # A list on which somebody stands many times is not carried on, either.
        assert len(answers) == 1 or (not answers and len(via_list) > 2)
        for answer in answers:
            assert answer.contents.message_code == ANSWER
            assert answer.header.destination_list == (NodeDestination(ATTACKER), *via_list[::-1])
        # Nobody has got it but who is between the answering peer and the attacker.
        assert all(NodeDestination(ATTACKER) in each.header.destination_list for each in back)
        assert (ring.hosts[2].number in [to for _, to in _passed(ring, since)]) == (number == 4)


@pytest.mark.parametrize("octets", [b"\x80\x01", b"\xff\xff", b"", bytes(12), bytes(28), b"\x01" * 254])
def test_an_opaque_id_that_nobody_has_given_out_is_dropped_silently(octets: bytes) -> None:
    """By peers that make none, and by those that keep or seal lists."""
    for make in (None, CompactViaLists, SealedViaLists):
        with unharmed() as ring:
            if make is not None:
                ring.hosts[0].node._parts.sender.via_lists = make(random.Random(4).randbytes)
            attacker = ring.attacker()
            since = len(ring.sent)
            opaque = OpaqueDestination(octets)
            assert attacker.send(PING, PingReq(), opaque) == []
            assert attacker.send(ANSWER, PingAns(1, 2), to(0), opaque) == []
            assert _passed(ring, since) == []
            assert len(ring.drops(0)) == 2


@pytest.mark.parametrize("make", [CompactViaLists, SealedViaLists])
def test_an_opaque_id_of_another_peer_is_dropped_silently(make: Any) -> None:
    """And one of the peer's own with another bit, or in parts."""
    ring = Ring()
    for number in (0, 1):
        ring.hosts[number].node._parts.sender.via_lists = make(random.Random(number).randbytes)
    attacker, accomplice = ring.attacker(0), ring.attacker(1, node_id=(STEP + STEP // 2).to_bytes(16, "big"))
    attacker.send(PING, PingReq(), NodeDestination(accomplice.signer.node_id), via_list=(to(3),))
    ring.hosts[0].node.receive_message(attacker.link, attacker.octets(PING, PingReq(), to(1), to(2)), ring.now)
    ring.settle(1.0)
    attacker.received()
    accomplice.received()
    given = [
        each
        for *_, octets in ring.sent
        for each in decode_message(octets).header.via_list
        if isinstance(each, OpaqueDestination)
    ]
    assert given
    ring.drops(1)
    since = len(ring.sent)
    for opaque in given:
        changed = [opaque.opaque_id[:-1] + bytes([opaque.opaque_id[-1] ^ bit]) for bit in (1, 2, 4)]
        for octets in (opaque.opaque_id[:-1], opaque.opaque_id + b"\0", *changed):
            assert attacker.send(ANSWER, PingAns(1, 2), OpaqueDestination(octets)) == []
    assert accomplice.send(ANSWER, PingAns(1, 2), given[0]) == []
    assert [each for each in _passed(ring, since) if each[0] != ring.hosts[1].number] == []
    assert ring.serves()


def test_the_wildcard_is_this_node_and_never_forwarded(ring: Ring) -> None:
    attacker = ring.attacker()
    for destinations in ((ANYBODY,), (ANYBODY, to(1)), (to(0), ANYBODY), (ANYBODY, ResourceDestination(HOME))):
        since = len(ring.sent)
        (answer,) = attacker.send(PING, PingReq(), *destinations, transaction=ring.transaction())
        assert answer.contents.message_code == ANSWER
        assert _passed(ring, since) == [(ring.hosts[0].number, -1)]


def test_a_node_id_of_the_own_range_that_nobody_has_is_dropped_silently(ring: Ring) -> None:
    attacker = ring.attacker(1)
    assert attacker.send(PING, PingReq(), NodeDestination((STEP - 5).to_bytes(16, "big"))) == []
    assert ring.drops(1) == ["nobody here has this Node-ID"]


# TTL and errors.


def _header_faults() -> dict[str, dict[str, Any]]:
    critical = OptionFlag.FORWARD_CRITICAL | OptionFlag.DESTINATION_CRITICAL
    return {
        "ttl over the initial one": {"ttl": 101},
        "ttl 255": {"ttl": 255},
        "ttl 0": {"ttl": 0},
        "another overlay": {"overlay": 1},
        "an unknown option": {"options": (ForwardingOption(99, critical, b"x"),)},
        "an unknown option that is to be copied": {
            "options": (ForwardingOption(99, critical | OptionFlag.RESPONSE_COPY, bytes(1000)),)
        },
    }


FAULTS = _header_faults()
EXPECTED = [
    ErrorCode.TTL_EXCEEDED,
    ErrorCode.TTL_EXCEEDED,
    ErrorCode.TTL_EXCEEDED,
    ErrorCode.INCOMPATIBLE_WITH_OVERLAY,
    ErrorCode.UNSUPPORTED_FORWARDING_OPTION,
    ErrorCode.UNSUPPORTED_FORWARDING_OPTION,
]


@pytest.mark.parametrize(("fields", "expected"), list(zip(FAULTS.values(), EXPECTED, strict=True)), ids=FAULTS.keys())
def test_a_request_that_cannot_go_on_gets_one_error_back_over_its_own_link(
    ring: Ring, fields: dict[str, Any], expected: ErrorCode
) -> None:
    """It is hardly larger than what has caused it, and to nobody else."""
    attacker = ring.attacker()
    octets = attacker.octets(PING, PingReq(), to(1), via_list=(to(2),), **fields)
    since = len(ring.sent)
    (error,) = attacker.send_octets(octets)
    assert error_code(error) == expected
    assert error.header.destination_list == (NodeDestination(ATTACKER), to(2))
    assert _passed(ring, since) == [(ring.hosts[0].number, -1)]
    assert len(ring.sent[-1][3]) <= len(octets) + 64


@pytest.mark.parametrize("fields", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("code", [ANSWER, MessageCode.STORE_ANS, ERROR, 0x8000, 0])
def test_there_is_no_error_about_a_response_nor_about_an_error(ring: Ring, fields: dict[str, Any], code: int) -> None:
    attacker = ring.attacker()
    since = len(ring.sent)
    assert attacker.send(code, b"", to(1), **fields) == []
    assert _passed(ring, since) == []
    assert len(ring.drops(0)) == 1


def test_an_error_about_what_has_a_bad_signature_is_not_made(ring: Ring) -> None:
    """Of no error code that the body of a request could cause."""
    attacker = ring.attacker()
    for code, body in ((PING, b"\xff"), (41, b""), (MessageCode.STORE_REQ, b"\0")):
        octets = attacker.octets(code, body, transaction=ring.transaction())
        assert attacker.send_octets(octets[:-1] + bytes([octets[-1] ^ 1])) == []


def test_errors_on_a_link_are_so_many_and_no_more(ring: Ring) -> None:
    attacker, other = ring.attacker(), ring.attacker(node_id=(77).to_bytes(16, "big"))
    octets = attacker.octets(PING, PingReq(), ttl=255)
    for _ in range(1000):
        ring.hosts[0].node.receive_message(attacker.link, octets, ring.now)
    assert len(attacker.received()) == 100
    # Another neighbor's are its own.
    assert other.errors(PING, PingReq(), ttl=255) == [ErrorCode.TTL_EXCEEDED]


@pytest.mark.parametrize("code", [PING, MessageCode.STORE_REQ, MessageCode.LEAVE_REQ])
def test_an_unknown_critical_extension_keeps_a_request_from_being_done(ring: Ring, code: int) -> None:
    alice = signer(place(0), ALICE)
    body = {
        PING: PingReq(),
        MessageCode.STORE_REQ: store_of(stored(b"x", 10**15, by=alice)),
        MessageCode.LEAVE_REQ: LeaveReq(place(0)),
    }[code]
    attacker = ring.attacker(ring.responsible)
    errors = attacker.errors(code, body, signer=alice, extensions=(MessageExtension(0x7777, True, b""),))
    assert errors == [ErrorCode.UNKNOWN_EXTENSION]


# Sizes.


def test_a_message_over_the_largest_size_is_answered_and_its_link_closed(ring: Ring) -> None:
    attacker = ring.attacker()
    octets = attacker.octets(PING, PingReq(bytes(5000)))
    ring.closed(0)
    assert [error_code(each) for each in attacker.send_octets(octets)] == [ErrorCode.MESSAGE_TOO_LARGE]
    assert ring.closed(0) == [attacker.link]
    assert attacker.send(PING, PingReq()) == []


def test_a_header_over_the_largest_size_has_its_link_closed_without_an_answer(ring: Ring) -> None:
    attacker = ring.attacker()
    octets = attacker.octets(PING, PingReq(), to(0), via_list=(to(1),) * 300)
    ring.closed(0)
    assert attacker.send_octets(octets) == []
    assert ring.closed(0) == [attacker.link]


@pytest.mark.parametrize("limit", [1, 38, 100, 400])
def test_an_answer_that_is_not_allowed_to_be_so_long_is_an_error(ring: Ring, limit: int) -> None:
    attacker = ring.attacker()
    assert attacker.errors(PING, PingReq(), max_response_length=limit) == [ErrorCode.RESPONSE_TOO_LARGE]


@pytest.mark.parametrize("by", [-1000, -38, -1, 1, 1000, 1 << 31])
def test_a_length_that_is_not_that_of_the_message_is_dropped_silently(ring: Ring, by: int) -> None:
    attacker = ring.attacker()
    octets = bytearray(attacker.octets(PING, PingReq(bytes(600))))
    octets[16:20] = ((len(octets) + by) % (1 << 32)).to_bytes(4, "big")
    assert attacker.send_octets(bytes(octets)) == []
    assert len(ring.drops(0)) == 1


@pytest.mark.parametrize("at", [32, 34, 36])
def test_lists_that_are_longer_than_the_message_are_dropped_silently(ring: Ring, at: int) -> None:
    attacker = ring.attacker()
    for value in (0xFFFF, 0x8000, 1000):
        octets = bytearray(attacker.octets(PING, PingReq()))
        octets[at : at + 2] = value.to_bytes(2, "big")
        assert attacker.send_octets(bytes(octets)) == []
        assert len(ring.drops(0)) == 1
