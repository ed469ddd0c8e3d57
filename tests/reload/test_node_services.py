"""Parts in a node: services, and what they and the topology may ask of it."""

from collections.abc import Callable

import attrs
import pytest
from reload_bystander import ME, at, bench, error_of, me, null_signer, where
from reload_identities import NOW, node_id
from reload_overlay import MeshTopology, in_force, mesh

from reload.chord import ChordReload
from reload.configuration import CHORD_RELOAD, CHORD_SELF_TUNING
from reload.configuration_update import InForce
from reload.contents import ErrorCode, ErrorResponse, ExtensionType, MessageCode, MessageExtension
from reload.errors import StateError
from reload.events import Disconnected, MessageDropped
from reload.exchange import Answer, Failure, Outcome, Reply, Request, Response
from reload.message import decode_body, decode_message
from reload.methods import PingAns, PingReq, ProbeReq
from reload.node_ports import Forwarded, Host
from reload.parts import default_topology
from reload.self_tuning import SelfTuningChord

_PING, _EXP = MessageCode.PING_REQ, MessageCode.EXP_A_REQ


_ANSWER = Answer(b"answer")


@attrs.define(eq=False)
class _Service:
    """Answers the first experimental request as it is told to, adds to Pings, and looks at Pings on their way."""

    message_codes: frozenset[int] = frozenset({int(_EXP)})
    extension_types: frozenset[int] = frozenset({77})
    transit_codes: frozenset[int] = frozenset({int(_PING), int(MessageCode.PING_ANS)})
    reply: Reply | None = _ANSWER
    on_ping: tuple[MessageExtension, ...] | ErrorResponse = ()
    verdict: ErrorResponse | None = None
    requests: list[Request] = attrs.Factory(list)
    forwarded: list[Forwarded] = attrs.Factory(list)
    outcomes: list[Outcome] = attrs.Factory(list)
    host: Host = attrs.field(init=False)

    def bind(self, host: Host) -> None:
        self.host = host

    def on_request(self, request: Request, now: float) -> Reply | None:
        self.requests.append(request)
        return self.reply

    def extend_ping(self, request: Request, now: float) -> tuple[MessageExtension, ...] | ErrorResponse:
        return self.on_ping

    def on_forward(self, message: Forwarded, now: float) -> ErrorResponse | None:
        self.forwarded.append(message)
        return self.verdict

    def on_outcome(self, outcome: Outcome, now: float) -> None:
        self.outcomes.append(outcome)


def test_a_service_answers_the_requests_of_its_codes() -> None:
    service = _Service()
    _, (one,) = bench(10, services=[service])
    extension = MessageExtension(77, True, b"understood")
    (answer,) = one.send(_EXP, b"body", extensions=(extension,))
    assert (answer.contents.message_code, answer.contents.message_body) == (MessageCode.EXP_A_ANS, b"answer")
    (request,) = service.requests
    assert request.body == b"body"
    assert request.extensions == (extension,)
    assert request.identity.node_id == request.previous_hop == node_id(10)
    service.reply = ErrorResponse(ErrorCode.EXP_A, b"no")
    (answer,) = one.send(_EXP, b"body", transaction=2)
    assert error_of(answer) == ErrorCode.EXP_A


def test_a_service_may_answer_later_and_duplicates_wait_with_it() -> None:
    service = _Service(reply=None)
    made, (one,) = bench(10, services=[service])
    assert one.send(_EXP, b"body") == []
    assert one.send(_EXP, b"body") == []
    assert made.drops() == ["a duplicate of a request that is being answered"]
    (request,) = service.requests
    service.host.answer(request, Answer(b"late"), made.now)
    (answer,) = one.received()
    assert answer.contents.message_body == b"late"
    assert one.send(_EXP, b"body") == [answer]


def test_an_answer_that_has_no_octets_or_is_too_large_is_an_error() -> None:
    service = _Service(reply=Answer(PingReq(bytes(70_000))))
    _, (one,) = bench(10, services=[service])
    (answer,) = one.send(_EXP, b"body")
    assert error_of(answer) == ErrorCode.RESPONSE_TOO_LARGE
    service.reply = Answer(bytes(6000))
    (answer,) = one.send(_EXP, b"body", transaction=2)
    assert error_of(answer) == ErrorCode.RESPONSE_TOO_LARGE


def test_a_service_answers_the_node_itself_later_too() -> None:
    service = _Service(reply=None)
    made, _ = bench(services=[service])
    service.host.send_request((me(),), _EXP, b"body", made.now, service.on_outcome)
    made.node.handle_timer(made.now)
    (request,) = service.requests
    made.advance(3.5)  # what is sent again meanwhile is the same request
    assert len(service.requests) == 1
    service.host.answer(request, Answer(b"late"), made.now)
    service.host.answer(request, Answer(b"later"), made.now)
    made.node.handle_timer(made.now)
    (outcome,) = service.outcomes
    assert isinstance(outcome, Response)
    assert outcome.body == b"late"


