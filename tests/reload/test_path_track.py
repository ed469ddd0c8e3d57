"""The asking side of diagnostics: walks of a path, and Pings that ask (RFC 7851)."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest
from reload_diagnosed import EPOCH, HandMadeHost, identity, node

from reload._presentation import decode
from reload.contents import ErrorResponse, MessageExtension
from reload.destinations import Destination, NodeDestination, OpaqueDestination, ResourceDestination
from reload.errors import EncodeError, StateError
from reload.exchange import Response
from reload.extensions import (
    DiagnosticExtension,
    DiagnosticInfo,
    DiagnosticsRequest,
    DiagnosticsResponse,
    PathTrackAns,
    PathTrackReq,
)
from reload.header import ForwardingHeader
from reload.methods import PingAns
from reload.operations import Failed, Operation, Plan, Result, Send, Stored
from reload.usages.diagnostic_rules import EVERYTHING, dmflags, make_request, ping_extension, requested_kinds
from reload.usages.path_track import Diagnosis, Hop, Path, PathEnd, Plain, diagnostic_ping, path_track

SELF, TARGET, EVERYBODY = node(99), ResourceDestination(node(0xFFFF)), NodeDestination(b"\xff" * 16)
NO_ANSWER = Failed(None, "no answer")
HEADER = ForwardingHeader(1, 1, ())


def host(first: bytes | None = node(1)) -> HandMadeHost:
    made = HandMadeHost(SELF)
    if first is not None:
        made.hops[TARGET] = first
    return made


def sent(operation: Operation) -> Send:
    assert isinstance(operation, Send)
    return operation


def run(plan: Plan[object], answer: Callable[[Send], Result]) -> tuple[object, list[Send]]:
    """What comes of a plan, and what it has sent."""
    asked: list[Send] = []
    try:
        operation = next(plan)
        while True:
            asked.append(sent(operation))
            operation = plan.send(answer(asked[-1]))
    except StopIteration as end:
        return end.value, asked


def response_to(
    asked: DiagnosticsRequest, *, hops: int = 1, info: Mapping[int, bytes] | None = None, at: float = 1.0
) -> DiagnosticsResponse:
    received = round((EPOCH + at) * 1000)
    return DiagnosticsResponse(
        received + 60_000,
        asked.timestamp_initiated,
        received,
        101 - hops,
        tuple(DiagnosticInfo(kind, octets) for kind, octets in (info or {}).items()),
    )


class Ring:
    """Nodes 1, 2, 3 ... `length` on the way to the target; each answers a tenth of a second after it is asked."""

    def __init__(self, length: int) -> None:
        self.following = {node(i): node(min(i + 1, length)) for i in range(1, length + 1)}
        self.info: dict[int, bytes] = {1: b"\x07"}
        self.silent: set[bytes] = set()
        self.cut: set[tuple[bytes, bytes]] = set()
        self.now = 10.0

    def __call__(self, send: Send) -> Result:
        assert send.message_code == 0x27
        route = [
            destination.node_id for destination in send.destination_list if isinstance(destination, NodeDestination)
        ]
        assert len(route) == len(send.destination_list)
        if self.silent & set(route) or self.cut & set(pairwise(route)):
            self.now += 15
            return NO_ANSWER
        body = send.body
        assert isinstance(body, PathTrackReq)
        assert body.destination == TARGET
        answerer = route[-1]
        answer = PathTrackAns(
            NodeDestination(self.following[answerer]),
            response_to(body.request, hops=len(route), info=self.info, at=self.now + 0.05),
        )
        self.now += 0.1
        return Response(1, 0x28, answer, identity(answerer), HEADER, received=self.now)


def walk(ring: Callable[[Send], Result], **options: object) -> tuple[Path, list[Send]]:
    plan = path_track(host(), TARGET, 10.0, flags=dmflags(1), **options)  # type: ignore[arg-type]
    path, asked = run(plan, ring)
    assert isinstance(path, Path)
    return path, asked


# Walks.
def test_a_walk_asks_hop_by_hop_and_ends_at_the_responsible_peer() -> None:
    path, asked = walk(Ring(5))
    assert path.end is PathEnd.RESPONSIBLE
    assert [hop.node_id for hop in path.hops] == [node(i) for i in range(1, 6)]
    assert len(asked) == 5
    for number, hop in enumerate(path.hops, 1):
        assert hop.diagnosis is not None
        assert hop.diagnosis.information == {1: 7}
        assert hop.diagnosis.hops == number
        assert hop.diagnosis.round_trip == pytest.approx(0.1)
        assert hop.diagnosis.delay == pytest.approx(0.05, abs=0.002)


def test_every_hop_is_asked_by_way_of_those_before() -> None:
    _, asked = walk(Ring(3))
    assert [list(send.destination_list) for send in asked] == [
        [NodeDestination(node(1))],
        [NodeDestination(node(1)), NodeDestination(node(2))],
        [NodeDestination(node(1)), NodeDestination(node(2)), NodeDestination(node(3))],
    ]


def test_every_request_has_times_of_its_own() -> None:
    _, asked = walk(Ring(3))
    times = [send.body.request.timestamp_initiated - round((EPOCH + 10) * 1000) for send in asked]
    assert times == [0, 100, 200]
    assert all(send.body.request.expiration - send.body.request.timestamp_initiated == 60_000 for send in asked)
    assert all(send.body.request.dmflags == 2 for send in asked)


def test_a_path_track_carries_no_extension_of_pings() -> None:
    _, asked = walk(Ring(3))
    assert [send.extensions for send in asked] == [()] * 3


def test_no_flags_ask_for_the_next_hops_alone() -> None:
    path, asked = run(path_track(host(), TARGET, 10.0), Ring(2))
    assert isinstance(path, Path)
    assert path.end is PathEnd.RESPONSIBLE
    assert [send.body.request.dmflags for send in asked] == [0, 0]
    assert path.hops[0].diagnosis is not None
    assert path.hops[0].diagnosis.information == {}, "it was not asked for"


def test_extensions_are_asked_for_as_well() -> None:
    ring = Ring(1)
    ring.info = {0xF000: b"local"}
    plan = path_track(host(), TARGET, 10.0, extensions=iter([DiagnosticExtension(0xF000, b"ask")]))
    path, asked = run(plan, ring)
    assert isinstance(path, Path)
    assert path.hops[0].diagnosis is not None
    assert path.hops[0].diagnosis.information == {0xF000: b"local"}
    assert asked[0].body.request.diagnostic_extensions_list == (DiagnosticExtension(0xF000, b"ask"),)


def test_a_path_of_a_node_to_itself_has_no_hops() -> None:
    path, asked = run(path_track(host(None), TARGET, 10.0), Ring(3))
    assert path == Path((), PathEnd.RESPONSIBLE)
    assert asked == []


def test_a_silent_hop_is_asked_once_more_by_the_routes_of_the_overlay_and_ends_the_path() -> None:
    ring = Ring(5)
    ring.silent.add(node(3))
    path, asked = walk(ring)
    assert path.end is PathEnd.SILENT
    assert [hop.node_id for hop in path.hops] == [node(1), node(2), node(3)]
    assert path.hops[-1] == Hop(node(3), None, NO_ANSWER, True)
    assert asked[-1].destination_list == (NodeDestination(node(3)),)
    assert len(asked) == 4


def test_a_hop_that_only_the_one_before_does_not_reach_is_found_and_the_walk_goes_on() -> None:
    ring = Ring(5)
    ring.cut.add((node(2), node(3)))
    path, asked = walk(ring)
    assert path.end is PathEnd.RESPONSIBLE
    assert [hop.is_by_detour for hop in path.hops] == [False, False, True, False, False]
    assert asked[-1].destination_list == tuple(map(NodeDestination, map(node, (3, 4, 5))))


def test_a_first_hop_that_is_silent_has_no_detour() -> None:
    ring = Ring(5)
    ring.silent.add(node(1))
    path, asked = walk(ring)
    assert path == Path((Hop(node(1), None, NO_ANSWER),), PathEnd.SILENT)
    assert len(asked) == 1


@pytest.mark.parametrize("error_code", [2, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A])
def test_an_error_ends_the_path_with_what_it_says(error_code: int) -> None:
    failed = Failed(ErrorResponse(error_code, b"why"), "refused", identity(node(1)))
    path, asked = walk(lambda send: failed)
    assert path == Path((Hop(node(1), None, failed),), PathEnd.REFUSED)
    assert len(asked) == 1


def test_a_path_that_turns_back_ends() -> None:
    ring = Ring(5)
    ring.following[node(4)] = node(2)
    path, asked = walk(ring)
    assert path.end is PathEnd.LOOP
    assert len(asked) == len(path.hops) == 4


def test_a_path_that_leads_back_to_this_node_ends() -> None:
    ring = Ring(5)
    ring.following[node(2)] = SELF
    assert walk(ring)[0].end is PathEnd.LOOP


def test_a_path_has_a_bounded_number_of_hops() -> None:
    path, asked = walk(Ring(1000))
    assert path.end is PathEnd.TOO_LONG
    assert len(asked) == len(path.hops) == 64
    assert walk(Ring(1000), max_hops=3)[0].end is PathEnd.TOO_LONG
    assert walk(Ring(3), max_hops=3)[0].end is PathEnd.RESPONSIBLE


# Answers that cannot be.
def lying(change: Callable[[PathTrackAns], PathTrackAns]) -> Path:
    ring = Ring(3)

    def answer(send: Send) -> Result:
        result = ring(send)
        assert isinstance(result, Response)
        return Response(1, 0x28, change(result.body), result.identity, HEADER, received=result.received)

    return walk(answer)[0]


def with_response(**fields: object) -> Callable[[PathTrackAns], PathTrackAns]:
    def change(answer: PathTrackAns) -> PathTrackAns:
        was = answer.response
        now: dict[str, object] = {
            "expiration": was.expiration,
            "timestamp_initiated": was.timestamp_initiated,
            "timestamp_received": was.timestamp_received,
            "hop_counter": was.hop_counter,
            "diagnostic_info_list": was.diagnostic_info_list,
            **fields,
        }
        return PathTrackAns(answer.next_hop, DiagnosticsResponse(**now))  # type: ignore[arg-type]

    return change


@pytest.mark.parametrize(
    "change",
    [
        with_response(timestamp_initiated=5),
        with_response(expiration=0),
        with_response(expiration=round(EPOCH * 1000) + 10_000),
        with_response(expiration=round(EPOCH * 1000) + 700_000),
        with_response(expiration=(1 << 64) - 1),
        with_response(hop_counter=255),
        lambda answer: PathTrackAns(EVERYBODY, answer.response),
        lambda answer: PathTrackAns(TARGET, answer.response),
        lambda answer: PathTrackAns(OpaqueDestination(b"x"), answer.response),
    ],
)
def test_an_answer_that_cannot_be_ends_the_path(change: Callable[[PathTrackAns], PathTrackAns]) -> None:
    path = lying(change)
    assert path.end is PathEnd.MALFORMED
    (hop,) = path.hops
    assert hop.diagnosis is None
    assert hop.failure is not None
    assert hop.failure.identity == identity(node(1))


def test_information_that_was_not_asked_for_or_is_malformed_is_left_out() -> None:
    info = tuple(DiagnosticInfo(kind, octets) for kind, octets in ((1, b"\0\0"), (2, b"\0\0\0\5"), (0x1234, b"x")))
    path = lying(with_response(diagnostic_info_list=info))
    assert path.end is PathEnd.RESPONSIBLE
    assert path.hops[0].diagnosis is not None
    assert path.hops[0].diagnosis.information == {}


def test_of_information_that_is_there_twice_the_first_counts() -> None:
    path = lying(with_response(diagnostic_info_list=(DiagnosticInfo(1, b"\1"), DiagnosticInfo(1, b"\2"))))
    assert path.hops[0].diagnosis is not None
    assert path.hops[0].diagnosis.information == {1: 1}


def test_a_result_of_another_operation_ends_the_path() -> None:
    path, _ = walk(lambda send: Stored({}, {}))
    assert path.end is PathEnd.SILENT


# Pings.
TO: tuple[Destination, ...] = (NodeDestination(node(4)),)


def pong(send: Send, extensions: tuple[MessageExtension, ...], received: float = 10.5) -> Response:
    return Response(1, 24, PingAns(1, 2), identity(node(4)), HEADER, extensions=extensions, received=received)


def asked_by(send: Send) -> DiagnosticsRequest:
    (extension,) = send.extensions
    return decode(DiagnosticsRequest, extension.extension_contents)


def test_a_ping_carries_the_request_in_an_extension_that_is_not_critical() -> None:
    plan = diagnostic_ping(host(), TO, 10.0, flags=dmflags(1, 8), lifetime=600)
    result, asked = run(
        plan,
        lambda send: pong(send, (ping_extension(response_to(asked_by(send), hops=3, info={1: b"\x05"}, at=10.2)),)),
    )
    (send,) = asked
    (extension,) = send.extensions
    assert (send.message_code, extension.type, extension.critical) == (23, 2, False)
    request = asked_by(send)
    assert request.expiration - request.timestamp_initiated == 600_000
    assert request.timestamp_initiated == round((EPOCH + 10) * 1000)
    assert request.dmflags == 0x102
    assert isinstance(result, Diagnosis)
    assert (result.node_id, result.information, result.hops) == (node(4), {1: 5}, 3)
    assert result.delay == pytest.approx(0.2, abs=0.002)
    assert result.round_trip == pytest.approx(0.5)


@pytest.mark.parametrize(
    "extensions",
    [(), (MessageExtension(2, False, b"what"),), (MessageExtension(7, False, b""),)],
)
def test_an_answer_without_information_is_taken_and_not_asked_for_again(
    extensions: tuple[MessageExtension, ...],
) -> None:
    result, asked = run(diagnostic_ping(host(), TO, 10.0, flags=2), lambda send: pong(send, extensions))
    assert result == Plain(node(4), 0.5)
    assert len(asked) == 1


def test_a_forged_response_in_a_ping_is_as_good_as_none() -> None:
    other = make_request(EPOCH + 9, 60, 2)
    result, _ = run(
        diagnostic_ping(host(), TO, 10.0, flags=2),
        lambda send: pong(send, (ping_extension(response_to(other, at=10.0)),)),
    )
    assert isinstance(result, Plain)


def test_a_ping_that_fails_is_not_sent_again() -> None:
    result, asked = run(diagnostic_ping(host(), TO, 10.0, flags=2), lambda send: NO_ANSWER)
    assert result == NO_ANSWER
    assert len(asked) == 1


# What must not be asked.
def test_a_diagnostic_ping_does_not_go_to_everybody() -> None:
    for destinations in ([EVERYBODY], [NodeDestination(node(1)), EVERYBODY], []):
        with pytest.raises(StateError):
            diagnostic_ping(host(), destinations, 10.0)


def test_a_path_does_not_lead_to_everybody() -> None:
    with pytest.raises(StateError):
        path_track(host(), EVERYBODY, 10.0)


@pytest.mark.parametrize("lifetime", [0, 0.9, 600.1, -5])
def test_a_request_is_good_for_1_to_600_seconds(lifetime: float) -> None:
    with pytest.raises(EncodeError):
        diagnostic_ping(host(), TO, 10.0, lifetime=lifetime)
    with pytest.raises(EncodeError):
        path_track(host(), TARGET, 10.0, lifetime=lifetime)


@pytest.mark.parametrize("flags", [1, 1 << 63, 3])
def test_reserved_bits_are_not_set(flags: int) -> None:
    with pytest.raises(EncodeError):
        diagnostic_ping(host(), TO, 10.0, flags=flags)
    with pytest.raises(EncodeError):
        path_track(host(), TARGET, 10.0, flags=flags)


@pytest.mark.parametrize("kind", [0, 1, 0x10, 0x3F])
def test_kinds_with_a_bit_are_not_listed(kind: int) -> None:
    with pytest.raises(EncodeError):
        path_track(host(), TARGET, 10.0, extensions=[DiagnosticExtension(kind, b"")])


@pytest.mark.parametrize("kind", [0, 0x3F, 0x40, 0xF000, -1])
def test_a_kind_without_a_bit_has_no_flag(kind: int) -> None:
    with pytest.raises(EncodeError):
        dmflags(kind)


def test_flags_are_those_of_the_registry() -> None:
    """RFC 7851 section 9.1."""
    assert dmflags(1) == 0x2
    assert dmflags(0x10) == 0x10000
    assert dmflags(0x3E) == 1 << 62
    assert dmflags(2, 0xD, 0xE) == 0x6004
    assert list(requested_kinds(make_request(EPOCH, 1, EVERYTHING))) == list(range(1, 0x11))
