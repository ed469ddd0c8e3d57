"""Links of a node: whom they lead to, what for, and how many (RFC 6940 sections 4.2.1, 6.1.2 and 6.5.1)."""

import pytest
import reload_configurations
from reload_bystander import ME, Bench, Bystander, at, bench, error_of, me, where
from reload_identities import OVERLAY, enrolled, issue, key, node_id
from reload_overlay import MemoryOverlay, candidates, mesh, node, resource

import reload.links
from reload.contents import ErrorCode, MessageCode
from reload.destinations import Destination
from reload.errors import SecurityError, StateError
from reload.events import CandidatesWanted, Completed, Connected, ConnectionAbandoned, ConnectionWanted, Disconnected
from reload.forwarding import fragment
from reload.methods import AttachReqAns, JoinReq, PingReq
from reload.operations import Failed
from reload.ports import Identity
from reload.signing import KeySigner

_PING = MessageCode.PING_REQ


def _identity(number: int) -> Identity:
    return Identity(node_id(number), (node_id(number),), None, b"")


def _told(made: Bench, kind: type) -> list[object]:
    made.collect()
    found = [event for event in made.events if isinstance(event, kind)]
    made.events = [event for event in made.events if not isinstance(event, kind)]
    return found


def test_a_node_is_connected_with_its_first_link_and_disconnected_with_its_last() -> None:
    made, _ = bench()
    first = made.node.link_established(_identity(5), made.now)
    assert _told(made, Connected) == [Connected(node_id(5))]
    second = made.node.link_established(_identity(5), made.now)
    made.node.link_lost(first, made.now)
    assert _told(made, Connected) == _told(made, Disconnected) == []
    made.topology.peers.append(node_id(5))
    made.node.link_lost(second, made.now)
    made.node.link_lost(second, made.now)
    assert _told(made, Disconnected) == [Disconnected(node_id(5))]
    assert node_id(5) not in made.topology.peers


def test_a_link_without_an_attach_serves_its_node_but_is_nobodys_next_hop() -> None:
    made, (one,) = bench(10)
    guest = Bystander(made, 300)
    assert len(guest.send(_PING, PingReq())) == 1
    one.send(_PING, PingReq(), at(300))
    assert len(guest.received()) == 1
    assert made.topology.peers == [node_id(50), node_id(ME), node_id(10)]


def test_a_link_to_the_node_itself_or_to_another_than_it_was_for_is_refused() -> None:
    made, _ = bench()
    with pytest.raises(SecurityError):
        made.node.link_established(_identity(ME), made.now)
    with pytest.raises(StateError):
        made.node.link_established(_identity(5), made.now, attach=77)
    assert _told(made, Connected) == []


def test_the_oldest_of_too_many_links_to_a_node_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload.links, "MAX_LINKS_OF_NODE", 2)
    made, _ = bench()
    links = [made.node.link_established(_identity(5), made.now) for _ in range(4)]
    assert made.closed() == links[:2]
    assert _told(made, Disconnected) == []


def test_a_link_for_which_there_is_no_room_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload.links, "MAX_LINKS", 2)
    made, _ = bench()
    links = [made.node.link_established(_identity(number), made.now) for number in range(1, 4)]
    assert made.closed() == links[2:]
    assert _told(made, Disconnected) == [Disconnected(node_id(3))]


# Attach.


def test_an_attach_leads_to_a_link_and_both_topologies_hear_of_it() -> None:
    overlay = MemoryOverlay()
    one, via, other = (overlay.add(number) for number in (1, 2, 3))
    via.topology.is_joined = True
    via.topology.peers = [node_id(2)]
    overlay.link(one, via)
    overlay.link(other, via)
    handle = one.node.attach([node(2), node(3)], overlay.now, send_update=True)
    overlay.settle()
    assert one.result(handle) == node_id(3)
    assert one.topology.attached == []
    (update,) = one.topology.requests
    assert update.message_code == MessageCode.UPDATE_REQ
    assert update.previous_hop == node_id(3)
    assert other.topology.requests == []


