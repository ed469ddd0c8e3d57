"""What a hostile node tries with headers, lists, fragments, errors and answers (RFC 6940 sections 6 and 13.6.5).

The table of all negatives is in test_security_identity.py.
"""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from reload_hostile import (
    ATTACKER,
    HOME,
    PRIVATE,
    STEP,
    Attacker,
    Ring,
    Victim,
    error_code,
    place,
    signer,
    store_of,
    stored,
    unharmed,
)
from reload_identities import ALICE
from reload_overlay import Host

from reload._presentation import encode
from reload.contents import ErrorCode, ErrorResponse, MessageCode, MessageExtension
from reload.destinations import (
    Destination,
    NodeDestination,
    OpaqueDestination,
    ResourceDestination,
    encode_destinations,
)
from reload.events import Completed
from reload.exchange import Response
from reload.forwarding import fragment
from reload.header import ForwardingOption, OptionFlag
from reload.message import Message, decode_message
from reload.methods import JoinAns, LeaveReq, PingAns, PingReq
from reload.naming import wildcard
from reload.operations import Failed, Fetch, NewValue, Store, Stored, Wanted
from reload.requesting import FROM_ANYBODY
from reload.storage_messages import (
    DataValue,
    FetchAns,
    FetchKindResponse,
    SingleSpecifier,
    StoreAns,
    StoreKindResponse,
)
from reload.topology import Joined
from reload.via_lists import CompactViaLists, SealedViaLists

PING, ANSWER, ERROR = MessageCode.PING_REQ, MessageCode.PING_ANS, MessageCode.ERROR
VICTIM = place(0)


def to(number: int) -> NodeDestination:
    return NodeDestination(place(number))


ANYBODY = NodeDestination(wildcard())


@pytest.fixture
def ring() -> Iterator[Ring]:
    with unharmed() as made:
        yield made


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


# Fragments.


def _parts(attacker: Attacker, transaction: int, filling: bytes = b"f") -> list[bytes]:
    return fragment(attacker.octets(PING, PingReq(filling * 1500), transaction=transaction), 700)


def _assembling(ring: Ring) -> Any:
    return ring.hosts[0].node._parts.receiver._reassembler


def test_fragments_that_contradict_each_other_make_no_message(ring: Ring) -> None:
    attacker = ring.attacker()
    first, *rest = _parts(attacker, 5)
    other, *_ = _parts(attacker, 5, b"g")
    for order in ([first, other, *rest], [other, first, *rest], [*rest[:-1], other, first, rest[-1]]):
        back = [message for part in order for message in attacker.send_octets(part)]
        assert back == []
        ring.settle(16.0)
        assert len(_assembling(ring)) == 0


def _lying(octets: bytes, offset: int, *, last: bool = False) -> bytes:
    word = 0x80000000 | (0x40000000 if last else 0) | offset
    return octets[:12] + word.to_bytes(4, "big") + octets[16:]


@pytest.mark.parametrize("offset", [0xFFFFFF, 0xFFFFFE, 0xFFF000, 6000])
@pytest.mark.parametrize("last", [False, True])
def test_a_fragment_far_behind_the_largest_size_takes_no_memory(ring: Ring, offset: int, last: bool) -> None:
    attacker = ring.attacker()
    first, *_ = _parts(attacker, 6)
    assert attacker.send_octets(_lying(first, offset, last=last)) == []
    assert _assembling(ring).octets == 0
    assert len(_assembling(ring)) == 0


def test_a_last_fragment_before_the_end_makes_no_message(ring: Ring) -> None:
    attacker = ring.attacker()
    first, second, *_, tail = _parts(attacker, 7)
    for octets in (first, tail, _lying(second, 700, last=True), second):
        assert attacker.send_octets(octets) == []
    ring.settle(16.0)
    assert _assembling(ring).octets == 0


def test_fragments_over_two_links_do_not_join(ring: Ring) -> None:
    """Else a node could put its own parts into the messages of another."""
    attacker, other = ring.attacker(), ring.attacker(node_id=(77).to_bytes(16, "big"))
    first, *rest = _parts(attacker, 8)
    assert other.send_octets(first) == []
    assert [message for part in rest for message in attacker.send_octets(part)] == []
    ring.settle(16.0)


# Answers.


