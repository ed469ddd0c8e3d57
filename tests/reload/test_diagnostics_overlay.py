"""Diagnostics between nodes in a line (RFC 7851): each message of theirs is signed, forwarded and verified."""

from itertools import pairwise

import pytest
from reload_diagnosed import Told, access
from reload_identities import node_id
from reload_overlay import EPOCH, Host, LineTopology, MemoryOverlay, in_force

from reload.chord import ChordReload
from reload.contents import ErrorCode, MessageCode
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.extensions import DiagnosticKind, DiagnosticsRequest, PathTrackReq
from reload.kinds import Extension
from reload.message import decode_message
from reload.methods import PingReq, ProbeReq
from reload.node_ports import Forwarded
from reload.operations import Failed, Send
from reload.self_tuning import SelfTuningChord
from reload.topology import MakeTopology
from reload.usages.diagnostic_rules import EVERYTHING, dmflags, make_request, ping_extension
from reload.usages.diagnostics import Diagnostics, upstream_of
from reload.usages.path_track import Diagnosis, Path, PathEnd, Plain, diagnostic_ping, path_track

NUMBERS = (1, 2, 3, 4, 5, 6)
TARGET = ResourceDestination(node_id(6))
FLAGS = dmflags(1, 2, 8, 0xA, 0xB, 0xC, 0xD, 0xE)
ALLOWED = access(dict.fromkeys(map(int, DiagnosticKind), (node_id(1),)))


class DiagnosedLine(LineTopology):
    """A line that knows how long it is, and that node 4 may believe node 3 to misroute."""

    line = tuple(map(node_id, NUMBERS))
    misrouting: bytes | None = None
    turns_back = False

    def routing_table_size(self) -> int:
        return len(self.line) - 1

    def is_misrouted(self, upstream: bytes, target: bytes) -> bool:
        return upstream == self.misrouting

    def next_hop(self, target: bytes, previous_hop: bytes | None = None) -> bytes | None:
        return self.line[1] if self.turns_back else super().next_hop(target)


class Line:
    """Six nodes; the first one asks."""

    def __init__(
        self,
        *,
        without: frozenset[int] = frozenset(),
        extensions: tuple[Extension, ...] = ALLOWED,
        initial_ttl: int = 100,
    ) -> None:
        self.overlay = MemoryOverlay(in_force=in_force(extensions=extensions, initial_ttl=initial_ttl))
        self.diagnostics = {number: Diagnostics(Told({1: number})) for number in NUMBERS}
        make: MakeTopology = DiagnosedLine
        self.hosts = {
            number: self.overlay.add(
                number, make_topology=make, services=() if number in without else (self.diagnostics[number],)
            )
            for number in NUMBERS
        }
        for host in self.hosts.values():
            host.topology.is_joined = True
            host.topology.peers = list(DiagnosedLine.line)
        for one, other in pairwise(self.hosts.values()):
            self.overlay.link(one, other)
        self.overlay.settle(10.0)

    @property
    def asking(self) -> Host:
        return self.hosts[1]

    def topology(self, number: int) -> DiagnosedLine:
        found = self.hosts[number].topology
        assert isinstance(found, DiagnosedLine)
        return found

    def track(self, *, flags: int = FLAGS, destination: Destination = TARGET, asking: int = 1) -> Path:
        host = self.diagnostics[asking].host
        plan = path_track(host, destination, self.overlay.now, flags=flags)
        handle = self.hosts[asking].node.run(plan, self.overlay.now)
        self.overlay.settle(100.0)
        found = self.hosts[asking].result(handle)
        assert isinstance(found, Path)
        return found

    def ping(self, destination: Destination = TARGET, *, flags: int = FLAGS) -> Diagnosis | Plain | Failed:
        plan = diagnostic_ping(self.diagnostics[1].host, [destination], self.overlay.now, flags=flags)
        handle = self.asking.node.run(plan, self.overlay.now)
        self.overlay.settle(20.0)
        found = self.asking.result(handle)
        assert isinstance(found, Diagnosis | Plain | Failed)
        return found

    def send(self, operation: Send) -> Failed:
        handle = self.asking.node.perform(operation, self.overlay.now)
        self.overlay.settle(20.0)
        found = self.asking.result(handle)
        assert isinstance(found, Failed)
        return found

    @property
    def wall(self) -> float:
        return EPOCH + self.overlay.now

    def ping_with(self, asked: DiagnosticsRequest, code: int = MessageCode.PING_REQ) -> Send:
        body = PingReq() if code == MessageCode.PING_REQ else ProbeReq((3,))
        return Send((TARGET,), code, body, (ping_extension(asked),))