def test_an_attach_of_the_topology_is_told_to_it_alone() -> None:
    overlay, (one, other) = mesh(1, 2)
    attach = one.topology.overlay.attach((node(2),), overlay.now)
    one.node.handle_timer(overlay.now)
    overlay.settle()
    assert one.topology.attached == [(attach, node_id(2))]
    assert one.of(Completed) == []
    attach = one.topology.overlay.attach((node(9),), overlay.now)
    one.node.handle_timer(overlay.now)
    overlay.settle(16)
    assert one.topology.attached[1:] == [(attach, None)]
    assert other.of(Completed) == []


def test_a_link_that_an_attach_has_made_needless_is_closed_later() -> None:
    overlay, (one, other) = mesh(1, 2)
    (before,) = one.wires
    one.node.attach([node(2)], overlay.now)
    overlay.settle(5)
    assert len(one.wires) == 2
    overlay.settle(15)
    assert before not in one.wires
    assert len(one.wires) == 1
    assert one.of(Disconnected) == other.of(Disconnected) == []


def test_of_two_links_by_attaches_one_is_left() -> None:
    overlay, (one, other) = mesh(1, 2)
    one.node.attach([node(2)], overlay.now)
    overlay.settle(1)
    other.node.attach([node(1)], overlay.now)
    overlay.settle(1)
    assert len(one.wires) == len(other.wires) == 3
    (newest,) = list(one.wires)[2:]
    overlay.settle(20)
    assert list(one.wires) == [newest]
    assert len(other.wires) == 1
    assert one.of(Disconnected) == other.of(Disconnected) == []


@pytest.mark.parametrize(("number", "is_closed"), [(10, False), (200, True)])
def test_of_two_links_by_attaches_the_smaller_node_id_closes_the_older_one(number: int, is_closed: bool) -> None:
    made, (peer,) = bench(number)
    links = [_attached(made, peer, transaction) for transaction in (1, 2)]
    made.advance(20.0)
    assert made.closed() == [peer.link, *links[: int(is_closed)]]


def _attached(made: Bench, peer: Bystander, transaction: int) -> int:
    """A link by an Attach of the peer."""
    body = AttachReqAns(b"", b"", b"passive", candidates(30, transaction).candidates)
    peer.send(MessageCode.ATTACH_REQ, body, transaction=transaction)
    (wanted,) = _told(made, CandidatesWanted)
    assert isinstance(wanted, CandidatesWanted)
    made.node.provide_candidates(wanted.attach, candidates(ME, wanted.attach), made.now)
    return made.node.link_established(peer.identity, made.now, attach=wanted.attach)


@pytest.mark.parametrize("seed", range(5))
def test_attaches_to_resources_of_each_other_all_lead_to_links(seed: int) -> None:
    overlay, hosts = mesh(10, 20, 30, seed=seed, repeat=0.3, disorder=0.5)
    attaches = [
        (host, peer, host.node.attach([resource(peer.number)], overlay.now))
        for host in hosts
        for peer in hosts
        for _ in range(2)
        if host is not peer
    ]
    overlay.settle(5)
    assert [host.result(attach) for host, _, attach in attaches] == [peer.node_id for _, peer, _ in attaches]
    overlay.settle(30)
    assert {host.number: len(host.wires) for host in hosts} == {10: 2, 20: 2, 30: 2}


def test_an_attach_that_leads_to_nobody_fails() -> None:
    made, _ = bench()
    made.node.attach([at(77)], made.now)
    (wanted,) = _told(made, CandidatesWanted)
    assert isinstance(wanted, CandidatesWanted)
    made.node.provide_candidates(wanted.attach, candidates(ME, 1), made.now)
    made.advance(15)
    (failed,) = made.results()
    assert isinstance(failed, Failed)
    assert failed.reason


def test_verbs_about_attaches_that_are_none_raise() -> None:
    made, _ = bench()
    with pytest.raises(StateError):
        made.node.provide_candidates(5, candidates(ME, 1), made.now)
    with pytest.raises(StateError):
        made.node.connection_failed(5, made.now)
    with pytest.raises(StateError):
        made.node.attach([me()], made.now)
    with pytest.raises(StateError):
        made.node.attach([], made.now)


