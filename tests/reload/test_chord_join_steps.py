"""How a node becomes a peer, step by step (RFC 6940 sections 10.5, 10.7.1 and 11.4)."""

from __future__ import annotations

from reload_chord import RING, node
from reload_joining import ADMITTING, BOOTSTRAP, OWN, Join, state

from reload.chord_join import LEARNING_PATIENCE, JoinState
from reload.contents import MessageCode
from reload.destinations import NodeDestination, ResourceDestination
from reload.methods import ChordUpdateType, JoinReq


def test_the_first_thing_is_an_attach_to_the_resource_behind_us_through_the_bootstrap_node() -> None:
    (attach,) = Join().overlay.attaches
    assert attach.destination_list == (NodeDestination(node(BOOTSTRAP)), ResourceDestination(node(OWN + 1)))
    assert attach.send_update


def test_neighbors_are_attached_through_the_admitting_peer() -> None:
    join = Join().attach()
    join.overlay.take_attaches()
    join.update(ADMITTING, [500, 400], [3000, 4000], [])
    assert [each.destination_list for each in join.overlay.take_attaches()] == [
        (NodeDestination(node(ADMITTING)), NodeDestination(node(number))) for number in (500, 400, 3000, 4000)
    ]
    assert join.overlay.take() == []


def test_the_join_goes_to_the_admitting_peer_when_all_neighbors_are_attached() -> None:
    join = Join().connect()
    (sent,) = join.overlay.take()
    assert (sent.code, sent.body) == (MessageCode.JOIN_REQ, JoinReq(joining_peer_id=node(OWN)))
    assert (sent.destination_list, sent.first_hop) == ((NodeDestination(node(ADMITTING)),), node(ADMITTING))


def test_a_node_is_a_peer_when_the_admitting_peer_names_it_as_its_predecessor() -> None:
    join = Join().wait_for_update()
    assert not join.chord.is_joined
    assert join.events() == []
    join.update(ADMITTING, [OWN, 500, 400], [3000, 4000, 500])
    assert join.chord.is_joined
    assert join.events() == ["Joined"]
    assert join.chord.is_responsible(node(501))
    assert not join.chord.is_responsible(node(500))


def test_no_update_is_sent_before_all_neighbors_are_attached() -> None:
    join = Join().place()
    assert join.state is JoinState.SETTLING
    join.chord.on_connected(node(ADMITTING), join.now, send_update=True)
    join.wait(3)
    assert join.overlay.take(MessageCode.UPDATE_REQ) == []
    join.attach_named(600)
    join.wait(0)
    told = {each.first_hop for each in join.overlay.take(MessageCode.UPDATE_REQ)}
    assert told == {node(number) for number in (400, 500, 600, 2000, 3000, 4000)}


def test_the_first_updates_tell_the_neighbors_of_the_new_peer() -> None:
    join = state(JoinState.IDLE)
    join.wait(0)
    update = join.overlay.take(MessageCode.UPDATE_REQ)[0].body
    assert update.type == ChordUpdateType.NEIGHBORS
    assert update.tables.predecessors == (node(600), node(500), node(400))
    assert update.tables.successors == (node(2000), node(3000), node(4000))


def test_whoever_is_named_between_us_and_the_admitting_peer_admits_us_instead() -> None:
    for of in (JoinState.LEARNING, JoinState.CONNECTING, JoinState.JOINING, JoinState.WAITING):
        join = state(of)
        join.update(ADMITTING, [1500, 500], [3000])
        assert join.state is JoinState.ATTACHING
        assert join.last_attach().destination_list == (
            NodeDestination(node(ADMITTING)),
            ResourceDestination(node(OWN + 1)),
        )
        join.attached(join.last_attach(), 1500)
        assert join.state is JoinState.LEARNING


def test_a_neighbor_that_turns_out_to_be_the_successor_admits_us() -> None:
    join = Join().learn()
    for each, number in join.take_named():
        join.attached(each, number)
        join.update(number, [1200] if number == 3000 else [])
    join.attach_named(1200)
    (sent,) = join.overlay.take(MessageCode.JOIN_REQ)
    assert sent.first_hop == node(1200)


def test_an_update_that_does_not_come_is_asked_for() -> None:
    join = Join().attach()
    join.wait(LEARNING_PATIENCE)
    (query,) = join.overlay.take(MessageCode.ROUTE_QUERY_REQ)
    assert query.first_hop == node(ADMITTING)
    assert query.body.send_update
    assert join.state is JoinState.LEARNING


