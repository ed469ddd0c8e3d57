"""Clients: attached to the peer that is responsible for their Node-ID (RFC 6940 section 4.2.1)."""

import pytest
from reload_bystander import Bench, Bystander, at, bench, me, null_signer
from reload_configurations import PRIVATE
from reload_identities import node_id
from reload_overlay import Host, MemoryOverlay, candidates, connect_all, in_force, node, resource

from reload.chord import ChordReload
from reload.client import CHECK_INTERVAL, RETRY_INTERVAL, ClientTopology
from reload.contents import ErrorCode, MessageCode
from reload.errors import StateError
from reload.events import CandidatesWanted, ConnectionWanted
from reload.exchange import Response
from reload.message import decode_body
from reload.methods import AttachReqAns, ChordUpdate, JoinReq, LeaveReq, PingAns, PingReq
from reload.naming import resource_id
from reload.operations import Failed, Fetch, Fetched, NewValue, Store, Stored, Wanted
from reload.storage_messages import DataValue, SingleSpecifier
from reload.topology import BootstrapWanted, Joined, JoinFailed, Left

_PEERS = (1 << 60, 1 << 100, 1 << 126)


def _overlay() -> tuple[MemoryOverlay, list[Host], Host]:
    """Three peers, and a client of the second with a link to the first."""
    overlay = MemoryOverlay()
    peers = [overlay.add(number) for number in _PEERS]
    connect_all(overlay, peers)
    client = overlay.add(_PEERS[1] - 5, is_client=True)
    return overlay, peers, client


def _joined(overlay: MemoryOverlay, peers: list[Host], client: Host) -> None:
    link, _ = overlay.link(client, peers[0])
    client.node.join(link, overlay.now)
    overlay.settle()
    assert client.of(Joined) == [Joined()]


def test_a_client_attaches_to_the_peer_that_is_responsible_for_it_and_is_reached_there() -> None:
    overlay, peers, client = _overlay()
    _joined(overlay, peers, client)
    assert peers[1].node_id in {wire.other.peer.node_id for wire in client.wires.values() if wire.other}
    handle = peers[2].node.ping([node(client.number)], overlay.now)
    overlay.settle()
    response = peers[2].result(handle)
    assert isinstance(response, Response)
    assert response.identity.node_id == client.node_id


def test_a_client_stores_and_fetches() -> None:
    overlay, peers, client = _overlay()
    _joined(overlay, peers, client)
    where = resource_id(f"user{client.number}@example.org".encode())
    value = DataValue(True, b"of a client")
    handle = client.node.perform(Store(where, (NewValue(PRIVATE.id, value, 100),)), overlay.now)
    overlay.settle()
    assert isinstance(client.result(handle), Stored)
    handle = client.node.perform(Fetch(where, (Wanted(PRIVATE.id, SingleSpecifier()),)), overlay.now)
    overlay.settle()
    fetched = client.result(handle)
    assert isinstance(fetched, Fetched)
    assert [each.data.value for each in fetched.kinds[PRIVATE.id].values] == [value]
    assert len(client.node.storage) == 0


def test_a_client_may_use_the_overlay_through_any_peer_without_joining() -> None:
    overlay, peers, client = _overlay()
    handle = client.node.ping([resource(7)], overlay.now)
    overlay.link(client, peers[2])
    overlay.settle(4)
    assert isinstance(client.result(handle), Response)
    handle = peers[0].node.ping([node(_PEERS[2]), node(client.number)], overlay.now)
    overlay.settle()
    assert isinstance(peers[0].result(handle), Response)


def test_a_client_goes_to_another_peer_when_its_own_is_gone() -> None:
    overlay, peers, client = _overlay()
    _joined(overlay, peers, client)
    home = peers[1]
    for peer in (peers[0], peers[2]):
        peer.topology.peers.remove(home.node_id)
    for link in list(home.wires):
        overlay.cut(home, link)
    overlay.settle(RETRY_INTERVAL + 1)
    connected = {wire.other.peer.node_id for wire in client.wires.values() if wire.other}
    assert peers[2].node_id in connected