def test_a_driver_that_is_late_does_nothing_wrong() -> None:
    made, (one,) = bench(10)
    number = made.node.attach([at(10)], made.now)
    body = AttachReqAns(b"", b"", b"passive", candidates(10, 1).candidates)
    one.send(MessageCode.ATTACH_REQ, body)  # in the place of the own, of which the driver has heard already
    events = [event for event in made.events if isinstance(event, CandidatesWanted | ConnectionAbandoned)]
    assert [type(event) for event in events] == [CandidatesWanted, ConnectionAbandoned, CandidatesWanted]
    made.node.provide_candidates(number, candidates(ME, 1), made.now)
    made.node.connection_failed(number, made.now)
    with pytest.raises(StateError):
        made.node.link_established(one.identity, made.now, attach=number)
    assert one.received() == []
    made.node.provide_candidates(events[2].attach, candidates(ME, 1), made.now)
    assert len(one.received()) == 1
    made.node.link_established(one.identity, made.now, attach=events[2].attach)
    assert made.results() == [node_id(10)]


def test_a_connection_of_an_attach_to_another_node_is_refused() -> None:
    made, (one,) = bench(10)
    body = AttachReqAns(b"", b"", b"passive", candidates(10, 1).candidates)
    one.send(MessageCode.ATTACH_REQ, body)
    (wanted,) = _told(made, CandidatesWanted)
    assert isinstance(wanted, CandidatesWanted)
    made.node.provide_candidates(wanted.attach, candidates(ME, 1), made.now)
    (connect,) = _told(made, ConnectionWanted)
    assert isinstance(connect, ConnectionWanted)
    assert connect.peer == node_id(10)
    with pytest.raises(SecurityError):
        made.node.link_established(_identity(11), made.now, attach=wanted.attach)
    with pytest.raises(StateError):
        made.node.link_established(_identity(10), made.now, attach=wanted.attach)
    assert _told(made, Connected) == []


def test_an_application_gets_a_connection_that_is_no_link() -> None:
    overlay = MemoryOverlay()
    one, other = (overlay.add(number, applications=frozenset({5060})) for number in (1, 2))
    overlay.link(one, other)
    handle = one.node.app_attach([node(2)], 5060, overlay.now)
    refused = one.node.app_attach([node(2)], 4242, overlay.now)
    overlay.settle()
    assert one.result(handle) == node_id(2)
    assert [event.application for event in other.of(ConnectionWanted)] == [5060]  # type: ignore[attr-defined]
    assert len(one.wires) == len(other.wires) == 1
    failed = one.result(refused)
    assert isinstance(failed, Failed)
    assert failed.error is not None
    assert failed.error.error_code == ErrorCode.NOT_FOUND


# Nodes with several Node-IDs (section 6.1.2).


def _several(number: int = 302) -> KeySigner:
    certificate = issue([node_id(301), node_id(302), node_id(303)], name="several")
    return KeySigner(key("several"), [certificate], OVERLAY, node_id=node_id(number))


_REAL = reload_configurations.in_force(no_ice=True)


@pytest.fixture
def real() -> tuple[Bench, Bystander, Bystander]:
    """A node whose signatures hold, a neighbor with three Node-IDs that uses the second, and another one."""
    made, (other,) = bench(200, in_force=_REAL, make_signer=enrolled)
    return made, Bystander(made, 302, signer=_several()), other


def test_nothing_but_ping_and_attach_is_taken_before_an_attach(real: tuple[Bench, Bystander, Bystander]) -> None:
    made, several, _ = real
    assert several.send(MessageCode.JOIN_REQ, JoinReq(node_id(302))) == []
    assert len(made.drops()) == 1
    (answer,) = several.send(_PING, PingReq())
    assert answer.contents.message_code == MessageCode.PING_ANS
    assert answer.header.destination_list == (at(302),)
    (refused,) = several.send(MessageCode.JOIN_REQ, JoinReq(node_id(302)), transaction=2)
    assert error_of(refused) == ErrorCode.FORBIDDEN
    (refused,) = several.send(MessageCode.FETCH_REQ, b"", where(150), transaction=3)
    assert error_of(refused) == ErrorCode.FORBIDDEN
    assert made.topology.requests == []