def error_of(failed: object) -> tuple[int, bytes | None]:
    """Which error has come, and from whom."""
    assert isinstance(failed, Failed)
    assert failed.error is not None
    return failed.error.error_code, failed.identity.node_id if failed.identity is not None else None


# In order.
def test_a_path_of_five_hops_is_walked_to_the_responsible_peer() -> None:
    line = Line()
    path = line.track()
    assert path.end is PathEnd.RESPONSIBLE
    assert [hop.node_id for hop in path.hops] == [node_id(number) for number in (2, 3, 4, 5, 6)]
    for distance, hop in enumerate(path.hops, 1):
        assert hop.diagnosis is not None
        assert hop.diagnosis.node_id == hop.node_id
        assert hop.diagnosis.hops == distance
        assert hop.diagnosis.delay == pytest.approx(0.01 * distance, abs=0.0015)
        assert hop.diagnosis.round_trip == pytest.approx(0.02 * distance)
        information = dict(hop.diagnosis.information)
        assert information[1] == distance + 1
        assert information[2] == 5
        assert information[8] == 10
        assert information[0xA] == 0
        assert information[0xB] == ()
        assert isinstance(information[0xD], int)
    first = path.hops[0].diagnosis
    assert first is not None
    counted = {each.message_code: each for each in first.information[0xC]}  # type: ignore[union-attr]
    assert counted[MessageCode.PATH_TRACK_REQ].received == 1  # type: ignore[union-attr]
    assert counted[MessageCode.PATH_TRACK_REQ].sent == 0  # type: ignore[union-attr]


def test_a_node_counts_what_it_forwards() -> None:
    line = Line()
    line.track()
    again = line.track(flags=dmflags(0xC))
    diagnosis = again.hops[0].diagnosis
    assert diagnosis is not None
    counted = {each.message_code: each for each in diagnosis.information[0xC]}  # type: ignore[union-attr]
    assert counted[0x27].received == 6  # type: ignore[union-attr]
    assert counted[0x27].sent == 4  # type: ignore[union-attr]


def test_requests_have_the_code_and_the_times_of_the_rfc() -> None:
    line = Line()
    at = len(line.overlay.sent)
    line.track(flags=0)
    sent = [decode_message(octets) for _, sender, _, octets in line.overlay.sent[at:] if sender == 1]
    assert [message.contents.message_code for message in sent] == [0x27] * 5
    assert [len(message.header.destination_list) for message in sent] == [1, 2, 3, 4, 5]
    answers = [decode_message(octets) for _, _, receiver, octets in line.overlay.sent[at:] if receiver == 1]
    assert [message.contents.message_code for message in answers] == [0x28] * 5


def test_a_diagnostic_ping_tells_how_far_the_responsible_peer_is() -> None:
    found = Line().ping()
    assert isinstance(found, Diagnosis)
    assert (found.node_id, found.hops, found.information[1]) == (node_id(6), 5, 6)


def test_a_path_to_a_node_ends_at_that_node() -> None:
    path = Line().track(destination=NodeDestination(node_id(4)))
    assert path.end is PathEnd.RESPONSIBLE
    assert [hop.node_id for hop in path.hops] == [node_id(number) for number in (2, 3, 4)]


def test_a_node_can_ask_itself() -> None:
    line = Line()
    assert line.track(destination=ResourceDestination(node_id(1))) == Path((), PathEnd.RESPONSIBLE)
    found = line.ping(NodeDestination(node_id(1)))
    assert isinstance(found, Diagnosis)
    assert found.node_id == node_id(1)


# Without authority.
def test_who_is_not_authorised_is_forbidden_to_ask() -> None:
    line = Line()
    path = line.track(asking=2)
    assert path.end is PathEnd.REFUSED
    (hop,) = path.hops
    assert error_of(hop.failure) == (ErrorCode.FORBIDDEN, node_id(3))
    assert len(line.track(asking=2, flags=0).hops) == 4