def _asked(ring: Ring, host: Host, operation: Any) -> tuple[int, Message]:
    """A request of an honest node that does not arrive, and that somebody has read."""
    lost: list[bytes] = []

    def lose(sender: Host, receiver: Host, octets: bytes) -> bool:
        if sender is host:
            lost.append(octets)
        return sender is not host

    ring.on_send = lose
    handle = operation(host.node)
    ring.settle(0.1)
    ring.on_send = lambda *_: True
    return handle, decode_message(lost[-1])


def _result(ring: Ring, host: Host, handle: int, seconds: float = 5.0) -> Any:
    ring.settle(seconds)
    found = [each.result for each in host.events if isinstance(each, Completed) and each.handle == handle]
    return found[0] if found else None


def _store(value: bytes) -> Any:
    return Store(HOME, (NewValue(PRIVATE.id, DataValue(exists=True, value=value), 100_000),))


READ = Fetch(HOME, (Wanted(PRIVATE.id, SingleSpecifier()),))
FORGED = FetchAns((FetchKindResponse(PRIVATE.id, 9, (stored(b"forged", 10**15, by=signer(ATTACKER)),)),))


def test_an_answer_of_another_node_than_was_asked_is_none(ring: Ring) -> None:
    """The answer of who was asked counts, when the request is sent again."""
    host = ring.hosts[0]
    attacker = ring.attacker()
    handle, request = _asked(ring, host, lambda node: node.ping((to(2),), ring.now))
    transaction = request.header.transaction_id
    assert attacker.send(ANSWER, PingAns(666, 666), transaction=transaction) == []
    assert ring.drops(0) == ["an answer of another node than was asked"]
    result = _result(ring, host, handle)
    assert isinstance(result, Response)
    assert result.identity.node_id == place(2)


