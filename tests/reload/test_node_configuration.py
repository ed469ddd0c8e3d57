"""Configurations and Kinds between nodes (RFC 6940 sections 6.3.2.1, 6.5.4, 7.4.1.2 and 11.1)."""

from typing import Any

import attrs
import pytest
from reload_bystander import Bench, Bystander, at, bench, error_of, me
from reload_configurations import PRIVATE, document, kind_signer
from reload_configurations import in_force as real_in_force
from reload_identities import ALICE, NOW, enrolled, node_id
from reload_overlay import MemoryOverlay, MeshTopology, connect_all, node

from reload._presentation import decode, encode
from reload.configuration import CHORD_SELF_TUNING, Configuration
from reload.configuration_update import InForce
from reload.configuration_writer import write_kind_block
from reload.contents import ErrorCode, ErrorResponse, MessageCode, UnknownKinds
from reload.errors import StateError
from reload.events import ConfigurationChanged, ConfigurationWanted, LinkUnwanted
from reload.exchange import Response
from reload.forwarding import fragment
from reload.header import ANY_CONFIGURATION
from reload.kinds import AccessControl, Kind
from reload.message import Message, decode_body
from reload.methods import ConfigUpdateReq, ConfigUpdateType, PingAns, PingReq
from reload.naming import resource_id
from reload.operations import Failed, Fetch, NewValue, Store, Stored, Wanted
from reload.storage_messages import DataModel, DataValue, SingleSpecifier
from reload.topology import Left

_PING, _CONFIG = MessageCode.PING_REQ, MessageCode.CONFIG_UPDATE_REQ
_KIND = Kind(0xF0000077, DataModel.SINGLE, AccessControl.USER_MATCH, 1, 100)


def _in_force(**fields: Any) -> InForce:
    return real_in_force([PRIVATE], no_ice=True, **fields)


def _document(sequence: int, kinds: tuple[Kind, ...] = (PRIVATE,), **fields: Any) -> bytes:
    return document(kinds, sequence=sequence, no_ice=True, **fields)


def _update(octets: bytes) -> ConfigUpdateReq:
    return ConfigUpdateReq(ConfigUpdateType.CONFIG, octets)


def _sequence(made: Bench) -> int:
    return made.node.in_force.configuration.sequence


def _told(made: Bench, kind: type) -> list[Any]:
    made.collect()
    return [event for event in made.events if isinstance(event, kind)]


@pytest.fixture
def pair() -> tuple[Bench, Bystander, Bystander]:
    made, (one, other) = bench(10, 200, in_force=_in_force(), make_signer=enrolled)
    return made, one, other


def _split(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """ConfigUpdates, and all others."""
    updates = [message for message in messages if message.contents.message_code == _CONFIG]
    return updates, [message for message in messages if message not in updates]


# What a destination checks.


def test_a_request_with_an_older_sequence_gets_an_error_and_one_config_update(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    made, one, _ = pair
    for number, expected in ((1, 1), (2, 0)):
        updates, (refused,) = _split(one.send(_PING, PingReq(), transaction=number, configuration_sequence=21))
        assert error_of(refused) == ErrorCode.CONFIG_TOO_OLD
        assert len(updates) == expected
        for update in updates:
            assert update.header.configuration_sequence == ANY_CONFIGURATION
            assert update.header.destination_list == (at(10),)
            assert decode_body(update.contents).data == made.node.in_force.configuration.document


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (MessageCode.CONFIG_UPDATE_ANS, b""),
        (MessageCode.ERROR, ErrorResponse(ErrorCode.INVALID_MESSAGE, b"it will not be better")),
    ],
)
def test_a_config_update_that_was_not_answered_is_sent_again_when_it_is_wanted_again(
    pair: tuple[Bench, Bystander, Bystander], code: MessageCode, body: Any
) -> None:
    made, one, _ = pair
    one.send(_PING, PingReq(), transaction=1, configuration_sequence=21)
    made.advance(15.0)
    assert len(_split(one.received())[0]) == 4
    updates, _ = _split(one.send(_PING, PingReq(), transaction=2, configuration_sequence=21))
    (update,) = updates
    one.send(code, body, me(), transaction=update.header.transaction_id)
    updates, _ = _split(one.send(_PING, PingReq(), transaction=3, configuration_sequence=21))
    assert updates == []