def test_services_add_to_pings_that_have_extensions() -> None:
    more = (MessageExtension(77, False, b"more"),)
    service = _Service(on_ping=more)
    _, (one,) = bench(10, services=[service])
    (answer,) = one.send(_PING, PingReq())
    assert answer.contents.extensions == ()
    (answer,) = one.send(_PING, PingReq(), transaction=2, extensions=more)
    assert answer.contents.extensions == more
    service.on_ping = ErrorResponse(ErrorCode.FORBIDDEN)
    (answer,) = one.send(_PING, PingReq(), transaction=3, extensions=more)
    assert error_of(answer) == ErrorCode.FORBIDDEN


def test_a_service_looks_at_what_is_forwarded_and_may_stop_it() -> None:
    service = _Service()
    made, (one, other) = bench(10, 200, services=[service])
    octets = one.octets(_PING, PingReq(b"x"), at(200))
    one.send_octets(octets)
    assert len(other.received()) == 1
    (seen,) = service.forwarded
    assert (seen.previous_hop, seen.next_hop, seen.data) == (node_id(10), node_id(200), octets)
    assert seen.contents().message_body == decode_message(octets).contents.message_body
    service.verdict = ErrorResponse(ErrorCode.MESSAGE_EXPIRED, b"")
    (refused,) = one.send(_PING, PingReq(), at(200), via_list=(at(1),))
    assert error_of(refused) == ErrorCode.MESSAGE_EXPIRED
    assert refused.header.destination_list == (at(10), at(1))
    assert other.received() == []
    assert len(made.drops()) == 1


def test_an_error_takes_the_place_of_a_response_that_a_service_stops() -> None:
    service = _Service(verdict=ErrorResponse(ErrorCode.MESSAGE_EXPIRED, b""))
    _, (one, other) = bench(10, 200, services=[service])
    assert one.send(MessageCode.PING_ANS, PingAns(1, 2), me(), at(200), at(3), transaction=5) == []
    (onwards,) = other.received()
    assert error_of(onwards) == ErrorCode.MESSAGE_EXPIRED
    assert onwards.header.destination_list == (at(200), at(3))
    assert onwards.header.transaction_id == 5


def test_a_service_hears_of_its_requests_and_may_let_go_of_them() -> None:
    service = _Service()
    made, (one,) = bench(10, services=[service])
    host = service.host
    first, second = (host.send_request((at(10),), _PING, PingReq(), made.now, service.on_outcome) for _ in range(2))
    assert service.outcomes == []
    host.cancel(first)
    host.cancel(first)
    made.advance(15)
    assert [outcome.transaction for outcome in service.outcomes] == [second]
    assert isinstance(service.outcomes[0], Failure)
    assert len(one.received()) == 6


def test_a_host_tells_what_a_service_may_know() -> None:
    service = _Service()
    made, (one, other) = bench(10, 200, services=[service])
    host = service.host
    assert host.node_id == node_id(ME)
    assert host.in_force is made.node.in_force
    assert host.configuration is made.node.in_force.configuration
    assert len(host.random_bytes(7)) == 7
    assert host.wall(5.0) == NOW + 5
    assert host.is_connected(node_id(10))
    assert not host.is_connected(node_id(11))
    assert host.next_hop(at(200)) == node_id(200)
    assert host.next_hop(where(150)) == node_id(200)
    assert host.next_hop(where(60)) is None
    assert host.uptime(7.5) == 7
    assert host.routing_table_size() == 0
    assert not host.is_misrouted(node_id(10), at(200))
    assert host.stored_octets() == 0
    assert dict(host.stored_instances()) == {}
    host.emit(MessageDropped(0, "a test"))
    assert made.drops() == ["a test"]
    one.send(_PING, PingReq(), at(200))
    other.received()
    assert host.traffic is not None
    assert [(each.message_code, each.sent, each.received) for each in host.traffic.messages()] == [(_PING, 1, 1)]


def test_a_host_refuses_what_was_forwarded_while_its_neighbor_is_there() -> None:
    service = _Service()
    made, (one, other) = bench(10, 200, services=[service])
    one.send(_PING, PingReq(), at(200))
    (seen,) = service.forwarded
    error = ErrorResponse(ErrorCode.UNDERLAY_DESTINATION_UNREACHABLE, b"")
    service.host.refuse(seen.header, seen.previous_hop, error, made.now)
    (refused,) = one.received()
    assert error_of(refused) == ErrorCode.UNDERLAY_DESTINATION_UNREACHABLE
    made.node.link_lost(one.link, made.now)
    service.host.refuse(seen.header, seen.previous_hop, error, made.now)
    assert len(other.received()) == 1