def test_an_answer_of_a_peer_that_is_not_the_closest_is_none(ring: Ring) -> None:
    """To a Fetch, with a value of the attacker's own and all that it needs to look right."""
    number = (ring.responsible + 2) % 5
    host = ring.hosts[number]
    far = signer(((ring.responsible + 3) % 5 * STEP + STEP // 2).to_bytes(16, "big"))
    attacker = ring.attacker(number, node_id=far.node_id, by=far)
    handle, request = _asked(ring, host, lambda node: node.perform(READ, ring.now))
    attacker.send(MessageCode.FETCH_ANS, FORGED, transaction=request.header.transaction_id)
    assert ring.drops(number) == ["an answer of another node than was asked"]
    result = _result(ring, host, handle)
    assert [each.data.value.value for each in result.kinds[PRIVATE.id].values] == [b"of Alice"]


def test_who_answers_in_the_place_of_the_right_peer_cannot_forge_the_value() -> None:
    """The nearest that an attacker can be: the value is discarded, and the reader told that it has not got all."""
    ring = Ring()
    host = ring.hosts[(ring.responsible + 2) % 5]
    number = ring.hosts.index(host)
    near = ring.hosts[ring.responsible].node_id
    attacker = ring.attacker(number)
    handle, request = _asked(ring, host, lambda node: node.perform(READ, ring.now))
    for value in (stored(b"forged", 10**15, by=signer(ATTACKER)), stored(b"", 10**15, by=signer(near), at=bytes(16))):
        body = FetchAns((FetchKindResponse(PRIVATE.id, 9, (value,)),))
        attacker.send(MessageCode.FETCH_ANS, body, signer=signer(near), transaction=request.header.transaction_id)
    result = _result(ring, host, handle)
    assert result.kinds[PRIVATE.id].values == ()
    assert result.is_partial
    assert ring.serves()


@pytest.mark.parametrize("code", sorted(set(range(1, 0x20)) - FROM_ANYBODY))
def test_an_error_about_data_by_who_was_only_on_the_way_is_none(ring: Ring, code: int) -> None:
    """Also over the link of the first hop. The Store is done all the same."""
    host = ring.hosts[0]
    attacker = ring.attacker()
    handle, request = _asked(ring, host, lambda node: node.perform(READ, ring.now))
    transaction = request.header.transaction_id
    for info in (b"", b"\x04\xf0\x00\x00\x01", encode(StoreAns((StoreKindResponse(PRIVATE.id, 99, ()),)))):
        attacker.send(ERROR, ErrorResponse(code, info), transaction=transaction)
    assert ring.drops(0) == ["an answer of another node than was asked"] * 3
    result = _result(ring, host, handle)
    assert [each.data.value.value for each in result.kinds[PRIVATE.id].values] == [b"of Alice"]


def test_a_store_cannot_be_said_to_have_failed_or_to_be_done_by_another() -> None:
    ring = Ring()
    host = ring.hosts[0]
    attacker = ring.attacker()
    handle, request = _asked(ring, host, lambda node: node.perform(_store(b"of Alice"), ring.now))
    transaction = request.header.transaction_id
    done = StoreAns((StoreKindResponse(PRIVATE.id, 99, (ATTACKER,)),))
    attacker.send(MessageCode.STORE_ANS, done, transaction=transaction)
    for code in (ErrorCode.FORBIDDEN, ErrorCode.DATA_TOO_OLD, ErrorCode.GENERATION_COUNTER_TOO_LOW):
        attacker.send(ERROR, ErrorResponse(code, encode(done)), transaction=transaction)
    result = _result(ring, host, handle, 10.0)
    assert isinstance(result, Stored)
    assert result.generations[PRIVATE.id] < 99
    assert ring.serves()


def test_what_a_forwarder_may_say_ends_a_request_and_shows_nothing_else(ring: Ring) -> None:
    """It could as well have dropped the request. Errors of this kind say nothing about data."""
    host = ring.hosts[0]
    attacker = ring.attacker()
    for code in sorted(FROM_ANYBODY):
        handle, request = _asked(ring, host, lambda node: node.perform(READ, ring.now))
        attacker.send(ERROR, ErrorResponse(code, b""), transaction=request.header.transaction_id)
        result = _result(ring, host, handle)
        assert isinstance(result, Failed)
        assert result.error is not None
        assert result.error.error_code == code


@pytest.mark.parametrize("code", [ANSWER, MessageCode.STORE_ANS, MessageCode.FETCH_ANS, MessageCode.JOIN_ANS, ERROR])
def test_an_answer_to_nothing_has_no_effect(ring: Ring, code: int) -> None:
    attacker = ring.attacker()
    for transaction in (0, 1, (1 << 64) - 1):
        assert attacker.send(code, b"\0\0", transaction=transaction) == []
    assert ring.drops(0) == ["an answer to nothing"] * 3


def test_an_answer_that_comes_again_has_no_effect(ring: Ring) -> None:
    host = ring.hosts[0]
    attacker = ring.attacker()
    handle = host.node.ping((to(2),), ring.now)
    assert isinstance(_result(ring, host, handle), Response)
    octets = next(o for _, sender, _, o in reversed(ring.sent) if decode_message(o).contents.message_code == ANSWER)
    message = decode_message(octets)
    ring.drops(0)
    assert attacker.send(ANSWER, message.contents.message_body, transaction=message.header.transaction_id) == []
    host.node.receive_message(attacker.link, octets, ring.now)
    assert ring.drops(0) == ["an answer to nothing"] * 2


def test_an_answer_to_another_method_has_no_effect(ring: Ring) -> None:
    host = ring.hosts[0]
    attacker = ring.attacker()
    handle, request = _asked(ring, host, lambda node: node.ping((to(2),), ring.now))
    near = signer(place(2))
    for code in (MessageCode.STORE_ANS, MessageCode.PING_REQ + 2, 0xFFFE):
        attacker.send(code, b"\0\0", signer=near, transaction=request.header.transaction_id)
    assert isinstance(_result(ring, host, handle), Response)


def test_a_join_answer_of_another_than_the_admitting_peer_lets_nobody_in() -> None:
    ring = Ring(peers=3)
    node_id = (STEP // 3).to_bytes(16, "big")
    seen: list[Message] = []

    def lose(sender: Host, receiver: Host, octets: bytes) -> bool:
        message = decode_message(octets)
        if message.contents.message_code == MessageCode.JOIN_REQ:
            seen.append(message)
        return message.contents.message_code != MessageCode.JOIN_REQ

    ring.on_send = lose
    host = ring.enter(node_id)
    assert seen
    ring.victims.append(Victim(ring, host))
    attacker = ring.attacker(3)
    for _ in range(3):
        attacker.send(MessageCode.JOIN_ANS, JoinAns(), transaction=seen[-1].header.transaction_id)
    ring.settle(1.0)
    assert not [event for event in host.events if isinstance(event, Joined)]
    assert not host.node.topology.is_responsible(node_id)
    ring.on_send = lambda *_: True
    ring.settle(200.0)
    assert [event for event in host.events if isinstance(event, Joined)]
    assert ring.fetch(host) == [b"of Alice"]
