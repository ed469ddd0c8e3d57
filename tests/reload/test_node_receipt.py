"""What a node does with a message that comes over a link (RFC 6940 sections 6.1, 6.3.2, 6.6 and 6.7)."""

import pytest
from reload_bystander import ME, Bench, Bystander, at, bench, error_of, me, where
from reload_identities import node_id
from reload_overlay import candidates, in_force

import reload.connections
import reload.limits
from reload._presentation import encode
from reload.contents import ErrorCode, ErrorResponse, MessageCode, MessageExtension
from reload.destinations import NodeDestination, encode_destinations
from reload.events import CandidatesWanted, MessageDropped
from reload.forwarding import fragment
from reload.header import ForwardingOption, OptionFlag
from reload.message import Message, decode_body
from reload.methods import AttachReqAns, PingReq, ProbeReq
from reload.naming import wildcard

_PING, _ANSWER = MessageCode.PING_REQ, MessageCode.PING_ANS


@pytest.fixture
def pair() -> tuple[Bench, Bystander, Bystander]:
    made, (one, other) = bench(10, 200)
    return made, one, other


def _code(messages: list[Message]) -> int:
    (message,) = messages
    return message.contents.message_code


# For this node.


@pytest.mark.parametrize("destination", [me(), where(100), where(51), NodeDestination(wildcard())])
def test_what_is_for_this_node_is_answered_over_the_same_link(
    pair: tuple[Bench, Bystander, Bystander], destination: NodeDestination
) -> None:
    made, one, other = pair
    (answer,) = one.send(_PING, PingReq(), destination)
    assert answer.contents.message_code == _ANSWER
    assert answer.header.destination_list == (at(10),)
    assert answer.header.via_list == ()
    assert answer.header.transaction_id == 1
    assert answer.header.ttl == 100
    assert answer.header.max_response_length == 0
    assert answer.header.configuration_sequence == made.node.in_force.configuration.sequence
    assert other.received() == []