def test_a_config_update_goes_back_the_way_that_the_request_came(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    requester = enrolled(1)
    updates, _ = _split(one.send(_PING, PingReq(), via_list=(at(1),), configuration_sequence=21, signer=requester))
    (update,) = updates
    assert update.header.destination_list == (at(10), at(1))
    transaction = update.header.transaction_id
    one.send(MessageCode.CONFIG_UPDATE_ANS, b"", me(), transaction=transaction, signer=requester)
    assert made.drops() == []


def test_a_request_with_a_newer_sequence_gets_an_error_alone(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, _ = pair
    (refused,) = one.send(_PING, PingReq(), configuration_sequence=23)
    assert error_of(refused) == ErrorCode.CONFIG_TOO_NEW


def test_a_request_is_good_again_once_its_sequence_is(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, _ = pair
    (refused,) = one.send(_PING, PingReq(), configuration_sequence=23)
    assert error_of(refused) == ErrorCode.CONFIG_TOO_NEW
    (answer,) = one.send(_PING, PingReq())
    assert answer.contents.message_code == MessageCode.PING_ANS


def test_the_sequence_of_a_response_and_of_what_is_forwarded_does_not_matter(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    made, one, other = pair
    one.send(_PING, PingReq(), at(200), configuration_sequence=3)
    assert len(other.received()) == 1
    made.node.ping([at(10)], made.now)
    (request,) = one.received()
    transaction = request.header.transaction_id
    one.send(MessageCode.PING_ANS, PingAns(1, 2), me(), transaction=transaction, configuration_sequence=3)
    assert isinstance(made.results()[0], Response)


# Config updates.


def test_a_newer_configuration_is_followed_answered_and_passed_on_to_all_others(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    made, one, other = pair
    update = _update(_document(23, initial_ttl=40))
    (answer,) = one.send(_CONFIG, update, configuration_sequence=ANY_CONFIGURATION)
    assert answer.contents.message_code == MessageCode.CONFIG_UPDATE_ANS
    assert _sequence(made) == 23
    assert _told(made, ConfigurationChanged) == [ConfigurationChanged(23, False)]
    (onwards,) = other.received()
    assert decode_body(onwards.contents) == update
    (refused,) = one.send(_PING, PingReq(), transaction=2, ttl=41)
    assert error_of(refused) == ErrorCode.TTL_EXCEEDED


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (_document(22), ErrorCode.CONFIG_TOO_OLD),
        (_document(21), ErrorCode.CONFIG_TOO_OLD),
        (document([PRIVATE], sequence=23, signer=enrolled(9)), ErrorCode.FORBIDDEN),
        (b"<overlay/>", ErrorCode.INVALID_MESSAGE),
    ],
)
def test_other_configurations_are_refused(
    pair: tuple[Bench, Bystander, Bystander], octets: bytes, code: ErrorCode
) -> None:
    made, one, other = pair
    (refused,) = one.send(_CONFIG, _update(octets))
    assert error_of(refused) == code
    assert _sequence(made) == 22
    assert other.received() == []


def test_a_kind_that_is_signed_by_a_kind_signer_is_known_then(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, other = pair
    body = ConfigUpdateReq(ConfigUpdateType.KIND, (write_kind_block(_KIND, kind_signer()),))
    (answer,) = one.send(_CONFIG, body)
    assert answer.contents.message_code == MessageCode.CONFIG_UPDATE_ANS
    assert made.node.in_force.kinds[_KIND.id].data_model == _KIND.data_model
    assert _told(made, ConfigurationChanged) == []
    assert other.received() == []
    body = ConfigUpdateReq(ConfigUpdateType.KIND, (write_kind_block(attrs.evolve(_KIND, id=_KIND.id + 1)),))
    (refused,) = one.send(_CONFIG, body, transaction=2)
    assert error_of(refused) == ErrorCode.FORBIDDEN


def test_a_kind_that_comes_again_is_no_reason_to_forget_fragments(pair: tuple[Bench, Bystander, Bystander]) -> None:
    _, one, other = pair
    parts = fragment(other.octets(_PING, PingReq(bytes(1000)), transaction=7), 700)
    for part in parts[:-1]:
        assert other.send_octets(part) == []
    one.send(_CONFIG, ConfigUpdateReq(ConfigUpdateType.KIND, (write_kind_block(_KIND, kind_signer()),)))
    (answer,) = other.send_octets(parts[-1])
    assert answer.contents.message_code == MessageCode.PING_ANS


def test_a_user_may_update_the_configuration(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, other = pair
    made.node.update_configuration(_document(23), made.now)
    assert _sequence(made) == 23
    for each in (one, other):
        (update,) = each.received()
        assert update.contents.message_code == _CONFIG
    with pytest.raises(StateError):
        made.node.update_configuration(_document(23), made.now)
    with pytest.raises(StateError):
        made.node.update_configuration(b"nothing", made.now)
    assert one.received() == []


def test_links_to_nodes_that_are_revoked_are_closed_and_their_messages_dropped() -> None:
    made, (one, other) = bench(10, 30, in_force=_in_force(), make_signer=enrolled)
    one.send(_CONFIG, _update(_document(23, bad_nodes=(node_id(30),))))
    assert made.closed() == [other.link]
    assert len(one.send(_PING, PingReq(), transaction=2, configuration_sequence=23)) == 1
    assert one.send(_PING, PingReq(), transaction=3, configuration_sequence=23, signer=enrolled(30)) == []


@pytest.mark.parametrize("field", ["must_rejoin", "obstacle"])
def test_a_node_leaves_for_a_configuration_that_wants_it_to(
    pair: tuple[Bench, Bystander, Bystander], field: str
) -> None:
    made, one, other = pair
    if field == "must_rejoin":
        octets = _document(23, topology_plugin=CHORD_SELF_TUNING)
    else:
        octets = _document(23, mandatory_extensions=("urn:of:the:future",))
    (answer,) = one.send(_CONFIG, _update(octets))
    assert answer.contents.message_code == MessageCode.CONFIG_UPDATE_ANS
    (changed,) = _told(made, ConfigurationChanged)
    assert changed.must_rejoin is (field == "must_rejoin")
    assert bool(changed.obstacles) is (field == "obstacle")
    assert _told(made, Left) == [Left()]
    assert {event.link for event in _told(made, LinkUnwanted)} == {one.link, other.link}
    assert made.topology.is_joined is False


def test_a_client_leaves_for_a_configuration_that_permits_none() -> None:
    made, (one,) = bench(10, in_force=_in_force(), make_signer=enrolled, is_client=True)
    one.send(_CONFIG, _update(_document(23, clients_permitted=False)))
    (changed,) = _told(made, ConfigurationChanged)
    assert len(changed.obstacles) == 1
    assert _told(made, Left) == [Left()]
    assert [event.link for event in _told(made, LinkUnwanted)] == [one.link]


def test_a_node_that_is_no_peer_leaves_all_the_same() -> None:
    class Stubborn(MeshTopology):
        def leave(self, now: float) -> None:
            raise StateError("no peer")

    made, (one,) = bench(10, in_force=_in_force(), make_signer=enrolled, make_topology=Stubborn, is_joined=False)
    one.send(_CONFIG, _update(_document(23, mandatory_extensions=("urn:of:the:future",))))
    assert made.closed() == [one.link]


# What a requester does about errors.


def _nodes(*sequences: int) -> tuple[MemoryOverlay, list[Any]]:
    overlay = MemoryOverlay()
    hosts = [
        overlay.add(number, in_force=_in_force(sequence=sequence), signer=enrolled(number))
        for number, sequence in enumerate(sequences, 1)
    ]
    connect_all(overlay, hosts)
    return overlay, hosts


def test_a_requester_whose_configuration_is_old_gets_the_new_one_and_its_answer() -> None:
    overlay, (one, other) = _nodes(22, 23)
    handle = one.node.ping([node(2)], overlay.now)
    overlay.settle(0.5)
    assert isinstance(one.result(handle), Response)
    assert one.node.in_force.configuration.sequence == 23
    assert other.of(ConfigurationChanged) == []


def test_an_answerer_whose_configuration_is_old_gets_the_new_one_and_answers() -> None:
    overlay, (one, other) = _nodes(23, 22)
    handle = one.node.ping([node(2)], overlay.now)
    overlay.settle(0.5)
    assert isinstance(one.result(handle), Response)
    assert other.node.in_force.configuration.sequence == 23


def test_a_configuration_reaches_all_nodes_and_there_is_an_end_to_it() -> None:
    overlay, hosts = _nodes(*[22] * 6)
    hosts[0].node.update_configuration(_document(23), overlay.now)
    overlay.settle(20)
    assert {host.node.in_force.configuration.sequence for host in hosts} == {23}
    count = len(overlay.sent)
    overlay.settle(100)
    assert len(overlay.sent) == count


def test_a_request_that_finds_no_common_configuration_fails_with_the_error(
    pair: tuple[Bench, Bystander, Bystander],
) -> None:
    made, one, _ = pair
    made.node.ping([at(10)], made.now)
    (request,) = one.received()
    refusal = ErrorResponse(ErrorCode.CONFIG_TOO_OLD, b"")
    one.send(MessageCode.ERROR, refusal, me(), transaction=request.header.transaction_id)
    made.advance(15)
    (failed,) = made.results()
    assert isinstance(failed, Failed)
    assert failed.error == refusal


def test_a_node_that_does_not_know_a_kind_is_told_what_it_is() -> None:
    overlay = MemoryOverlay()
    one = overlay.add(1, in_force=real_in_force([PRIVATE, _KIND], no_ice=True), signer=enrolled(1))
    other = overlay.add(2, in_force=_in_force(), signer=enrolled(2))
    connect_all(overlay, [one, other])
    where = node_id(2)
    handle = one.node.perform(Fetch(where, (Wanted(_KIND.id, SingleSpecifier()),)), overlay.now)
    overlay.settle()
    failed = one.result(handle)
    assert isinstance(failed, Failed)
    assert failed.error is not None
    assert failed.error.error_code == ErrorCode.UNKNOWN_KIND
    assert _KIND.id in other.node.in_force.kinds
    handle = one.node.perform(Fetch(where, (Wanted(_KIND.id, SingleSpecifier()),)), overlay.now)
    overlay.settle()
    assert not isinstance(one.result(handle), Failed)


@pytest.mark.parametrize("info", [encode(UnknownKinds((PRIVATE.id + 5,))), b"", b"\xff"])
def test_a_kind_that_is_not_known_here_either_cannot_be_told(
    pair: tuple[Bench, Bystander, Bystander], info: bytes
) -> None:
    made, one, _ = pair
    made.node.ping([at(10)], made.now)
    (request,) = one.received()
    error = ErrorResponse(ErrorCode.UNKNOWN_KIND, info)
    assert one.send(MessageCode.ERROR, error, me(), transaction=request.header.transaction_id) == []
    assert made.results()[0].error == error


def test_a_kind_that_is_known_is_told_by_the_way_of_the_request(pair: tuple[Bench, Bystander, Bystander]) -> None:
    made, one, _ = pair
    made.node.ping([at(10), at(3)], made.now)
    (request,) = one.received()
    error = ErrorResponse(ErrorCode.UNKNOWN_KIND, encode(UnknownKinds((PRIVATE.id, 0xF0001234))))
    (update,) = one.send(MessageCode.ERROR, error, me(), transaction=request.header.transaction_id, signer=enrolled(3))
    assert update.header.destination_list == (at(10), at(3))
    body = decode(ConfigUpdateReq, update.contents.message_body)
    assert body.type == ConfigUpdateType.KIND
    assert body.data == (made.node.in_force.kinds[PRIVATE.id].block,)


# Dropped Kinds and expiry.


def test_values_of_a_kind_that_is_gone_are_gone() -> None:
    overlay, (one, other) = _nodes(22, 22)
    where = resource_id(ALICE.encode())
    handle = one.node.perform(Store(where, (NewValue(PRIVATE.id, DataValue(True, b"x"), 1000),)), overlay.now)
    overlay.settle()
    assert isinstance(one.result(handle), Stored)
    holder = next(host for host in (one, other) if len(host.node.storage))
    holder.node.update_configuration(_document(23, kinds=()), overlay.now)
    assert len(holder.node.storage) == 0


def test_a_learned_kind_whose_signer_may_sign_no_more_is_gone_with_its_values() -> None:
    overlay, (one, other) = _nodes(22, 22)
    body = ConfigUpdateReq(ConfigUpdateType.KIND, (write_kind_block(_KIND, kind_signer()),))
    one.topology.overlay.request((node(2),), _CONFIG, body, overlay.now)
    one.topology.overlay.request((node(1),), _CONFIG, body, overlay.now)
    one.node.handle_timer(overlay.now)
    overlay.settle()
    where = resource_id(ALICE.encode())
    handle = one.node.perform(Store(where, (NewValue(_KIND.id, DataValue(True, b"x"), 1000),)), overlay.now)
    overlay.settle()
    assert isinstance(one.result(handle), Stored)
    holder = next(host for host in (one, other) if len(host.node.storage))
    holder.node.update_configuration(_document(23, kinds=(), kind_signers=(node_id(7),)), overlay.now)
    assert len(holder.node.storage) == 0
    assert _KIND.id not in holder.node.in_force.kinds


def _expiring(seconds: float) -> tuple[Bench, Configuration]:
    made, _ = bench(in_force=_in_force(expiration=NOW + seconds), make_signer=enrolled, is_joined=False)
    return made, made.node.in_force.configuration


def test_a_new_configuration_is_wanted_at_a_time_by_chance_before_the_old_one_expires_and_then_hourly() -> None:
    made, _ = _expiring(1000)
    made.advance(500)
    assert _told(made, ConfigurationWanted) == []
    made.advance(499)
    assert _told(made, ConfigurationWanted) == [ConfigurationWanted(22, False)]
    made.advance(1)
    assert _told(made, ConfigurationWanted)[1:] == [ConfigurationWanted(22, True)]
    made.advance(3599)
    assert len(_told(made, ConfigurationWanted)) == 2
    made.advance(1)
    assert len(_told(made, ConfigurationWanted)) == 3


def test_a_new_configuration_sets_a_new_time() -> None:
    made, _ = _expiring(1000)
    made.node.update_configuration(_document(23, expiration=NOW + 100_000), made.now)
    made.advance(40_000)
    assert _told(made, ConfigurationWanted) == []


def test_a_node_joins_no_overlay_whose_configuration_has_expired() -> None:
    made, _ = _expiring(1000)
    made.now = 1000.0
    with pytest.raises(StateError):
        made.node.start(made.now)
    link = Bystander(made, 10, signer=enrolled(10)).link
    with pytest.raises(StateError):
        made.node.join(link, made.now)
    assert made.topology.is_joined is False
