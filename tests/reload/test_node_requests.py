"""Requests of a node: sent, sent again, and what counts as an answer (RFC 6940 sections 6.2.1 and 6.3.4)."""

from collections.abc import Callable
from typing import Any

import pytest
from reload_bystander import ME, Bench, Bystander, at, bench, me, where
from reload_configurations import in_force as signed_in_force
from reload_identities import OVERLAY, enrolled, issue, key, node_id
from reload_overlay import in_force

from reload._presentation import encode
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.destinations import Destination, NodeDestination, OpaqueDestination
from reload.errors import EncodeError
from reload.exchange import Response
from reload.message import decode_message
from reload.methods import PingAns, PingReq
from reload.naming import wildcard
from reload.null_security import NullSigner
from reload.operations import Failed, Send
from reload.signing import KeySigner

_PING, _ANSWER = MessageCode.PING_REQ, MessageCode.PING_ANS
_TIMER = 3.0


@pytest.fixture
def pair() -> tuple[Bench, Bystander, Bystander]:
    made, (one, other) = bench(10, 200)
    return made, one, other


def _ping(made: Bench, *destination_list: Destination, **fields: Any) -> int:
    return made.node.perform(Send(destination_list, _PING, PingReq(), **fields), made.now)


def _answer(by: Bystander, to: Bystander, code: int = _ANSWER, body: Any = None, **fields: Any) -> None:
    """Answer, over the link of `by`, the request that `to` got."""
    (request,) = to.received()
    octets = PingAns(1, 2) if body is None else body
    by.send(code, octets, me(), transaction=request.header.transaction_id, **fields)


def _error(code: int) -> ErrorResponse:
    return ErrorResponse(code, b"")