def test_an_overlay_that_authorises_nobody_tells_nothing_but_next_hops() -> None:
    line = Line(extensions=())
    assert error_of(line.ping(flags=EVERYTHING)) == (ErrorCode.FORBIDDEN, node_id(6))
    assert line.track(flags=0).end is PathEnd.RESPONSIBLE


# With nodes that know nothing of diagnostics.
def test_a_node_without_diagnostics_answers_with_a_plain_ping() -> None:
    line = Line(without=frozenset({6}))
    found = line.ping()
    assert isinstance(found, Plain)
    assert found.node_id == node_id(6)


def test_nodes_without_diagnostics_forward_all_the_same() -> None:
    line = Line(without=frozenset({2, 3, 4, 5}))
    found = line.ping()
    assert isinstance(found, Diagnosis)
    assert found.hops == 5
    path = line.track()
    assert (path.end, len(path.hops)) == (PathEnd.REFUSED, 1)


# What goes wrong on the way.
def test_what_has_expired_is_refused_by_the_first_hop() -> None:
    line = Line()
    late = make_request(line.wall - 60, 59, 0)
    assert error_of(line.send(line.ping_with(late))) == (ErrorCode.MESSAGE_EXPIRED, node_id(2))
    track = Send((NodeDestination(node_id(6)),), MessageCode.PATH_TRACK_REQ, PathTrackReq(TARGET, late))
    assert error_of(line.send(track)) == (ErrorCode.MESSAGE_EXPIRED, node_id(2))


def test_what_has_expired_is_refused_by_whom_it_is_for_when_the_others_do_not_look() -> None:
    line = Line(without=frozenset({2, 3, 4, 5}))
    late = make_request(line.wall - 60, 59, 0)
    assert error_of(line.send(line.ping_with(late))) == (ErrorCode.MESSAGE_EXPIRED, node_id(6))


def test_an_answer_that_expires_on_the_way_is_replaced_by_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reload.usages.diagnostics.RESPONSE_LIFETIME", 0)
    line = Line()
    to_last = NodeDestination(node_id(6))
    track = Send((to_last,), MessageCode.PATH_TRACK_REQ, PathTrackReq(TARGET, make_request(line.wall, 60, 0)))
    assert error_of(line.send(track)) == (ErrorCode.MESSAGE_EXPIRED, node_id(5))


def test_hops_that_are_used_up_have_another_error_for_diagnostics() -> None:
    line = Line(initial_ttl=3)
    assert error_of(line.ping()) == (ErrorCode.TTL_HOPS_EXCEEDED, node_id(5))
    assert error_of(line.send(Send((TARGET,), MessageCode.PING_REQ, PingReq()))) == (
        ErrorCode.TTL_EXCEEDED,
        node_id(5),
    )
    path = line.track()
    assert (path.end, len(path.hops)) == (PathEnd.REFUSED, 5)
    assert error_of(path.hops[-1].failure) == (ErrorCode.TTL_HOPS_EXCEEDED, node_id(5))


def test_a_silent_node_is_found() -> None:
    line = Line()
    line.overlay.on_send = lambda sender, receiver, octets: receiver.number != 4
    path = line.track()
    assert path.end is PathEnd.SILENT
    assert [hop.node_id for hop in path.hops] == [node_id(number) for number in (2, 3, 4)]
    assert path.hops[-1].failure is not None
    assert path.hops[-1].failure.error is None


def test_a_peer_that_misroutes_is_named() -> None:
    line = Line()
    line.topology(4).misrouting = node_id(3)
    failed = line.ping()
    assert error_of(failed) == (ErrorCode.UPSTREAM_MISROUTING, node_id(4))
    assert isinstance(failed, Failed)
    assert failed.error is not None
    assert upstream_of(failed.error) == node_id(3)


def test_a_loop_is_noticed() -> None:
    line = Line()
    line.topology(3).turns_back = True
    assert error_of(line.ping()) == (ErrorCode.LOOP_DETECTED, node_id(2))
    path = line.track()
    assert path.end is PathEnd.LOOP
    assert [hop.node_id for hop in path.hops] == [node_id(2), node_id(3)]


