"""The rules of RFC 6940 section 6.1, one by one."""

from collections.abc import Callable

import attrs
import pytest
from reload_identities import node_id

from reload.contents import ErrorCode, MessageCode
from reload.destinations import (
    Destination,
    NodeDestination,
    OpaqueDestination,
    ResourceDestination,
    UnknownDestination,
)
from reload.header import ForwardingHeader, ForwardingOption, OptionFlag
from reload.naming import wildcard
from reload.routing import (
    DELIVER,
    Decision,
    Drop,
    Forward,
    Reject,
    check_forward,
    check_header,
    code_of,
    keeps_state,
    message_code,
    response_destinations,
    route,
)
from reload.via_lists import ViaList

_ME, _PEER, _CLIENT, _STRANGER = node_id(1), node_id(2), node_id(150), node_id(160)
_OWN_RANGE = range(100, 200)


@attrs.define
class _Hops:
    """Responsible for 100 to 199, and sends everything else to one peer."""

    hop: bytes | None = _PEER

    def is_responsible(self, resource_id: bytes) -> bool:
        return int.from_bytes(resource_id) in _OWN_RANGE

    def next_hop(self, target: bytes, previous_hop: bytes | None = None) -> bytes | None:
        return self.hop


def _node(number_or_id: int | bytes) -> NodeDestination:
    return NodeDestination(node_id(number_or_id) if isinstance(number_or_id, int) else number_or_id)


def _resource(number: int) -> ResourceDestination:
    return ResourceDestination(node_id(number))


def _route(
    *destination_list: Destination,
    hop: bytes | None = _PEER,
    unpack: Callable[[OpaqueDestination], ViaList | None] = lambda opaque: None,
) -> Decision:
    return route(destination_list, node_id=_ME, connected={_PEER, _CLIENT}, hops=_Hops(hop), unpack=unpack)


def test_a_resource_that_is_ours_is_delivered() -> None:
    assert _route(_resource(150)) is DELIVER


def test_a_resource_of_another_goes_on() -> None:
    assert _route(_resource(7)) == Forward(_PEER, (_resource(7),))


def test_our_own_node_id_is_delivered_when_it_is_the_last() -> None:
    assert _route(_node(_ME)) is DELIVER


def test_our_own_node_id_is_taken_off_and_the_rest_is_looked_at() -> None:
    assert _route(_node(_ME), _node(7)) == Forward(_PEER, (_node(7),))
    assert _route(_node(_ME), _resource(150)) is DELIVER
    assert _route(_node(_ME), _node(_ME)) is DELIVER


def test_the_wildcard_is_delivered_even_before_others() -> None:
    assert _route(NodeDestination(wildcard())) is DELIVER
    assert _route(NodeDestination(wildcard()), _node(7)) is DELIVER
    assert _route(_node(_ME), NodeDestination(wildcard())) is DELIVER


def test_a_node_of_our_range_that_is_not_connected_is_dropped_silently() -> None:
    assert isinstance(_route(_node(_STRANGER)), Drop)
    assert isinstance(_route(_node(_STRANGER), _node(7)), Drop)


def test_a_connected_node_of_our_range_is_forwarded_to() -> None:
    assert _route(_node(_CLIENT)) == Forward(_CLIENT, (_node(_CLIENT),))


def test_a_connected_node_is_forwarded_to_before_the_routing_table_is_asked() -> None:
    other = node_id(3)
    assert _route(_node(_CLIENT), hop=other) == Forward(_CLIENT, (_node(_CLIENT),))
    assert _route(_node(_PEER), _node(7), hop=other) == Forward(_PEER, (_node(_PEER), _node(7)))


def test_a_message_with_nowhere_to_go_is_dropped() -> None:
    assert isinstance(_route(_node(7), hop=None), Drop)
    assert isinstance(_route(_resource(7), hop=None), Drop)


def test_a_next_hop_that_is_not_connected_is_none() -> None:
    assert isinstance(_route(_node(7), hop=node_id(9)), Drop)


def test_an_opaque_id_becomes_the_list_that_it_stands_for_reversed() -> None:
    saved = (_node(7), _node(8), _node(_PEER))
    opaque = OpaqueDestination(b"\x80\x01", is_compact=True)
    expected = Forward(_PEER, (_node(_PEER), _node(8), _node(7), _node(9)))
    assert _route(opaque, _node(9), unpack=lambda asked: saved) == expected
    assert _route(_node(_ME), opaque, _node(9), unpack=lambda asked: saved) == expected


def test_an_opaque_id_that_stands_for_nothing_here_is_dropped() -> None:
    assert isinstance(_route(OpaqueDestination(b"\x80\x01")), Drop)