def test_successors_are_found_one_by_one_if_the_admitting_peer_does_not_tell_of_them() -> None:
    join = state(JoinState.SURVEYING)
    join.overlay.take_attaches()
    pinged = []
    for found in (ADMITTING, 3000, 4000, 500):
        (ping,) = join.overlay.take(MessageCode.PING_REQ)
        pinged.append(ping.destination_list)
        join.answer(ping, found)
    places = [node(number + 1) for number in (OWN, ADMITTING, 3000, 4000)]
    assert pinged == [(NodeDestination(node(BOOTSTRAP)), ResourceDestination(place)) for place in places]
    assert join.state is JoinState.CONNECTING
    for attach, number in join.take_named():
        assert attach.destination_list[0] == NodeDestination(node(BOOTSTRAP))
        join.attached(attach, number)
        join.update(number)
    # The Admitting Peer is not in the routing table, but it is whom the Join is for.
    assert join.successors == [3000, 4000, 500]
    (sent,) = join.overlay.take(MessageCode.JOIN_REQ)
    assert sent.first_hop == node(ADMITTING)
    join.answer(sent, ADMITTING)
    join.update(ADMITTING, [OWN, 500], [3000, 4000, 500])
    assert join.chord.is_joined


def test_the_search_for_successors_ends_where_nobody_answers() -> None:
    join = state(JoinState.SURVEYING)
    join.fail(join.overlay.take(MessageCode.PING_REQ)[0])
    (sent,) = join.overlay.take(MessageCode.JOIN_REQ)
    assert sent.first_hop == node(ADMITTING)


def test_the_search_for_successors_ends_once_round_the_ring() -> None:
    join = state(JoinState.SURVEYING)
    join.answer(join.overlay.take(MessageCode.PING_REQ)[0], ADMITTING)
    join.answer(join.overlay.take(MessageCode.PING_REQ)[0], OWN)
    assert join.state is JoinState.JOINING


def test_an_update_that_comes_late_ends_the_search_for_successors() -> None:
    join = state(JoinState.SURVEYING)
    join.update(ADMITTING, [500], [3000], [])
    assert join.state is JoinState.CONNECTING


def test_the_answer_of_somebody_else_to_the_join_is_discarded() -> None:
    join = Join().connect()
    join.answer(join.overlay.take(MessageCode.JOIN_REQ)[0], 3000)
    assert join.state is JoinState.PAUSED
    assert not join.chord.is_joined


def test_who_is_not_the_first_predecessor_of_the_admitting_peer_is_no_peer_yet() -> None:
    """Section 10.5: the Update labels the Joining Node "as its predecessor"."""
    join = Join().wait_for_update()
    join.update(ADMITTING, [1500, OWN, 500], [3000, 4000, 500])
    assert not join.chord.is_joined
    assert join.state is JoinState.ATTACHING
    assert join.overlay.attaches[-1].destination_list[0] == NodeDestination(node(ADMITTING))


def test_an_update_of_another_neighbor_makes_nobody_a_peer() -> None:
    join = Join().wait_for_update()
    join.update(3000, [OWN], [])
    assert not join.chord.is_joined


def test_the_update_may_overtake_the_answer_to_the_join() -> None:
    join = Join().connect()
    join.update(ADMITTING, [OWN, 500, 400], [3000])
    assert join.chord.is_joined
    join.answer(join.overlay.take(MessageCode.JOIN_REQ)[0], ADMITTING)
    assert join.chord.is_joined


def test_fingers_are_attached_where_ranges_have_none_and_conventionally() -> None:
    join = Join().attach()
    far = [RING - 10**9, RING - 2 * 10**9]
    join.update(ADMITTING, [500, *far], [3000, 4000])
    for each, number in join.take_named():
        join.attached(each, number)
        join.update(number)
    found = join.overlay.take_attaches()
    starts = [ResourceDestination(node(OWN + (1 << 128 - index))) for index in (2, 3, 4, 5)]
    assert [each.destination_list for each in found] == [(start,) for start in starts]
    # One has ended: the next range has its turn, if it still has none.
    finger = OWN + (1 << 126) + 5
    join.attached(found[0], finger)
    join.update(finger)
    (after,) = join.overlay.take_attaches()
    assert after.destination_list == (ResourceDestination(node(OWN + (1 << 122))),)


def test_all_who_were_attached_and_have_sent_an_update_are_in_the_routing_table() -> None:
    join = Join().connect()
    assert {peer.node_id for peer in join.chord.table.peers()} == {node(each) for each in (400, 500, 2000, 3000, 4000)}
    # The bootstrap node is connected only.
    assert node(BOOTSTRAP) in join.overlay.links


def test_the_link_to_the_bootstrap_node_is_closed_when_it_is_neither_neighbor_nor_finger() -> None:
    join = state(JoinState.IDLE)
    assert join.overlay.disconnected == [node(BOOTSTRAP)]


def test_the_link_to_the_bootstrap_node_is_kept_when_it_is_a_peer_of_ours() -> None:
    join = Join()
    join.attached(join.last_attach(), BOOTSTRAP)
    join.update(BOOTSTRAP, [], [], [])
    join.answer(join.overlay.take(MessageCode.JOIN_REQ)[0], BOOTSTRAP)
    join.update(BOOTSTRAP, [OWN], [OWN], [])
    join.wait(1)
    assert join.overlay.disconnected == []
    assert join.chord.is_joined