def test_a_request_is_sent_to_a_connected_node_directly(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, other = pair
    _ping(made, at(10))
    (request,) = one.received()
    assert request.header.destination_list == (at(10),)
    assert request.header.via_list == ()
    assert request.header.ttl == made.node.in_force.configuration.initial_ttl
    assert request.header.configuration_sequence == made.node.in_force.configuration.sequence
    assert other.received() == []


def test_a_request_goes_where_the_topology_says_or_where_it_is_to_begin(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    made, one, other = pair
    _ping(made, where(150))
    assert len(other.received()) == 1
    _ping(made, where(150), first_hop=node_id(10))
    assert len(one.received()) == 1
    assert other.received() == []


def test_transaction_ids_are_by_chance_and_each_another(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    for _ in range(50):
        _ping(made, at(10))
    ids = [request.header.transaction_id for request in one.received()]
    assert len(set(ids)) == 50
    assert len({each >> 56 for each in ids}) > 25


def test_a_request_is_sent_five_times_with_the_same_octets_and_fails_after_the_fifth_timer(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    made, one, _ = pair
    _ping(made, at(10))
    (first,) = one.received_octets()
    for _ in range(4):
        made.advance(_TIMER - 0.01)
        assert one.received_octets() == []
        made.advance(0.01)
        assert one.received_octets() == [first]
    made.advance(_TIMER - 0.01)
    assert made.results() == []
    made.advance(0.01)
    (failed,) = made.results()
    assert failed == Failed(None, "no answer")
    made.advance(100)
    assert one.received_octets() == []
    assert made.results() == []


def test_the_timer_is_that_of_the_configuration() -> None:
    made, (one,) = bench(10, in_force=in_force(overlay_reliability_timer=200))
    _ping(made, at(10))
    made.advance(0.75)
    assert len(one.received_octets()) == 4
    made.advance(0.25)
    assert len(made.results()) == 1


def test_an_answer_ends_the_request(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    _ping(made, at(10))
    _answer(one, one)
    (response,) = made.results()
    assert isinstance(response, Response)
    assert response.body == PingAns(1, 2)
    assert response.identity.node_id == node_id(10)
    made.advance(100)
    assert one.received_octets() == []
    assert made.results() == []


def test_a_second_answer_has_no_effect(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    _ping(made, at(10))
    (request,) = one.received()
    for _ in range(2):
        one.send(_ANSWER, PingAns(1, 2), me(), transaction=request.header.transaction_id)
    assert len(made.results()) == 1
    assert made.drops() == ["an answer to nothing"]


def test_a_retransmission_takes_the_way_that_there_is_then(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, other = pair
    _ping(made, where(150))
    assert len(other.received_octets()) == 1
    made.node.link_lost(other.link, made.now)
    made.advance(_TIMER)
    assert len(one.received_octets()) == 1


def test_a_request_without_any_way_waits_for_one() -> None:
    made, _ = bench()
    made.topology.peers.append(node_id(200))
    _ping(made, at(200))
    made.advance(2 * _TIMER)
    late = Bystander(made, 200)
    made.advance(_TIMER)
    _answer(late, late)
    assert isinstance(made.results()[0], Response)


# Who may answer.


@pytest.mark.parametrize(
    ("destination", "signer", "is_right"),
    [
        (at(200), 200, True),
        (at(200), 10, False),  # another node
        (where(150), 200, True),
        (where(150), 10, False),  # not as close as a neighbor
        (NodeDestination(wildcard()), 10, True),
        (NodeDestination(wildcard()), 200, True),
        (OpaqueDestination(b"what another node has made"), 10, True),
    ],
)
def test_an_answer_must_be_of_the_node_that_was_asked(
    pair: tuple[Bench, Bystander, Bystander], destination: Destination, signer: int, is_right: bool
) -> None:
    made, _, other = pair
    _ping(made, destination, first_hop=node_id(200))
    _answer(other, other, signer=NullSigner(node_id(signer)))
    assert len(made.results()) == is_right
    assert len(made.drops()) == (not is_right)


def test_after_a_wrong_answer_the_right_one_still_counts(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, other = pair
    _ping(made, at(200))
    (request,) = other.received()
    transaction = request.header.transaction_id
    one.send(_ANSWER, PingAns(1, 1), me(), transaction=transaction)
    other.send(_ANSWER, PingAns(2, 2), me(), transaction=transaction)
    (response,) = made.results()
    assert response.body == PingAns(2, 2)


_FORWARDERS = {
    ErrorCode.INCOMPATIBLE_WITH_OVERLAY,
    ErrorCode.UNSUPPORTED_FORWARDING_OPTION,
    ErrorCode.TTL_EXCEEDED,
    ErrorCode.MESSAGE_TOO_LARGE,
    ErrorCode.INVALID_MESSAGE,
    *(code for code in ErrorCode if code >= 0x15),
}


@pytest.mark.parametrize("code", ErrorCode)
def test_only_what_a_node_on_the_way_may_say_is_believed_of_anybody(
    pair: tuple[Bench, Bystander, Bystander], code: ErrorCode
) -> None:
    made, one, _ = pair
    _ping(made, where(150), first_hop=node_id(10))
    _answer(one, one, MessageCode.ERROR, _error(code), signer=NullSigner(node_id(33)))
    made.drops()
    results = made.results()
    assert len(results) == (code in _FORWARDERS)
    assert all(result.error == _error(code) for result in results)


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_of_the_node_that_was_asked_is_believed(
    pair: tuple[Bench, Bystander, Bystander], code: ErrorCode
) -> None:
    made, _, other = pair
    _ping(made, at(200))
    _answer(other, other, MessageCode.ERROR, _error(code))
    if code in (ErrorCode.CONFIG_TOO_OLD, ErrorCode.CONFIG_TOO_NEW):
        assert made.results() == []  # there is hope
        made.advance(15.0)
    (failed,) = made.results()
    assert isinstance(failed, Failed)
    assert failed.error == _error(code)
    assert failed.identity is not None
    assert failed.identity.node_id == node_id(200)


def _several(number: int) -> KeySigner:
    if number != ME:
        return enrolled(number, name=f"peer {number}")
    return KeySigner(key("node"), [issue([node_id(ME), node_id(ME + 1)])], OVERLAY)


@pytest.mark.parametrize(("make_signer", "is_believed"), [(_several, True), (enrolled, False)])
def test_the_first_hop_may_forbid_what_a_node_with_several_node_ids_sends_through_it(
    make_signer: Callable[[int], KeySigner],
    is_believed: bool,
) -> None:
    """It has to attach before (section 6.1.2); of anybody else it would be a lie about the outcome."""
    made, (one, other) = bench(10, 200, in_force=signed_in_force(no_ice=True), make_signer=make_signer)
    _ping(made, where(150), first_hop=node_id(10))
    (request,) = one.received()
    transaction = request.header.transaction_id
    other.send(MessageCode.ERROR, _error(ErrorCode.FORBIDDEN), me(), transaction=transaction, signer=make_signer(33))
    assert made.results() == []
    one.send(MessageCode.ERROR, _error(ErrorCode.FORBIDDEN), me(), transaction=transaction)
    assert len(made.results()) == is_believed


def test_an_answer_of_another_code_or_malformed_has_no_effect(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, _, other = pair
    _ping(made, at(200))
    (request,) = other.received()
    transaction = request.header.transaction_id
    for code, body in ((MessageCode.UPDATE_ANS, b""), (_ANSWER, b"\0"), (MessageCode.ERROR, b"\0")):
        other.send(code, body, me(), transaction=transaction)
    assert made.results() == []
    assert len(made.drops()) == 3


# To itself.


@pytest.mark.parametrize(
    "destination_list", [(me(),), (where(100),), (me(), where(60)), (NodeDestination(wildcard()),)]
)
def test_a_request_to_the_node_itself_needs_no_link(destination_list: tuple[Destination, ...]) -> None:
    made, _ = bench()
    _ping(made, *destination_list)
    (response,) = made.results()
    assert isinstance(response, Response)
    assert response.identity.node_id == node_id(ME)
    assert made.sent == {}
    made.advance(100)
    assert made.results() == []


def test_the_node_refuses_itself_what_it_refuses_others() -> None:
    made, _ = bench()
    made.node.perform(Send((me(),), MessageCode.EXP_A_REQ, b"body"), made.now)
    (failed,) = made.results()
    assert failed.error.error_code == ErrorCode.INVALID_MESSAGE


# What cannot be sent.


def test_a_request_that_is_larger_than_messages_may_be_fails_at_once() -> None:
    made, (one,) = bench(10, in_force=in_force(max_message_size=500))
    made.node.ping([at(10)], made.now, padding=bytes(500))
    (failed,) = made.results()
    assert isinstance(failed, Failed)
    assert failed.error is None
    assert one.received_octets() == []


def test_a_body_that_has_no_octets_is_the_callers_mistake(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    with pytest.raises(EncodeError):
        made.node.perform(Send((at(10),), _PING, PingReq(bytes(70_000))), made.now)
    assert one.received_octets() == []


@pytest.mark.parametrize("destination_list", [(), (NodeDestination(b"short"),), (where(10), at(10))])
def test_a_destination_list_that_has_no_octets_is_the_callers_mistake(
    pair: tuple[Bench, Bystander, Bystander], destination_list: tuple[Destination, ...]
) -> None:
    made, one, _ = pair
    with pytest.raises(EncodeError):
        _ping(made, *destination_list)
    made.advance(20)
    assert made.results() == []
    assert one.received_octets() == []


def test_a_malformed_body_is_refused_by_the_node_itself_too() -> None:
    made, _ = bench()
    made.node.perform(Send((me(),), _PING, b"\xff"), made.now)
    (failed,) = made.results()
    assert failed.error.error_code == ErrorCode.INVALID_MESSAGE


def test_a_node_may_say_how_long_responses_may_be() -> None:
    made, (one,) = bench(10, max_response_length=1234)
    _ping(made, at(10))
    assert one.received()[0].header.max_response_length == 1234


def test_experiments_have_bodies_of_octets(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    made.node.perform(Send((at(10),), MessageCode.EXP_A_REQ, b"body"), made.now)
    (request,) = one.received()
    assert request.contents.message_body == b"body"
    one.send(MessageCode.EXP_A_ANS, b"answer", me(), transaction=request.header.transaction_id)
    assert made.results()[0].body == b"answer"


def test_what_is_sent_decodes_and_is_signed(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    _ping(made, at(10))
    (octets,) = one.received_octets()
    message = decode_message(octets)
    assert message.contents.message_body == encode(PingReq())
    assert message.security_block.certificates == made.node.certificates
