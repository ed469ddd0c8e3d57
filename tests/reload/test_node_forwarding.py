"""What a node does with a message that is for others (RFC 6940 sections 6.1.2, 6.1.3 and 6.3.2)."""

import random

import attrs
import pytest
from reload_bystander import Bench, Bystander, at, bench, error_of, me, where
from reload_identities import node_id
from reload_overlay import in_force

from reload.contents import ErrorCode, MessageCode
from reload.destinations import NodeDestination, OpaqueDestination, encode_destinations
from reload.header import ForwardingOption, OptionFlag
from reload.message import Message, decode_message
from reload.methods import PingAns, PingReq
from reload.via_lists import CompactViaLists, SealedViaLists

_PING, _ANSWER = MessageCode.PING_REQ, MessageCode.PING_ANS


@pytest.fixture
def pair() -> tuple[Bench, Bystander, Bystander]:
    made, (one, other) = bench(10, 200)
    return made, one, other


def _code(messages: list[Message]) -> int:
    (message,) = messages
    return message.contents.message_code


def _encoded(destination: NodeDestination) -> bytes:
    return encode_destinations([destination], 16)


def test_a_request_goes_on_with_the_previous_hop_in_its_via_list_and_a_lower_ttl(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    _, one, other = pair
    octets = one.octets(_PING, PingReq(b"x"), where(150), via_list=(at(1),), ttl=7)
    assert one.send_octets(octets) == []
    (onwards,) = other.received()
    sent = decode_message(octets)
    assert onwards.header == attrs.evolve(
        sent.header, ttl=6, via_list=(at(1), at(10)), length=sent.header.length + len(_encoded(at(10)))
    )
    assert (onwards.contents, onwards.security_block) == (sent.contents, sent.security_block)


def test_the_topology_is_told_from_where_a_message_comes(
    pair: tuple[Bench, Bystander, Bystander], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has gone past its target may not go back (section 10.3)."""
    made, one, other = pair
    asked: list[bytes | None] = []

    def next_hop(target: bytes, previous_hop: bytes | None = None) -> bytes:
        asked.append(previous_hop)
        return node_id(200)

    monkeypatch.setattr(made.topology, "next_hop", next_hop)
    one.send(_PING, PingReq(), where(150))
    assert len(other.received()) == 1
    made.node.ping([where(150)], made.now)
    assert asked == [node_id(10), None]


def test_a_response_goes_on_without_more_in_its_via_list(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, other = pair
    one.send(_ANSWER, PingAns(1, 2), me(), at(200), at(3))
    (onwards,) = other.received()
    assert onwards.header.destination_list == (at(200), at(3))
    assert onwards.header.via_list == ()
    assert onwards.header.ttl == 99


def test_what_is_forwarded_is_neither_verified_nor_decoded(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, other = pair
    octets = one.octets(_PING, PingReq(), at(200))
    damaged = octets[:-40] + bytes(40)
    made_up = octets[: octets.index(b"\x00\x17", 38)] + b"\x00\x17 this is no payload"
    made_up = made_up[:16] + len(made_up).to_bytes(4) + made_up[20:]
    for each in (damaged, made_up):
        one.send_octets(each)
        (onwards,) = other.received_octets()
        payload = each[octets.index(b"\x00\x17", 38) :]
        assert onwards.endswith(payload)


def test_a_ttl_that_is_used_up_is_answered_unless_the_message_is_for_this_node(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    _, one, other = pair
    assert _code(one.send(_PING, PingReq(), me(), ttl=0)) == _ANSWER
    (refused,) = one.send(_PING, PingReq(), at(200), ttl=0, transaction=2, via_list=(at(4),))
    assert error_of(refused) == ErrorCode.TTL_EXCEEDED
    assert refused.header.destination_list == (at(10), at(4))
    assert refused.header.transaction_id == 2
    assert other.received() == []
    one.send(_PING, PingReq(), at(200), ttl=1)
    assert other.received()[0].header.ttl == 0


def test_a_ttl_over_the_initial_one_is_an_error_even_for_this_node() -> None:
    made, (one,) = bench(10, in_force=in_force(initial_ttl=20))
    (refused,) = one.send(_PING, PingReq(), ttl=21)
    assert error_of(refused) == ErrorCode.TTL_EXCEEDED
    assert refused.header.ttl == 20
    assert _code(one.send(_PING, PingReq(), ttl=20)) == _ANSWER
    assert len(made.drops()) == 1


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (_ANSWER, {"ttl": 0}),
        (_ANSWER, {"ttl": 101}),
        (MessageCode.ERROR, {"ttl": 101}),
        (_ANSWER, {"overlay": 1}),
        (_ANSWER, {"options": (ForwardingOption(9, 1),)}),
        (MessageCode.ERROR, {"options": (ForwardingOption(9, 1),)}),
        (_PING, {"ttl": 101, "fragment": 0xC0000100}),
    ],
)
def test_there_is_no_error_about_a_response_or_an_error_or_a_later_fragment(
    pair: tuple[Bench, Bystander, Bystander], code: int, fields: dict[str, object]
) -> None:
    made, one, other = pair
    assert one.send(code, b"", at(200), **fields) == []
    assert other.received() == []
    assert len(made.drops()) == 1


def test_an_option_that_is_critical_for_forwarding_is_refused_on_the_way_alone(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    _, one, other = pair
    option = ForwardingOption(9, OptionFlag.FORWARD_CRITICAL)
    (refused,) = one.send(_PING, PingReq(), at(200), options=(option,))
    assert error_of(refused) == ErrorCode.UNSUPPORTED_FORWARDING_OPTION
    assert other.received() == []
    assert _code(one.send(_PING, PingReq(), options=(option,), transaction=2)) == _ANSWER


def test_a_destination_twice_in_the_list_is_an_invalid_message(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, other = pair
    (refused,) = one.send(_PING, PingReq(), at(200), at(3), at(200))
    assert error_of(refused) == ErrorCode.INVALID_MESSAGE
    (refused,) = one.send(_PING, PingReq(), me(), at(200), me(), transaction=2)
    assert error_of(refused) == ErrorCode.INVALID_MESSAGE
    assert other.received() == []


def test_another_overlay_is_incompatible(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    (refused,) = one.send(_PING, PingReq(), overlay=12345)
    assert error_of(refused) == ErrorCode.INCOMPATIBLE_WITH_OVERLAY
    assert made.drops() == ["another overlay"]


@pytest.mark.parametrize("index", [0, 10, 12])  # the token, the version, the high bit of the fragment
def test_what_is_no_message_of_this_protocol_is_dropped(pair: tuple[Bench, Bystander, Bystander], index: int) -> None:
    made, one, _ = pair
    octets = bytearray(one.octets(_PING, PingReq()))
    octets[index] ^= 0x80
    assert one.send_octets(bytes(octets)) == []
    assert len(made.drops()) == 1


def test_a_node_of_our_range_is_dropped_silently_unless_it_is_connected(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    made, one, _ = pair
    assert one.send(_PING, PingReq(), at(77)) == []
    assert made.drops() == ["nobody here has this Node-ID"]
    client = Bystander(made, 77)
    assert one.send(_PING, PingReq(), at(77)) == []
    assert len(client.received()) == 1


def test_nothing_is_forwarded_by_a_node_that_is_no_peer() -> None:
    made, (one,) = bench(10, is_joined=False)
    assert one.send(_PING, PingReq(), where(100)) == []
    assert one.send(_PING, PingReq(), at(200)) == []
    assert made.drops() == ["no way to go on", "no way to go on"]


# Via Lists that are kept.


@pytest.mark.parametrize("kind", ["compact", "sealed"])
def test_a_via_list_may_become_an_opaque_id_and_be_recovered(kind: str) -> None:
    chance = random.Random(5).randbytes
    lists = CompactViaLists(chance) if kind == "compact" else SealedViaLists(chance)
    made, (one, other) = bench(10, 200, via_lists=lists)
    one.send(_PING, PingReq(), at(200), via_list=(at(1), at(2)))
    (onwards,) = other.received()
    (opaque,) = onwards.header.via_list
    assert isinstance(opaque, OpaqueDestination)
    assert opaque.is_compact is (kind == "compact")
    other.send(_ANSWER, PingAns(1, 2), me(), opaque)
    (back,) = one.received()
    assert back.header.destination_list == (at(10), at(2), at(1))
    made.advance(16.0)
    other.send(_ANSWER, PingAns(1, 2), me(), opaque)
    assert len(one.received()) == (kind == "sealed")
    assert len(made.drops()) == (kind == "compact")


def test_an_option_may_forbid_to_keep_a_via_list() -> None:
    made, (one, other) = bench(10, 200, via_lists=CompactViaLists(random.Random(5).randbytes))
    option = ForwardingOption(2, OptionFlag.IGNORE_STATE_KEEPING)
    one.send(_PING, PingReq(), at(200), via_list=(at(1),), options=(option,))
    (onwards,) = other.received()
    assert onwards.header.via_list == (at(1), at(10))
    assert made.drops() == []


def test_an_opaque_id_of_nobody_is_dropped_silently(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    assert one.send(_PING, PingReq(), OpaqueDestination(b"\x80\x01", is_compact=True)) == []
    assert made.drops() == ["an opaque ID that stands for nothing here"]