# What the topology may ask.


class _Extending(MeshTopology):
    def probe_extensions(self, request: Request, now: float) -> tuple[MessageExtension, ...]:
        return request.extensions

    def routing_table_size(self) -> int:
        return 7

    def is_misrouted(self, upstream: bytes, target: bytes) -> bool:
        return target == node_id(66)


def test_a_topology_may_extend_probes_and_judge_neighbors() -> None:
    service = _Service()
    _, (one,) = bench(10, make_topology=_Extending, services=[service])
    extension = MessageExtension(ExtensionType.SELF_TUNING_DATA, True, b"data")
    (answer,) = one.send(MessageCode.PROBE_REQ, ProbeReq(()), extensions=(extension,))
    assert answer.contents.extensions == (extension,)
    assert service.host.routing_table_size() == 7
    assert service.host.is_misrouted(node_id(10), at(66))
    assert service.host.is_misrouted(node_id(10), where(66))
    assert not service.host.is_misrouted(node_id(10), at(67))


def test_an_extension_for_self_tuning_is_unknown_to_other_topologies() -> None:
    _, (one,) = bench(10)
    extension = MessageExtension(ExtensionType.SELF_TUNING_DATA, True, b"data")
    (refused,) = one.send(MessageCode.PROBE_REQ, ProbeReq(()), extensions=(extension,))
    assert error_of(refused) == ErrorCode.UNKNOWN_EXTENSION


def test_a_topology_closes_links_without_being_told() -> None:
    made, (one, other) = bench(10, 20)
    made.topology.overlay.disconnect(node_id(10), made.now)
    made.topology.overlay.disconnect(node_id(10), made.now)
    assert made.closed() == [one.link]
    assert [event for event in made.events if isinstance(event, Disconnected)] == [Disconnected(node_id(10))]
    assert node_id(10) in made.topology.peers
    assert list(made.topology.overlay.connected()) == [node_id(20)]
    assert len(other.send(_PING, PingReq())) == 1


def test_a_topology_knows_how_long_a_peer_was_quiet() -> None:
    made, (one,) = bench(10)
    overlay = made.topology.overlay
    assert overlay.is_quiet_since(node_id(10)) == 0.0
    made.advance(5)
    one.send_octets(b"anything")
    assert overlay.is_quiet_since(node_id(10)) == 5.0
    made.node.packet_received(one.link, 6.0)
    made.node.packet_received(99, 7.0)
    assert overlay.is_quiet_since(node_id(10)) == 6.0
    assert overlay.is_quiet_since(node_id(11)) is None


def test_the_outcomes_of_a_topologys_requests_are_told_to_it() -> None:
    overlay, (one, _) = mesh(1, 2)
    transaction = one.topology.overlay.request((at(2),), MessageCode.PING_REQ, PingReq(), overlay.now)
    assert one.topology.outcomes == []
    overlay.settle()
    (outcome,) = one.topology.outcomes
    assert outcome.transaction == transaction
    assert isinstance(outcome, Response)


def test_a_hand_over_of_nothing_ends_after_it_has_begun() -> None:
    made, _ = bench(10)
    number = made.topology.overlay.hand_over(node_id(10), lambda resource_id: True, made.now)
    assert made.topology.handed_over == []
    made.node.handle_timer(made.now)
    assert made.topology.handed_over == [number]
    made.topology.overlay.placement_changed(made.now)
    made.advance(60)


@pytest.mark.parametrize(("name", "cls"), [(CHORD_RELOAD, ChordReload), (CHORD_SELF_TUNING, SelfTuningChord)])
def test_the_topology_is_that_of_the_configuration(name: str, cls: Callable[..., object]) -> None:
    made, _ = bench(in_force=_named(name), make_topology=None)
    assert type(made.node.topology) is cls


def test_a_topology_that_is_not_here_cannot_be_used() -> None:
    with pytest.raises(StateError):
        default_topology(_named("ANOTHER").configuration)


def _named(name: str) -> InForce:
    return in_force(topology_plugin=name)


def test_requests_of_the_topology_go_to_it_with_their_way() -> None:
    made, (one,) = bench(10)
    (answer,) = one.send(MessageCode.ROUTE_QUERY_REQ, b"\0\x02\x11\x10" + node_id(60) + b"\0\0", signer=null_signer(3))
    assert decode_body(answer.contents).next_peer == node_id(ME)
    (request,) = made.topology.requests
    assert request.identity.node_id == node_id(3)
    assert request.previous_hop == node_id(10)