@pytest.mark.parametrize("error", [ErrorCode.UNDERLAY_DESTINATION_UNREACHABLE, ErrorCode.UNDERLAY_TIME_EXCEEDED])
def test_an_error_of_the_underlay_reaches_who_has_asked(error: ErrorCode) -> None:
    line = Line()
    line.overlay.on_send = lambda sender, receiver, octets: receiver.number != 5
    plan = diagnostic_ping(line.diagnostics[1].host, [TARGET], line.overlay.now, flags=FLAGS)
    handle = line.asking.node.run(plan, line.overlay.now)
    line.overlay.settle(0.5)
    line.diagnostics[4].on_underlay_error(node_id(5), error, "net unreachable", line.overlay.now)
    line.overlay.settle(0.5)
    failed = line.asking.result(handle)
    assert error_of(failed) == (error, node_id(4))
    assert isinstance(failed, Failed)
    assert failed.error is not None
    assert failed.error.error_info == b"net unreachable"


def test_plain_messages_are_not_affected() -> None:
    """Neither loops nor misrouting are looked for in what is no diagnostic message."""
    line = Line()
    line.topology(4).misrouting = node_id(3)
    for operation in (
        Send((TARGET,), MessageCode.PING_REQ, PingReq()),
        line.ping_with(make_request(line.wall - 60, 59, 0), MessageCode.PROBE_REQ),
    ):
        handle = line.asking.node.perform(operation, line.overlay.now)
        line.overlay.settle(1.0)
        assert not isinstance(line.asking.result(handle), Failed)


def test_on_the_way_nothing_but_diagnostic_codes_is_looked_at() -> None:
    line = Line()
    seen: list[Forwarded] = []
    diagnostics = line.diagnostics[3]
    on_forward = diagnostics.on_forward

    def note(message: Forwarded, now: float) -> object:
        seen.append(message)
        return on_forward(message, now)

    diagnostics.on_forward = note  # type: ignore[method-assign, assignment]
    line.asking.node.probe([TARGET], (1, 2, 3), line.overlay.now)
    line.overlay.settle(1.0)
    assert seen == []
    line.ping()
    assert [message.message_code for message in seen] == [MessageCode.PING_REQ]


# Very many.
def test_very_many_requests_are_answered_and_cost_their_information_only_up_to_a_limit() -> None:
    line = Line()
    source = Told({1: 1})
    line.diagnostics[2]._source = source
    to_second = NodeDestination(node_id(2))
    handles = [
        line.asking.node.run(
            diagnostic_ping(line.diagnostics[1].host, [to_second], line.overlay.now, flags=dmflags(1)), line.overlay.now
        )
        for _ in range(500)
    ]
    line.overlay.settle(5.0)
    results = [line.asking.result(handle) for handle in handles]
    assert all(isinstance(result, Diagnosis) for result in results)
    assert 100 <= len(source.asked) <= 130


# In a ring of Chord.
@pytest.mark.parametrize("make_topology", [ChordReload, SelfTuningChord])
def test_a_path_through_a_ring_ends_at_the_owner_of_the_resource(make_topology: MakeTopology) -> None:
    overlay = MemoryOverlay(
        in_force=in_force(extensions=access({2: [node_id(number << 120) for number in range(256)]}))
    )
    numbers = [(37 * at % 256) << 120 for at in range(1, 17)]
    diagnostics = [Diagnostics() for _ in numbers]
    hosts = [
        overlay.add(number, make_topology=make_topology, services=(service,))
        for number, service in zip(numbers, diagnostics, strict=True)
    ]
    hosts[0].node.start(overlay.now)
    for host in hosts[1:]:
        link, _ = overlay.link(host, hosts[0])
        host.node.join(link, overlay.now)
        overlay.settle(3.0)
    overlay.settle(30.0)
    lengths = []
    for at in range(8, 256, 16):
        target = ResourceDestination(node_id(at << 120))
        asking, service = hosts[at % 16], diagnostics[at % 16]
        handle = asking.node.run(path_track(service.host, target, overlay.now, flags=dmflags(2)), overlay.now)
        overlay.settle(5.0)
        path = asking.result(handle)
        assert isinstance(path, Path)
        assert path.end is PathEnd.RESPONSIBLE
        owner = min(numbers, key=lambda number: ((number >> 120) - at) % 256)
        assert (path.hops[-1].node_id if path.hops else asking.node_id) == node_id(owner)
        for hop in path.hops:
            assert hop.diagnosis is not None
            assert int(str(hop.diagnosis.information[2])) >= 6
        lengths.append(len(path.hops))
    assert max(lengths) <= 5
