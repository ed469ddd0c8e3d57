"""Diagnostics at a node that is asked, and at one on the way (RFC 7851)."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_diagnosed import EPOCH, HandMadeHost, Told, access, forwarded, identity, node

from reload._presentation import decode, encode
from reload.configuration_extensions import DIAGNOSTICS
from reload.contents import ErrorCode, ErrorResponse, ExtensionType, MessageCode, MessageContents, MessageExtension
from reload.destinations import Destination, NodeDestination, OpaqueDestination, ResourceDestination
from reload.diagnostic_information import InstancesStored, MessagesSentRcvd, decode_information
from reload.exchange import Answer, Request
from reload.extensions import (
    DiagnosticExtension,
    DiagnosticInfo,
    DiagnosticKind,
    DiagnosticsRequest,
    DiagnosticsResponse,
    PathTrackAns,
    PathTrackReq,
)
from reload.header import ForwardingHeader
from reload.kinds import Extension
from reload.methods import PingReq, ProbeReq
from reload.node_ports import Forwarded, Host, Service, Transit
from reload.usages.diagnostic_rules import EVERYTHING, dmflags, make_request, ping_extension
from reload.usages.diagnostics import FORWARDED_LIFETIME, INFORMATION_AT_ONCE, MAX_FORWARDED, Diagnostics, upstream_of

ADMIN, OTHER, SELF, NEXT, BEFORE = map(node, (1, 2, 3, 4, 5))
TARGET = ResourceDestination(node(0xFFFF))
ALL_KINDS = dict.fromkeys((*map(int, DiagnosticKind), 0xF000, 0x20), (ADMIN,))


def diagnosed(
    extensions: tuple[Extension, ...] | None = None, source: Told | None = None
) -> tuple[Diagnostics, HandMadeHost]:
    host = HandMadeHost(SELF, access(ALL_KINDS) if extensions is None else extensions)
    diagnostics = Diagnostics(source)
    diagnostics.bind(host)
    host.hops[TARGET] = NEXT
    return diagnostics, host


def request(
    code: int, body: object, sender: bytes = ADMIN, *, extensions: tuple[MessageExtension, ...] = (), ttl: int = 93
) -> Request:
    header = ForwardingHeader(1, 7, (NodeDestination(SELF),), ttl=ttl)
    return Request(code, body, identity(sender), header, 1, BEFORE, extensions=extensions)


def track(
    asked: DiagnosticsRequest, sender: bytes = ADMIN, *, destination: Destination = TARGET, ttl: int = 93
) -> Request:
    return request(MessageCode.PATH_TRACK_REQ, PathTrackReq(destination, asked), sender, ttl=ttl)


def ping(asked: DiagnosticsRequest, sender: bytes = ADMIN, *, ttl: int = 93) -> Request:
    return request(MessageCode.PING_REQ, PingReq(), sender, extensions=(ping_extension(asked),), ttl=ttl)


def asking(*kinds: int, wall: float = EPOCH, lifetime: float = 60) -> DiagnosticsRequest:
    return make_request(wall, lifetime, dmflags(*kinds))


def made_wrong(flags: int, *listed: DiagnosticExtension) -> DiagnosticsRequest:
    """A request that is not checked as it is made."""
    return DiagnosticsRequest(round((EPOCH + 60) * 1000), round(EPOCH * 1000), flags, listed)


def tracked(reply: object) -> PathTrackAns:
    assert isinstance(reply, Answer)
    assert isinstance(reply.body, PathTrackAns)
    return reply.body


def code(reply: object) -> int:
    assert isinstance(reply, ErrorResponse)
    return reply.error_code


def information(response: DiagnosticsResponse) -> dict[int, object]:
    return {
        info.kind: decode_information(info.kind, info.diagnostic_info_contents)
        for info in response.diagnostic_info_list
    }


def pinged(diagnostics: Diagnostics, asked: Request, now: float) -> DiagnosticsResponse:
    found = diagnostics.extend_ping(asked, now)
    assert isinstance(found, tuple)
    (extension,) = found
    assert (extension.type, extension.critical) == (ExtensionType.DIAGNOSTIC_PING, False)
    return decode(DiagnosticsResponse, extension.extension_contents)


def test_it_fits_the_ports_of_a_node() -> None:
    service: Service = Diagnostics()
    transit: Transit = Diagnostics()
    host: Host = HandMadeHost(SELF)
    assert service.message_codes == {0x27}
    assert service.extension_types == {2}
    assert transit.transit_codes == {0x17, 0x27, 0x28}
    assert host.node_id == SELF


# Answers (section 6.3).
def test_a_path_track_names_the_next_hop() -> None:
    diagnostics, _ = diagnosed()
    answer = tracked(diagnostics.on_request(track(asking()), 1.0))
    assert answer.next_hop == NodeDestination(NEXT)
    assert answer.response.diagnostic_info_list == ()


def test_the_responsible_peer_names_itself() -> None:
    diagnostics, host = diagnosed()
    host.hops.clear()
    assert tracked(diagnostics.on_request(track(asking()), 1.0)).next_hop == NodeDestination(SELF)


@pytest.mark.parametrize("ttl", [0, 1, 93, 255])
def test_the_hop_counter_is_the_ttl_that_the_request_came_with(ttl: int) -> None:
    diagnostics, _ = diagnosed()
    assert tracked(diagnostics.on_request(track(asking(), ttl=ttl), 1.0)).response.hop_counter == ttl
    assert pinged(diagnostics, ping(asking(), ttl=ttl), 1.0).hop_counter == ttl


def test_the_response_has_the_times_of_the_request_of_now_and_of_a_new_expiration() -> None:
    diagnostics, _ = diagnosed()
    asked = asking(wall=EPOCH + 10, lifetime=600)
    for response in (
        tracked(diagnostics.on_request(track(asked), 12.25)).response,
        pinged(diagnostics, ping(asked), 12.25),
    ):
        assert response.timestamp_initiated == asked.timestamp_initiated == (int(EPOCH) + 10) * 1000
        assert response.timestamp_received == int(EPOCH) * 1000 + 12250
        assert 1000 <= response.expiration - response.timestamp_received <= 600_000
        assert response.expiration != asked.expiration


def test_a_node_tells_what_it_knows_itself() -> None:
    diagnostics, host = diagnosed()
    assert host.traffic is not None
    host.traffic.on_sent(23, 500, 1.0)
    host.traffic.on_received(24, 1500, 1.0)
    asked = asking(2, 8, 0xA, 0xB, 0xC, 0xD, 0xE)
    response = tracked(diagnostics.on_request(track(asked), 8.0)).response
    assert information(response) == {
        2: 17,
        8: 8,
        0xA: 4096,
        0xB: (InstancesStored(1, 2), InstancesStored(0x104, 3)),
        0xC: (MessagesSentRcvd(23, 1, 0), MessagesSentRcvd(24, 0, 1)),
        0xD: 100,
        0xE: 300,
    }
    assert [info.kind for info in response.diagnostic_info_list] == [2, 8, 0xA, 0xB, 0xC, 0xD, 0xE]
    assert information(pinged(diagnostics, ping(asked), 8.0)) == information(response)


def test_a_node_that_counts_nothing_tells_no_counts() -> None:
    diagnostics, host = diagnosed()
    host.traffic = None
    assert set(information(tracked(diagnostics.on_request(track(asking(2, 0xC, 0xD, 0xE)), 8.0)).response)) == {2}


def test_the_application_tells_the_rest_and_is_believed_first() -> None:
    source = Told({1: 9, 3: 1000, 6: "x/1.0", 8: 77, 0xF: 3, 0x10: 0x80, 0x20: b"new", 0xF000: b"local"})
    diagnostics, _ = diagnosed(source=source)
    flags = dmflags(1, 3, 4, 6, 8, 0xF, 0x10, 0x20)
    asked = make_request(EPOCH, 60, flags, [DiagnosticExtension(0xF000, b"ask")])
    found = information(tracked(diagnostics.on_request(track(asked), 8.0)).response)
    assert found == {1: 9, 3: 1000, 6: "x/1.0", 8: 77, 0xF: 3, 0x10: 0x80, 0x20: b"new", 0xF000: b"local"}
    assert (0xF, b"", NEXT) in source.asked
    assert (0xF000, b"ask", NEXT) in source.asked


def test_all_ones_ask_for_all_base_kinds() -> None:
    source = Told({1: 1})
    diagnostics, _ = diagnosed(source=source)
    asked = make_request(EPOCH, 60, EVERYTHING)
    found = information(tracked(diagnostics.on_request(track(asked), 8.0)).response)
    assert set(found) == {1, 2, 8, 0xA, 0xB, 0xC, 0xD, 0xE}
    assert [kind for kind, _, _ in source.asked] == list(range(1, 0x11))


def test_status_info_has_four_bits() -> None:
    diagnostics, _ = diagnosed(source=Told({1: 0xF7}))
    assert information(tracked(diagnostics.on_request(track(asking(1)), 1.0)).response) == {1: 7}


def test_a_value_of_the_application_that_has_no_octets_is_left_out() -> None:
    diagnostics, _ = diagnosed(source=Told({3: -1, 6: "no\0", 0xF: 300, 4: 5}))
    assert information(tracked(diagnostics.on_request(track(asking(3, 4, 6, 0xF)), 1.0)).response) == {4: 5}


def test_a_ping_without_the_extension_stays_plain() -> None:
    diagnostics, _ = diagnosed()
    other = MessageExtension(0x4000, False, b"")
    assert diagnostics.extend_ping(request(MessageCode.PING_REQ, PingReq(), extensions=(other,)), 1.0) == ()


# Who may ask (section 7).
def test_nobody_may_have_anything_by_default() -> None:
    diagnostics, _ = diagnosed(())
    assert code(diagnostics.on_request(track(asking(1)), 1.0)) == ErrorCode.FORBIDDEN
    assert code(diagnostics.extend_ping(ping(asking(1)), 1.0)) == ErrorCode.FORBIDDEN
    assert tracked(diagnostics.on_request(track(asking()), 1.0)).next_hop == NodeDestination(NEXT)


def test_each_kind_is_for_those_whom_the_configuration_names() -> None:
    """The example of section 7: A for the nodes 1 and 2, B for node 2 alone."""
    source = Told({1: 5, 3: 6})
    diagnostics, _ = diagnosed(access({1: [ADMIN, OTHER], 3: [OTHER]}), source)
    assert information(tracked(diagnostics.on_request(track(asking(1), ADMIN), 1.0)).response) == {1: 5}
    assert information(tracked(diagnostics.on_request(track(asking(1, 3), OTHER), 1.0)).response) == {1: 5, 3: 6}
    source.asked.clear()
    assert code(diagnostics.on_request(track(asking(1, 3), ADMIN), 1.0)) == ErrorCode.FORBIDDEN
    assert code(diagnostics.extend_ping(ping(make_request(EPOCH, 60, EVERYTHING), OTHER), 1.0)) == ErrorCode.FORBIDDEN
    assert source.asked == []


def test_another_configuration_is_followed_at_once() -> None:
    diagnostics, host = diagnosed()
    assert information(tracked(diagnostics.on_request(track(asking(2)), 1.0)).response) == {2: 17}
    host.configuration = attrs.evolve(host.configuration, extensions=())
    assert code(diagnostics.on_request(track(asking(2)), 1.0)) == ErrorCode.FORBIDDEN


def test_a_configuration_that_cannot_be_read_allows_nothing() -> None:
    bad = Extension(DIAGNOSTICS, "diagnostic-kind", {"kind": "what"})
    diagnostics, _ = diagnosed((*access({2: [ADMIN]}), bad))
    assert code(diagnostics.on_request(track(asking(2)), 1.0)) == ErrorCode.FORBIDDEN


def test_very_many_requests_get_the_next_hop_and_no_information() -> None:
    source = Told({1: 5})
    diagnostics, _ = diagnosed(source=source)
    responses = [tracked(diagnostics.on_request(track(asking(1)), 1.0)).response for _ in range(1000)]
    assert len(source.asked) <= INFORMATION_AT_ONCE + 1
    assert responses[0].diagnostic_info_list
    assert responses[-1].diagnostic_info_list == ()
    assert tracked(diagnostics.on_request(track(asking(1)), 2.0)).response.diagnostic_info_list


# Requests that are at fault (sections 5.1, 5.3, 6.3).
@pytest.mark.parametrize(
    ("initiated", "expiration", "error"),
    [
        (0, 60, None),
        (0, 1, ErrorCode.MESSAGE_EXPIRED),
        (0, 10, ErrorCode.MESSAGE_EXPIRED),
        (0, 10.001, None),
        (-590, 10.001, ErrorCode.INVALID_MESSAGE),
        (-589, 10.001, None),
        (0, 601, ErrorCode.INVALID_MESSAGE),
        (14, 614, None),
        (16, 616, ErrorCode.INVALID_MESSAGE),
        (59.5, 60, ErrorCode.INVALID_MESSAGE),
        (70, 60, ErrorCode.INVALID_MESSAGE),
    ],
)
def test_a_request_expires_1_to_600_seconds_after_it_was_made(
    initiated: float, expiration: float, error: ErrorCode | None
) -> None:
    """It is the tenth second; clocks may differ by five."""
    diagnostics, _ = diagnosed()
    asked = DiagnosticsRequest(round((EPOCH + expiration) * 1000), round((EPOCH + initiated) * 1000), 0)
    reply = diagnostics.on_request(track(asked), 10.0)
    extended = diagnostics.extend_ping(ping(asked), 10.0)
    if error is None:
        assert tracked(reply).response.timestamp_initiated == asked.timestamp_initiated
        assert isinstance(extended, tuple)
    else:
        assert code(reply) == code(extended) == error


@pytest.mark.parametrize("flags", [1, 1 << 63, 1 | 1 << 63, EVERYTHING - 1, EVERYTHING >> 1])
def test_the_first_and_the_last_bit_are_reserved(flags: int) -> None:
    diagnostics, _ = diagnosed()
    asked = made_wrong(flags)
    assert code(diagnostics.on_request(track(asked), 1.0)) == ErrorCode.INVALID_MESSAGE
    assert code(diagnostics.extend_ping(ping(asked), 1.0)) == ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize("kinds", [[0], [1], [0x3F], [0xF000, 0xF000]])
def test_kinds_that_have_a_bit_do_not_stand_in_the_list_and_none_stands_there_twice(kinds: list[int]) -> None:
    diagnostics, _ = diagnosed()
    asked = made_wrong(0, *[DiagnosticExtension(kind, b"") for kind in kinds])
    assert code(diagnostics.on_request(track(asked), 1.0)) == ErrorCode.INVALID_MESSAGE


def test_unknown_kinds_are_nobodys() -> None:
    diagnostics, _ = diagnosed()
    for asked in (make_request(EPOCH, 60, 0, [DiagnosticExtension(0x1234, b"")]), asking(0x30)):
        assert code(diagnostics.on_request(track(asked), 1.0)) == ErrorCode.FORBIDDEN


@given(st.binary(max_size=60))
def test_any_octets_in_the_extension_are_answered(octets: bytes) -> None:
    diagnostics, _ = diagnosed()
    extension = MessageExtension(ExtensionType.DIAGNOSTIC_PING, False, octets)
    found = diagnostics.extend_ping(request(MessageCode.PING_REQ, PingReq(), extensions=(extension,)), 1.0)
    assert isinstance(found, ErrorResponse | tuple)


@given(st.integers(0, EVERYTHING), st.integers(0, EVERYTHING), st.integers(0, EVERYTHING), st.integers(0, 0xFFFF))
def test_any_request_is_answered(expiration: int, initiated: int, flags: int, kind: int) -> None:
    diagnostics, _ = diagnosed()
    asked = DiagnosticsRequest(expiration, initiated, flags, (DiagnosticExtension(kind, b""),))
    for destination in (TARGET, NodeDestination(b"\xff" * 16), OpaqueDestination(b"x")):
        assert isinstance(diagnostics.on_request(track(asked, destination=destination), 1.0), ErrorResponse | Answer)


# On the way (section 6.2).
def ping_contents(asked: DiagnosticsRequest, message_code: int = MessageCode.PING_REQ) -> MessageContents:
    body = encode(PingReq(b"padding")) if message_code == MessageCode.PING_REQ else encode(ProbeReq((1,)))
    return MessageContents(message_code, body, (ping_extension(asked),))


def track_contents(asked: DiagnosticsRequest) -> MessageContents:
    return MessageContents(MessageCode.PATH_TRACK_REQ, encode(PathTrackReq(TARGET, asked)))


def answer_contents(expiration: int) -> MessageContents:
    response = DiagnosticsResponse(expiration, 1, 2, 3, (DiagnosticInfo(1, b"\1"),))
    return MessageContents(MessageCode.PATH_TRACK_ANS, encode(PathTrackAns(NodeDestination(NEXT), response)))


BOTH = pytest.mark.parametrize("contents", [ping_contents(asking()), track_contents(asking())], ids=["ping", "track"])


def passing(contents: MessageContents, *, ttl: int = 97, via_list: tuple[Destination, ...] = ()) -> Forwarded:
    return forwarded(contents, previous_hop=BEFORE, next_hop=NEXT, ttl=ttl, via_list=via_list)


@BOTH
def test_what_is_in_order_goes_on(contents: MessageContents) -> None:
    diagnostics, _ = diagnosed()
    via: tuple[Destination, ...] = (NodeDestination(ADMIN), OpaqueDestination(b"x"), OpaqueDestination(b"x"))
    assert diagnostics.on_forward(passing(contents, via_list=via), 1.0) is None


@BOTH
def test_what_has_expired_goes_no_further(contents: MessageContents) -> None:
    diagnostics, _ = diagnosed()
    assert diagnostics.on_forward(passing(contents), 59.9) is None
    assert code(diagnostics.on_forward(passing(contents), 60.0)) == ErrorCode.MESSAGE_EXPIRED


def test_an_answer_to_a_path_track_expires_as_well() -> None:
    diagnostics, _ = diagnosed()
    answer = answer_contents(round(EPOCH * 1000) + 5000)
    assert diagnostics.on_forward(passing(answer, ttl=0), 4.0) is None
    assert code(diagnostics.on_forward(passing(answer), 5.0)) == ErrorCode.MESSAGE_EXPIRED


@BOTH
def test_a_diagnostic_request_whose_hops_are_used_up_has_an_error_of_its_own(contents: MessageContents) -> None:
    diagnostics, _ = diagnosed()
    assert code(diagnostics.on_forward(passing(contents, ttl=0), 1.0)) == ErrorCode.TTL_HOPS_EXCEEDED
    assert diagnostics.on_forward(passing(contents, ttl=1), 1.0) is None


@BOTH
@pytest.mark.parametrize("passed", [[SELF], [ADMIN, OTHER, ADMIN], [BEFORE]])
def test_a_loop_shows_in_the_via_list(contents: MessageContents, passed: list[bytes]) -> None:
    diagnostics, _ = diagnosed()
    via = tuple(map(NodeDestination, passed))
    assert code(diagnostics.on_forward(passing(contents, via_list=via), 1.0)) == ErrorCode.LOOP_DETECTED


@BOTH
def test_misrouting_is_reported_with_the_upstream_peer(contents: MessageContents) -> None:
    diagnostics, host = diagnosed()
    host.misrouting.add(BEFORE)
    error = diagnostics.on_forward(passing(contents), 1.0)
    assert error is not None
    assert code(error) == ErrorCode.UPSTREAM_MISROUTING
    assert upstream_of(error) == BEFORE


def test_an_error_that_names_no_upstream_peer_is_read_as_that() -> None:
    assert upstream_of(ErrorResponse(ErrorCode.UPSTREAM_MISROUTING, b"")) is None
    assert upstream_of(ErrorResponse(ErrorCode.UPSTREAM_MISROUTING, b"upstream xyz")) is None
    assert upstream_of(ErrorResponse(ErrorCode.LOOP_DETECTED, b"upstream " + BEFORE.hex().encode())) is None


@pytest.mark.parametrize(
    "contents",
    [
        MessageContents(MessageCode.PING_REQ, encode(PingReq())),
        ping_contents(asking(), MessageCode.PROBE_REQ),
        MessageContents(MessageCode.PING_REQ, encode(PingReq()), (MessageExtension(2, False, b"what"),)),
        MessageContents(MessageCode.PATH_TRACK_REQ, b"what"),
        MessageContents(MessageCode.PATH_TRACK_ANS, b""),
    ],
    ids=["plain", "other-method", "malformed", "malformed-track", "malformed-answer"],
)
def test_whatever_is_no_diagnostic_message_goes_on(contents: MessageContents) -> None:
    diagnostics, host = diagnosed()
    host.misrouting.add(BEFORE)
    if contents.message_code in diagnostics.transit_codes:
        assert diagnostics.on_forward(passing(contents, ttl=0), 1e6) is None


@BOTH
@pytest.mark.parametrize("error_code", [ErrorCode.UNDERLAY_DESTINATION_UNREACHABLE, ErrorCode.UNDERLAY_TIME_EXCEEDED])
def test_an_error_of_the_underlay_is_told_to_whose_request_went_there(
    contents: MessageContents, error_code: ErrorCode
) -> None:
    diagnostics, host = diagnosed()
    message = passing(contents)
    diagnostics.on_forward(message, 1.0)
    diagnostics.on_underlay_error(OTHER, error_code, "host unreachable", 2.0)
    assert host.refused == []
    diagnostics.on_underlay_error(NEXT, error_code, "host unreachable", 2.0)
    assert host.refused == [(message.header, BEFORE, ErrorResponse(error_code, b"host unreachable"))]
    diagnostics.on_underlay_error(NEXT, error_code, "host unreachable", 2.0)
    assert len(host.refused) == 1


def test_the_underlay_is_not_to_blame_for_what_was_long_ago() -> None:
    diagnostics, host = diagnosed()
    diagnostics.on_forward(passing(track_contents(asking())), 1.0)
    diagnostics.on_underlay_error(NEXT, ErrorCode.UNDERLAY_TIME_EXCEEDED, "", 1.0 + FORWARDED_LIFETIME)
    assert host.refused == []


def test_requests_on_the_way_are_remembered_up_to_a_limit() -> None:
    diagnostics, host = diagnosed()
    for _ in range(1000):
        diagnostics.on_forward(passing(track_contents(asking())), 1.0)
    diagnostics.on_underlay_error(NEXT, ErrorCode.UNDERLAY_TIME_EXCEEDED, "", 2.0)
    assert len(host.refused) == MAX_FORWARDED