def test_a_ping_through_this_node_is_answered_by_the_way_it_has_told(
    real: tuple[Bench, Bystander, Bystander],
) -> None:
    _, several, other = real
    several.send(_PING, PingReq(), where(200))
    (onwards,) = other.received()
    assert onwards.header.via_list == (at(302),)


@pytest.mark.parametrize("to", [me(), where(200)])
def test_fragments_tell_the_node_id_once_they_are_all_there(
    real: tuple[Bench, Bystander, Bystander], to: Destination
) -> None:
    made, several, other = real
    parts = fragment(several.octets(_PING, PingReq(bytes(1000)), to), 700)
    assert len(parts) > 2
    for part in parts[:-1]:
        assert several.send_octets(part) == other.received() == []
    answers = several.send_octets(parts[-1])
    if to == me():
        assert [answer.header.destination_list for answer in answers] == [(at(302),)]
    else:
        assert [onwards.header.via_list for onwards in other.received()] == [(at(302),)]
    assert made.drops() == []


def test_fragments_over_two_links_do_not_join_before_they_have_a_node_id(
    real: tuple[Bench, Bystander, Bystander],
) -> None:
    made, one, _ = real
    other = Bystander(made, 303, signer=_several(303))
    parts = fragment(one.octets(_PING, PingReq(bytes(1000))), 700)
    for part in parts[:-1]:
        assert one.send_octets(part) == []
    assert other.send_octets(parts[-1]) == []
    assert len(one.send_octets(parts[-1])) == 1


def test_links_that_turn_out_to_lead_to_a_node_are_told_and_so_many(
    real: tuple[Bench, Bystander, Bystander], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload.links, "MAX_LINKS_OF_NODE", 2)
    made, first, _ = real
    more = [Bystander(made, 302, signer=_several()) for _ in range(2)]
    for transaction, several in enumerate((first, *more)):
        several.send(_PING, PingReq(), transaction=transaction)
    assert _told(made, Connected) == [Connected(node_id(302))]
    assert made.closed() == [first.link]


@pytest.mark.parametrize("octets", [b"", b"junk", bytes(100)])
def test_junk_tells_no_node_id(real: tuple[Bench, Bystander, Bystander], octets: bytes) -> None:
    made, several, _ = real
    assert several.send_octets(octets) == []
    ping = several.octets(_PING, PingReq())
    assert several.send_octets(ping[:-1] + bytes([ping[-1] ^ 1])) == []
    assert len(made.drops()) == 2
    assert _told(made, Connected) == []


def test_the_message_of_another_tells_no_node_id(real: tuple[Bench, Bystander, Bystander]) -> None:
    made, several, _ = real
    assert several.send(_PING, PingReq(), signer=enrolled(7)) == []
    assert len(made.drops()) == 1


def test_a_node_that_has_attached_is_served_on_all_its_links(real: tuple[Bench, Bystander, Bystander]) -> None:
    made, several, _ = real
    several.send(_PING, PingReq())
    body = AttachReqAns(b"", b"", b"passive", candidates(30, 1).candidates)
    several.send(MessageCode.ATTACH_REQ, body, transaction=2)
    (wanted,) = _told(made, CandidatesWanted)
    assert isinstance(wanted, CandidatesWanted)
    made.node.provide_candidates(wanted.attach, candidates(ME, 1), made.now)
    made.node.link_established(several.identity, made.now, attach=wanted.attach)
    assert len(several.received()) == 1
    (answer,) = several.send(MessageCode.JOIN_REQ, JoinReq(node_id(302)), transaction=3)
    assert answer.contents.message_code == MessageCode.JOIN_ANS


def test_a_node_with_one_node_id_needs_no_attach() -> None:
    _, (single,) = bench(7, in_force=_REAL, make_signer=enrolled)
    (answer,) = single.send(MessageCode.JOIN_REQ, JoinReq(node_id(7)))
    assert answer.contents.message_code == MessageCode.JOIN_ANS


def test_a_node_that_leaves_closes_its_links_behind_its_last_messages() -> None:
    made, (one, other) = bench(10, 20)
    made.node.ping([at(10)], made.now)
    made.node.leave(made.now)
    assert len(one.received()) == 1
    assert made.closed() == [one.link, other.link]