def test_a_client_looks_for_a_closer_peer_when_its_own_sends_an_update() -> None:
    overlay, peers, client = _overlay()
    _joined(overlay, peers, client)
    closer = overlay.add(_PEERS[1] - 3)
    for peer in peers:
        overlay.link(closer, peer)
        peer.topology.peers.append(closer.node_id)
    closer.topology.is_joined = True
    closer.topology.peers = [closer.node_id, *[peer.node_id for peer in peers]]
    request = (node(client.number),), MessageCode.UPDATE_REQ, ChordUpdate(0, 1)
    peers[1].topology.overlay.request(*request, overlay.now)
    overlay.settle(2)
    connected = {wire.other.peer.node_id for wire in client.wires.values() if wire.other}
    assert closer.node_id in connected
    assert peers[1].node_id not in connected


def test_a_client_of_a_ring_is_reached_by_its_node_id() -> None:
    overlay = MemoryOverlay()
    peers = [overlay.add(number, make_topology=ChordReload) for number in (*_PEERS, 3 << 125, 5 << 125)]
    peers[0].node.start(overlay.now)
    for peer in peers[1:]:
        link, _ = overlay.link(peer, peers[0])
        peer.node.join(link, overlay.now)
        overlay.settle(5)
    client = overlay.add(_PEERS[1] - 5, is_client=True)
    _joined(overlay, peers, client)
    overlay.settle(20)
    handle = peers[3].node.ping([node(client.number)], overlay.now)
    overlay.settle()
    assert isinstance(peers[3].result(handle), Response)


# One client, and a peer that is played.


def test_a_client_routes_nothing_and_is_responsible_for_nothing() -> None:
    made, (one, other) = bench(10, 20, is_client=True)
    for destination in (at(20), at(33)):
        one.send(MessageCode.PING_REQ, PingReq(), destination)
    assert [len(each.received()) for each in (one, other)] == [0, 1]  # but to whom it is connected
    assert made.drops() == ["no way to go on"]
    topology = made.node.topology
    assert topology.owner(node_id(1)) is None
    assert topology.replica_peers(node_id(1)) == ()
    assert not topology.accepts_replica([node_id(1)], node_id(1), 1)
    assert not topology.keeps(node_id(1))
    assert topology.responsible_ppb() == 0
    assert not topology.is_joined
    assert topology.is_plausible_responder(node_id(1), node_id(2))


@pytest.mark.parametrize(
    ("code", "body"),
    [(MessageCode.JOIN_REQ, JoinReq(node_id(10))), (MessageCode.ROUTE_QUERY_REQ, b"\0\x02\x03\x02\x01\x01\0\0")],
)
def test_a_client_admits_nobody_and_tells_no_routes(code: MessageCode, body: object) -> None:
    _, (one,) = bench(10, is_client=True)
    (refused,) = one.send(code, body)
    assert decode_body(refused.contents).error_code == ErrorCode.FORBIDDEN


def test_verbs_that_are_not_a_clients_raise() -> None:
    made, (one,) = bench(10, is_client=True)
    with pytest.raises(StateError):
        made.node.start(made.now)
    with pytest.raises(StateError):
        made.node.join(77, made.now)
    made.node.join(one.link, made.now)
    with pytest.raises(StateError):
        made.node.join(one.link, made.now)


def test_an_overlay_may_permit_no_clients() -> None:
    made, (one,) = bench(10, is_client=True, in_force=in_force(clients_permitted=False))
    with pytest.raises(StateError):
        made.node.join(one.link, made.now)
    peer, (other,) = bench(10, in_force=in_force(clients_permitted=False), is_joined=False)
    peer.node.join(other.link, peer.now)


def test_a_client_that_cannot_attach_says_so_and_may_try_again() -> None:
    made, (one,) = bench(10, is_client=True)
    for _ in range(2):
        made.node.join(one.link, made.now)
        made.collect()
        (wanted,) = [event for event in made.events if isinstance(event, CandidatesWanted)]
        made.node.connection_failed(wanted.attach, made.now)
        made.collect()
        assert [type(event) for event in made.events if isinstance(event, JoinFailed | Joined)] == [JoinFailed]
        made.events.clear()


