"""What a hostile node tries with fragments and answers (RFC 6940 sections 6 and 13.6.5).

The table of all negatives is in test_security_identity.py.
"""

from typing import Any

import pytest
from reload_hostile import (
    ANSWER,
    ATTACKER,
    ERROR,
    HOME,
    PING,
    PRIVATE,
    STEP,
    Attacker,
    Ring,
    Victim,
    place,
    signer,
    stored,
    to,
    unharmed_ring,
)
from reload_overlay import Host

from reload._presentation import encode
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.events import Completed
from reload.exchange import Response
from reload.forwarding import fragment
from reload.message import Message, decode_message
from reload.methods import JoinAns, PingAns, PingReq
from reload.operations import Failed, Fetch, NewValue, Store, Stored, Wanted
from reload.requesting import FROM_ANYBODY
from reload.storage_messages import DataValue, FetchAns, FetchKindResponse, SingleSpecifier, StoreAns, StoreKindResponse
from reload.topology import Joined

ring = unharmed_ring


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