def test_a_response_goes_back_through_whom_the_request_has_passed(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, _ = pair
    (answer,) = one.send(_PING, PingReq(), me(), via_list=(at(1), at(2)))
    assert answer.header.destination_list == (at(10), at(2), at(1))


def test_a_response_finds_its_way_when_the_link_of_the_request_is_gone() -> None:
    made, (one, other) = bench(10, 20)
    body = AttachReqAns(b"", b"", b"passive", candidates(10, 1).candidates)
    assert one.send(MessageCode.ATTACH_REQ, body, via_list=(at(1),)) == []
    (wanted,) = [event for event in made.events if isinstance(event, CandidatesWanted)]
    made.node.link_lost(one.link, made.now)
    assert node_id(10) not in made.topology.peers
    made.node.provide_candidates(wanted.attach, candidates(ME, 1), made.now)
    (answer,) = other.received()
    assert answer.contents.message_code == MessageCode.ATTACH_ANS
    assert answer.header.destination_list == (at(10), at(1))


def test_this_node_is_taken_off_the_list_and_the_rest_goes_on(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, other = pair
    assert one.send(_PING, PingReq(), me(), at(200)) == []
    (onwards,) = other.received()
    assert onwards.header.destination_list == (at(200),)
    assert onwards.header.via_list == (at(10),)


def test_a_message_whose_signature_fails_is_dropped_silently(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    octets = bytearray(one.octets(_PING, PingReq(b"padding")))
    octets[octets.index(b"padding")] ^= 1
    assert one.send_octets(bytes(octets)) == []
    assert made.drops() == ["signature: of other octets"]
    assert _code(one.send(_PING, PingReq(b"padding"))) == _ANSWER


def test_a_resource_id_that_is_not_the_last_destination_is_dropped_silently(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    made, one, other = pair
    octets = one.octets(_PING, PingReq(), at(200), where(100))
    first, second = encode_list(at(200)), encode_list(where(100))
    swapped = octets.replace(first + second, second + first)
    assert swapped != octets
    assert one.send_octets(swapped) == []
    assert other.received() == []
    assert len(made.drops()) == 1


def encode_list(destination: NodeDestination) -> bytes:
    return encode_destinations([destination], 16)


@pytest.mark.parametrize("code", [0, 0x8001, 0xFFFE])
def test_reserved_codes_have_no_effect(pair: tuple[Bench, Bystander, Bystander], code: int) -> None:
    made, one, _ = pair
    assert one.send(code, b"") == []
    assert len(made.drops()) == 1


@pytest.mark.parametrize("code", [5, 11, 27, 31, 35, 37, 41, 0x7FFF])
def test_a_request_that_nobody_answers_here_is_an_invalid_message(
    pair: tuple[Bench, Bystander, Bystander], code: int
) -> None:
    _, one, _ = pair
    (answer,) = one.send(code, b"body")
    assert error_of(answer) == ErrorCode.INVALID_MESSAGE
    assert decode_body(answer.contents).error_info.decode()


def test_a_body_that_is_malformed_is_an_invalid_message(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, _ = pair
    (answer,) = one.send(_PING, b"\xff")
    assert error_of(answer) == ErrorCode.INVALID_MESSAGE


def test_a_type_that_a_structure_does_not_know_is_not_answered(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    assert one.send(MessageCode.UPDATE_REQ, bytes(4) + b"\x09") == []
    assert made.drops() == ["ChordUpdate.tables: unknown type 9"]
    assert made.topology.requests == []


def test_an_unknown_extension_is_refused_if_it_is_critical(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, _ = pair
    (answer,) = one.send(_PING, PingReq(), extensions=(MessageExtension(77, True, b""),))
    assert error_of(answer) == ErrorCode.UNKNOWN_EXTENSION
    assert _code(one.send(_PING, PingReq(), transaction=2, extensions=(MessageExtension(77, False, b""),))) == _ANSWER


@pytest.mark.parametrize("flags", range(8))
def test_an_unknown_option_is_refused_if_it_is_critical_for_the_destination(
    pair: tuple[Bench, Bystander, Bystander], flags: int
) -> None:
    _, one, _ = pair
    (answer,) = one.send(_PING, PingReq(), options=(ForwardingOption(9, flags, b"value"),))
    if flags & OptionFlag.DESTINATION_CRITICAL:
        assert error_of(answer) == ErrorCode.UNSUPPORTED_FORWARDING_OPTION
    else:
        assert answer.contents.message_code == _ANSWER
    copied = (ForwardingOption(9, 0, b"value"),) if flags & OptionFlag.RESPONSE_COPY else ()
    assert answer.header.options == copied


def test_a_response_is_no_longer_than_the_requester_allows(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, _ = pair
    (answer,) = one.send(_PING, PingReq())
    size = answer.header.length
    assert _code(one.send(_PING, PingReq(), transaction=2, max_response_length=size)) == _ANSWER
    (refused,) = one.send(_PING, PingReq(), transaction=3, max_response_length=size - 1)
    assert error_of(refused) == ErrorCode.RESPONSE_TOO_LARGE


@pytest.mark.parametrize("allowed", [0, 100_000])
def test_a_response_is_no_larger_than_messages_may_be(allowed: int) -> None:
    made, (one,) = bench(10, in_force=in_force(max_message_size=1000))
    (refused,) = one.send(MessageCode.PROBE_REQ, ProbeReq((1,) * 250), max_response_length=allowed)
    assert error_of(refused) == ErrorCode.RESPONSE_TOO_LARGE
    assert made.closed() == []


# Duplicates.


def test_a_duplicate_gets_the_same_answer_for_15_seconds(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    octets = one.octets(_PING, PingReq())
    (first,) = one.send_octets(octets)
    made.advance(14.9)
    assert one.send_octets(octets) == [first]
    made.advance(0.1)
    (other,) = one.send_octets(octets)
    assert decode_body(other.contents) != decode_body(first.contents)
    assert made.drops() == []


def test_a_duplicate_that_comes_another_way_is_answered_that_way(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, other = pair
    (first,) = one.send(_PING, PingReq(), me(), via_list=(at(1),))
    (second,) = other.send(_PING, PingReq(), me(), via_list=(at(2),), signer=one.signer)
    assert first.contents == second.contents
    assert second.header.destination_list == (at(200), at(2))


def test_a_transaction_of_another_signer_is_another_request(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, other = pair
    (first,) = one.send(_PING, PingReq())
    (second,) = other.send(_PING, PingReq())
    assert decode_body(first.contents).response_id != decode_body(second.contents).response_id


# Fragments.


def _long(one: Bystander, *destinations: NodeDestination) -> tuple[bytes, list[bytes]]:
    octets = one.octets(_PING, PingReq(bytes(range(256)) * 6), *destinations)
    parts = fragment(octets, 700)
    assert len(parts) > 2
    return octets, parts


def test_fragments_are_put_together_at_the_destination_in_any_order(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    _, parts = _long(one)
    for part in parts[:0:-1]:
        assert one.send_octets(part) == []
    (answer,) = one.send_octets(parts[0])
    assert answer.contents.message_code == _ANSWER
    assert answer.header.destination_list == (at(10),)
    assert made.drops() == []


def test_fragments_are_forwarded_one_by_one(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, other = pair
    octets, parts = _long(one, at(200))
    for part in parts:
        one.send_octets(part)
        (onwards,) = other.received_octets()
        assert onwards[-200:] == part[-200:]
        assert encode_list(at(10)) in onwards
    assert len(octets) > 1500


def test_fragments_that_are_incomplete_are_forgotten_after_15_seconds(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    made, one, _ = pair
    _, parts = _long(one)
    one.send_octets(parts[0])
    made.advance(15.0)
    for part in parts[1:]:
        assert one.send_octets(part) == []
    assert one.send_octets(parts[0]) != []


def test_messages_are_cut_for_a_link_that_has_a_path_mtu(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    narrow = Bystander(made, 300, path_mtu=600)
    octets, _ = _long(one, at(300))
    one.send_octets(octets)
    parts = narrow.received_octets()
    assert len(parts) > 2
    assert all(len(part) <= 600 for part in parts)


# Sizes and rates.


def test_a_message_that_is_too_large_is_refused_and_its_link_closed() -> None:
    made, (one,) = bench(10, in_force=in_force(max_message_size=1000))
    octets = one.octets(_PING, PingReq())
    largest = one.octets(_PING, PingReq(bytes(1000 - len(octets))))
    assert _code(one.send_octets(largest)) == _ANSWER
    (refused,) = one.send(_PING, PingReq(bytes(1001 - len(octets))), transaction=2)
    assert error_of(refused) == ErrorCode.MESSAGE_TOO_LARGE
    assert made.closed() == [one.link]
    assert one.send(_PING, PingReq()) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"via_list": tuple(at(number) for number in range(100))},  # the header alone is too large
        {"code": MessageCode.PING_ANS},
    ],
)
def test_a_message_that_is_too_large_is_not_always_worth_an_error(fields: dict[str, object]) -> None:
    made, (one,) = bench(10, in_force=in_force(max_message_size=1000))
    assert one.send(fields.pop("code", _PING), PingReq(bytes(1000)), **fields) == []  # type: ignore[arg-type]
    assert made.closed() == [one.link]


def test_a_message_that_would_be_too_large_for_the_next_hop_is_refused_here() -> None:
    made, (one, other) = bench(10, 200, in_force=in_force(max_message_size=1000))
    room = 1000 - len(one.octets(_PING, PingReq(), at(200))) - len(encode_list(at(10)))
    assert one.send(_PING, PingReq(bytes(room)), at(200)) == []
    (onwards,) = other.received_octets()
    assert len(onwards) == 1000
    (refused,) = one.send(_PING, PingReq(bytes(room + 1)), at(200), transaction=2)
    assert error_of(refused) == ErrorCode.MESSAGE_TOO_LARGE
    assert other.received_octets() == made.closed() == []


def test_an_error_that_does_not_fit_behind_the_way_back_is_not_sent() -> None:
    made, (one,) = bench(10, in_force=in_force(max_message_size=1000))
    for count, errors in ((45, 1), (46, 0)):
        via_list = tuple(at(number) for number in range(1000, 1000 + count))
        assert len(one.send(_PING, b"", via_list=via_list, transaction=count)) == errors
    assert made.drops() == []


def test_a_via_list_without_room_for_another_hop_is_dropped() -> None:
    made, (one, other) = bench(10, 200, in_force=in_force(max_message_size=200_000))
    for destination in (me(), at(200)):
        for count, answers in ((3637, 1), (3638, 0)):
            found = one.send(_PING, PingReq(), destination, via_list=(at(1),) * count, transaction=count)
            assert len(found) + len(other.received()) == answers
    assert len(made.drops()) == 2


def test_what_is_too_large_and_no_message_closes_the_link_too() -> None:
    made, (one,) = bench(10, in_force=in_force(max_message_size=1000))
    assert one.send_octets(bytes(1001)) == []
    assert made.closed() == [one.link]


def test_a_neighbor_gets_a_limited_number_of_errors(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, other = pair
    total = sum(len(one.send(_PING, PingReq(), overlay=1, transaction=number)) for number in range(200))
    assert total == reload.limits.ERRORS_AT_ONCE
    assert len(other.send(_PING, PingReq(), overlay=1)) == 1
    made.advance(1.0)
    total = sum(len(one.send(_PING, PingReq(), overlay=1, transaction=number)) for number in range(200))
    assert total == reload.limits.ERRORS_PER_SECOND


def test_a_neighbor_gets_a_limited_number_of_messages_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload.connections, "REQUESTS_AT_ONCE", 5)
    made, (one, other) = bench(10, 200)
    answers = [one.send(_PING, PingReq(), transaction=number) for number in range(8)]
    assert [len(each) for each in answers] == [1] * 5 + [0] * 3
    assert made.drops() == ["too many messages at a time"] * 3
    assert len(other.send(_PING, PingReq())) == 1
    made.advance(1.0)
    assert len(one.send(_PING, PingReq(), transaction=9)) == 1


def test_events_of_dropped_messages_are_bounded(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    for _ in range(2000):
        made.node.receive_message(one.link, b"x", made.now)
    events = 0
    while (event := made.node.next_event()) is not None:
        events += isinstance(event, MessageDropped)
    assert events == reload.limits.MAX_DROP_EVENTS
    made.node.receive_message(one.link, b"x", made.now)
    assert made.node.next_event() is not None


def test_what_comes_over_a_link_that_is_gone_has_no_effect(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    made.node.link_lost(one.link, made.now)
    assert one.send(_PING, PingReq()) == []
    assert made.drops() == ["there is no such link"]


# What the node answers itself.


def test_a_probe_gets_what_it_asks_for_in_its_order_and_nothing_else(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    made, one, _ = pair
    made.advance(7.9)
    (answer,) = one.send(MessageCode.PROBE_REQ, ProbeReq((3, 77, 1, 2, 3)))
    info = [(each.type, each.value) for each in decode_body(answer.contents).probe_info]
    assert info == [(3, 7), (1, 10**9 // len(made.topology.peers)), (2, 0), (3, 7)]


def test_the_topology_answers_what_is_its_own(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    (answer,) = one.send(MessageCode.LEAVE_REQ, encode(ErrorResponse(0)) + bytes(14))
    assert answer.contents.message_code == MessageCode.LEAVE_ANS
    (request,) = made.topology.requests
    assert request.previous_hop == node_id(10)
    assert request.link == one.link
    assert request.identity.node_id == node_id(10)
    assert request.header.destination_list == (NodeDestination(node_id(ME)),)