def _attached() -> tuple[Bench, Bystander]:
    """A client whose peer, with Node-ID 10, is played."""
    made, (one,) = bench(10, is_client=True)
    made.node.join(one.link, made.now)
    made.collect()
    (wanted,) = [event for event in made.events if isinstance(event, CandidatesWanted)]
    made.node.provide_candidates(wanted.attach, candidates(100, 1), made.now)
    (request,) = one.received()
    body = AttachReqAns(b"", b"", b"active", candidates(10, 1).candidates)
    one.send(MessageCode.ATTACH_ANS, body, me(), transaction=request.header.transaction_id)
    (connect,) = [event for event in made.events if isinstance(event, ConnectionWanted)]
    one.link = made.node.link_established(one.identity, made.now, attach=connect.attach)
    made.collect()
    assert Joined() in made.events
    return made, one


def test_a_client_asks_from_time_to_time_who_is_responsible_for_it() -> None:
    made, one = _attached()
    made.advance(CHECK_INTERVAL)
    (request,) = one.received()
    assert request.contents.message_code == MessageCode.PING_REQ
    assert request.header.destination_list[-1].resource_id == made.node.node_id
    one.send(MessageCode.PING_ANS, PingAns(1, 2), me(), transaction=request.header.transaction_id)
    made.advance(CHECK_INTERVAL - 1)
    assert one.received() == []
    made.advance(1)
    assert len(one.received()) == 1


def test_a_client_that_hears_nothing_asks_again() -> None:
    made, one = _attached()
    made.advance(CHECK_INTERVAL + 15)
    assert len(one.received()) == 5
    made.advance(RETRY_INTERVAL)
    assert len(one.received()) == 1
    # There is a link left to ask over.
    assert BootstrapWanted() not in made.events


def test_a_client_attaches_to_who_has_answered_in_the_place_of_its_peer() -> None:
    made, one = _attached()
    made.advance(CHECK_INTERVAL)
    (request,) = one.received()
    made.events.clear()
    one.send(
        MessageCode.PING_ANS,
        PingAns(1, 2),
        me(),
        transaction=request.header.transaction_id,
        signer=null_signer(44),
    )
    assert any(isinstance(event, CandidatesWanted) for event in made.events)


@pytest.mark.parametrize("code", [MessageCode.UPDATE_REQ, MessageCode.LEAVE_REQ])
def test_what_the_peer_says_makes_a_client_look_again(code: MessageCode) -> None:
    _, one = _attached()
    body = ChordUpdate(0, 1) if code == MessageCode.UPDATE_REQ else LeaveReq(node_id(10))
    messages = one.send(code, body)
    assert {message.contents.message_code for message in messages} == {code + 1, MessageCode.PING_REQ}
    assert [message.contents.message_code for message in one.send(code, body, transaction=2)] == [code + 1]


def test_a_client_that_leaves_looks_for_nobody() -> None:
    made, one = _attached()
    made.node.leave(made.now)
    made.collect()
    assert Left() in made.events
    made.advance(3 * CHECK_INTERVAL)
    assert one.received() == []


def test_a_client_whose_last_link_is_gone_wants_a_bootstrap_node() -> None:
    overlay, peers, client = _overlay()
    _joined(overlay, peers, client)
    assert client.of(BootstrapWanted) == []
    for link in list(client.wires):
        overlay.cut(client, link)
    overlay.settle(15)
    assert client.of(BootstrapWanted) == [BootstrapWanted()]
    link, _ = overlay.link(client, peers[2])
    client.node.check_partition(link, overlay.now)
    overlay.settle()
    assert peers[1].node_id in {wire.other.peer.node_id for wire in client.wires.values() if wire.other}


def test_a_client_may_be_told_of_another_bootstrap_node() -> None:
    made, one = _attached()
    made.node.check_partition(one.link, made.now)
    assert one.received() == []
    made.node.link_lost(one.link, made.now)
    made.advance(20.0)
    assert isinstance(made.node.topology, ClientTopology)


def test_failures_of_a_client_are_those_of_any_node() -> None:
    made, _ = _attached()
    made.node.ping([at(44)], made.now)
    made.advance(15)
    (failed,) = made.results()
    assert isinstance(failed, Failed)