def test_an_opaque_id_that_stands_for_itself_leads_to_no_endless_loop() -> None:
    opaque = OpaqueDestination(b"\x80\x01")
    assert isinstance(_route(opaque, unpack=lambda asked: (opaque,)), Drop)


def test_an_unknown_destination_and_an_empty_list_are_dropped() -> None:
    assert isinstance(_route(UnknownDestination(9, b"x")), Drop)
    assert isinstance(_route(), Drop)


def _header(*destination_list: Destination, **fields: object) -> ForwardingHeader:
    return ForwardingHeader(7, 1, destination_list or (_node(5),), **fields)  # type: ignore[arg-type]


def _check(header: ForwardingHeader, code: int | None = MessageCode.PING_REQ) -> Drop | Reject | None:
    return check_header(header, code, overlay=7, initial_ttl=100)


def test_a_message_of_this_overlay_may_go_on() -> None:
    assert _check(_header(ttl=100)) is None
    assert _check(_header(ttl=0)) is None


def test_another_overlay_is_incompatible() -> None:
    found = _check(attrs.evolve(_header(), overlay=8))
    assert isinstance(found, Reject)
    assert found.error_code == ErrorCode.INCOMPATIBLE_WITH_OVERLAY


def test_a_ttl_over_the_initial_one_is_rejected() -> None:
    found = _check(_header(ttl=101))
    assert isinstance(found, Reject)
    assert found.error_code == ErrorCode.TTL_EXCEEDED


def test_a_request_without_destination_is_invalid() -> None:
    found = _check(attrs.evolve(_header(), destination_list=()))
    assert isinstance(found, Reject)
    assert found.error_code == ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize(
    ("code", "times", "is_fine"),
    [
        (MessageCode.PING_REQ, 1, True),
        (MessageCode.PING_REQ, 2, False),
        (None, 2, True),  # a fragment that does not tell its code
        (None, 3, False),
        (MessageCode.PING_ANS, 2, True),  # back by the way that it came
        (MessageCode.PING_ANS, 3, False),
        (MessageCode.ERROR, 2, True),
        (MessageCode.ERROR, 3, False),
    ],
)
def test_a_destination_stands_in_a_list_once_and_in_that_of_a_response_twice(
    code: MessageCode | None, times: int, is_fine: bool
) -> None:
    destination_list = [_node(5)]
    for number in range(1, times):
        destination_list += [_node(10 + number), _node(5)]
    found = _check(_header(*destination_list), code)
    if is_fine:
        assert found is None
    else:
        assert isinstance(found, Reject)
        assert found.error_code == ErrorCode.INVALID_MESSAGE


def test_a_ttl_of_0_is_not_forwarded() -> None:
    found = check_forward(_header(ttl=0), frozenset())
    assert isinstance(found, Reject)
    assert found.error_code == ErrorCode.TTL_EXCEEDED
    assert check_forward(_header(ttl=1), frozenset()) is None


@pytest.mark.parametrize("flags", range(16))
def test_only_an_unknown_option_that_is_critical_for_forwarding_keeps_a_message_here(flags: int) -> None:
    header = _header(options=(ForwardingOption(9, flags),))
    found = check_forward(header, frozenset())
    if flags & OptionFlag.FORWARD_CRITICAL:
        assert isinstance(found, Reject)
        assert found.error_code == ErrorCode.UNSUPPORTED_FORWARDING_OPTION
    else:
        assert found is None
    assert check_forward(header, frozenset({9})) is None


def test_an_option_may_forbid_to_keep_state() -> None:
    assert keeps_state(_header())
    assert keeps_state(_header(options=(ForwardingOption(2, OptionFlag.RESPONSE_COPY),)))
    assert not keeps_state(_header(options=(ForwardingOption(2, OptionFlag.IGNORE_STATE_KEEPING),)))


def test_a_response_goes_to_the_previous_hop_and_back_along_the_via_list() -> None:
    header = _header(via_list=(_node(1), _node(2)))
    assert response_destinations(header, node_id(3)) == (_node(3), _node(2), _node(1))


def test_the_code_of_a_message_is_read_where_it_is() -> None:
    header = _header()
    assert message_code(b"..\x00\x17", header, 2) == MessageCode.PING_REQ
    assert message_code(b"..\x00", header, 2) is None
    assert message_code(b"..\x00\x17", attrs.evolve(header, fragment=0x80000100), 2) is None


def test_the_code_of_octets_that_are_no_message_is_none() -> None:
    assert code_of(b"") is None
    assert code_of(bytes(38)) is None
    assert code_of(bytes(38) + b"\x00\x17") == MessageCode.PING_REQ
    assert code_of(bytes(32) + b"\x00\x01\x00\x02\x00\x03" + bytes(6) + b"\x00\x17") == MessageCode.PING_REQ
    assert code_of(bytes(12) + b"\x80\x00\x01\x00" + bytes(40)) is None
