"""CHORD-RELOAD as a whole: what others send to it, and what it asks for (RFC 6940 sections 6.4.2 and 10)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_bystander import at, bench, where
from reload_chord import HEADER, RING, Lone, identity, node

from reload._presentation import decode, encode
from reload.chord import ChordReload
from reload.chord_leave import LEAVE_PATIENCE
from reload.chord_queries import MAX_ASKED
from reload.chord_updates import MAX_PEERS
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.destinations import (
    Destination,
    NodeDestination,
    OpaqueDestination,
    ResourceDestination,
    UnknownDestination,
)
from reload.errors import StateError
from reload.exchange import Answer, Failure, Request, Response
from reload.methods import (
    ChordFull,
    ChordLeaveData,
    ChordLeaveType,
    ChordNeighbors,
    ChordRouteQueryAns,
    ChordUpdate,
    ChordUpdateType,
    Empty,
    JoinReq,
    LeaveReq,
    RouteQueryReq,
)
from reload.topology import MakeTopology, Topology

S = RING // 480
NEAR = [10 * S, 20 * S, 30 * S, RING - 10 * S, RING - 20 * S, RING - 30 * S]
FAR = 120 * S
CLIENT = 250 * S


def peer(**changes: Any) -> Lone:
    lone = Lone(0, **changes).start().ready(*NEAR, FAR)
    lone.link(CLIENT)
    lone.wait(2)
    lone.overlay.take()
    return lone


def test_it_fits_the_port() -> None:
    make: MakeTopology = ChordReload
    topology: Topology = make(Lone(0).overlay, 0.0)
    assert not topology.is_joined


# Being a peer.


def test_the_first_peer_is_responsible_for_everything() -> None:
    lone = Lone(5).start()
    assert lone.events() == ["Joined"]
    assert lone.chord.is_responsible(node(77))
    assert lone.chord.next_hop(node(77)) is None
    assert lone.chord.responsible_ppb() == 1_000_000_000


def test_a_peer_is_started_once() -> None:
    lone = Lone(5).start()
    for verb in (lone.chord.start, lambda now: lone.chord.join(node(7), now)):
        with pytest.raises(StateError):
            verb(1.0)


def test_messages_go_by_the_rule_of_section_10_3_and_end_here_if_we_are_responsible() -> None:
    lone = peer()
    assert lone.chord.next_hop(node(RING - 5 * S)) is None
    assert lone.chord.next_hop(node(0)) is None
    assert lone.chord.next_hop(node(25 * S)) == node(20 * S)
    assert lone.chord.next_hop(node(5 * S)) == node(10 * S)
    assert lone.chord.next_hop(node(300 * S)) == node(FAR)


def test_nothing_is_routed_through_a_connected_node_that_has_sent_no_update() -> None:
    lone = peer()
    assert lone.chord.next_hop(node(CLIENT + 1)) == node(FAR)
    lone.ready(CLIENT)
    assert lone.chord.next_hop(node(CLIENT + 1)) == node(CLIENT)


def test_who_is_no_peer_sends_all_to_whom_it_is_connected() -> None:
    lone = Lone(5)
    assert lone.chord.next_hop(node(77)) is None
    lone.link(200, 100)
    assert lone.chord.next_hop(node(77)) == node(100)
    lone.chord.join(node(200), 0.0)
    assert lone.chord.next_hop(node(77)) == node(200)
    assert not lone.chord.is_responsible(node(5))


# Updates.


@pytest.mark.parametrize(
    "body",
    [
        ChordUpdate(1, ChordUpdateType.PEER_READY),
        ChordUpdate(1, ChordUpdateType.NEIGHBORS, ChordNeighbors((), ())),
        ChordUpdate(1, ChordUpdateType.FULL, ChordFull((), (), ())),
    ],
)
def test_any_update_of_a_neighbor_on_the_link_makes_it_a_peer(body: ChordUpdate) -> None:
    lone = peer()
    assert lone.request(CLIENT, MessageCode.UPDATE_REQ, body) == Answer(Empty())
    assert node(CLIENT) in lone.chord.table
    assert lone.chord.table.get(node(CLIENT)).since == lone.now - 1  # type: ignore[union-attr]


def test_an_update_that_was_forwarded_makes_nobody_a_peer() -> None:
    lone = peer()
    assert lone.update(CLIENT, [], [], hop=10 * S) == Answer(Empty())
    assert lone.update(5 * S, [], [3 * S], hop=10 * S) == Answer(Empty())
    assert node(CLIENT) not in lone.chord.table
    # But it shows that there is somebody, to be attached through who has sent it on.
    (attach,) = lone.overlay.take_attaches()
    assert attach.destination_list == (NodeDestination(node(10 * S)), NodeDestination(node(5 * S)))


def test_an_update_in_our_own_name_is_forbidden() -> None:
    lone = peer()
    assert lone.update(0, [], [5 * S]) == ErrorResponse(ErrorCode.FORBIDDEN)
    assert lone.update(RING - 1, [], [5 * S]) == ErrorResponse(ErrorCode.FORBIDDEN)
    assert lone.overlay.take_attaches() == []


def test_thousands_of_ids_in_an_update_lead_to_few_attaches() -> None:
    lone = peer()
    lone.update(10 * S, range(1, 4000), range(4000, 8000), range(8000, 12000))
    assert len(lone.overlay.take_attaches()) <= 6


@given(st.lists(st.lists(st.sampled_from([0, 1, 5, RING - 1, 10 * S, FAR, CLIENT, RING - 5]), max_size=9), min_size=3))
def test_no_update_raises_or_puts_us_or_strangers_into_the_tables(lists: list[list[int]]) -> None:
    lone = peer()
    before = lone.chord.table.successors, lone.chord.table.predecessors
    lone.update(10 * S, *lists[:3])
    lone.wait(100)
    assert (lone.chord.table.successors, lone.chord.table.predecessors) == before


def test_a_flood_of_peers_is_cut_down_to_what_is_useful() -> None:
    lone = peer()
    lone.ready(*[(1 << 126) + number for number in range(1000)])
    assert len(lone.chord.table) <= MAX_PEERS
    assert len(lone.overlay.disconnected) == 1007 - MAX_PEERS
    assert lone.successors == NEAR[:3]
    assert all(each not in lone.overlay.links for each in lone.overlay.disconnected)


# Leaves.


def leave(lone: Lone, sender: int, leaving: int, hop: int, peers: list[int] | bytes = b"") -> Any:
    data = peers if isinstance(peers, bytes) else encode(ChordLeaveData(1, tuple(map(node, peers))))
    body = LeaveReq(leaving_peer_id=node(leaving), overlay_specific_data=data)
    return lone.request(sender, MessageCode.LEAVE_REQ, body, hop=hop)


def test_a_leave_is_treated_as_a_failure() -> None:
    lone = peer()
    assert leave(lone, 10 * S, 10 * S, 10 * S, [20 * S, 30 * S]) == Answer(Empty())
    assert lone.successors == [20 * S, 30 * S, FAR]
    lone.wait(0)
    told = {each.first_hop for each in lone.overlay.take(MessageCode.UPDATE_REQ)}
    assert told == {node(each) for each in (*NEAR[1:], FAR)}


def test_peers_that_a_leave_names_are_attached() -> None:
    lone = peer()
    leave(lone, 10 * S, 10 * S, 10 * S, [20 * S, 30 * S, 35 * S])
    (attach,) = lone.overlay.take_attaches()
    assert attach.destination_list == (NodeDestination(node(10 * S)), NodeDestination(node(35 * S)))


@pytest.mark.parametrize(("sender", "leaving", "hop"), [(10, 20, 10), (20, 20, 10), (10, 20, 20)])
def test_a_forged_or_replayed_leave_is_forbidden(sender: int, leaving: int, hop: int) -> None:
    lone = peer()
    assert leave(lone, sender * S, leaving * S, hop * S) == ErrorResponse(ErrorCode.FORBIDDEN)
    assert lone.successors == NEAR[:3]


def test_a_malformed_leave_changes_nothing() -> None:
    lone = peer()
    reply = leave(lone, 10 * S, 10 * S, 10 * S, b"\x07\x00")
    assert reply.error_code == ErrorCode.INVALID_MESSAGE
    assert lone.successors == NEAR[:3]


def test_the_leave_of_a_stranger_is_answered_and_changes_nothing() -> None:
    lone = peer()
    assert leave(lone, CLIENT, CLIENT, CLIENT, [5 * S]) == Answer(Empty())
    assert lone.overlay.take_attaches() == []


def test_who_leaves_tells_successors_its_predecessors_and_predecessors_its_successors() -> None:
    lone = peer()
    lone.chord.leave(lone.now)
    found = {}
    for each in lone.overlay.take(MessageCode.LEAVE_REQ):
        assert each.body.leaving_peer_id == node(0)
        data = decode(ChordLeaveData, each.body.overlay_specific_data)
        found[each.first_hop] = (data.type, lone.numbers(data.peers))
    before, behind = (ChordLeaveType.FROM_PRED, NEAR[3:]), (ChordLeaveType.FROM_SUCC, NEAR[:3])
    assert found == {node(each): before if each in (*NEAR[:3], FAR) else behind for each in (*NEAR, FAR)}


def test_a_node_has_left_when_all_have_answered_its_leave() -> None:
    lone = peer()
    lone.events()
    lone.chord.leave(lone.now)
    assert not lone.chord.is_joined
    sent = lone.overlay.take(MessageCode.LEAVE_REQ)
    for each in sent[:-1]:
        lone.answer(each, 1, Empty())
    lone.wait(0)
    assert lone.events() == []
    lone.fail(sent[-1])
    lone.wait(0)
    assert lone.events() == ["Left"]
    assert lone.chord.get_timer() is None


def test_a_node_has_left_after_a_while_whoever_answers() -> None:
    lone = peer()
    lone.events()
    lone.chord.leave(lone.now)
    lone.wait(LEAVE_PATIENCE)
    assert lone.events() == ["Left"]


def test_who_leaves_still_forwards_and_takes_nobody_in() -> None:
    lone = peer()
    lone.chord.leave(lone.now)
    assert lone.chord.next_hop(node(25 * S)) == node(20 * S)
    assert not lone.chord.is_responsible(node(0))
    lone.ready(5 * S)
    assert node(5 * S) not in lone.chord.table
    with pytest.raises(StateError):
        lone.chord.leave(lone.now)
    with pytest.raises(StateError):
        lone.chord.start(lone.now)


def test_a_peer_that_is_alone_leaves_at_once_and_may_come_back() -> None:
    lone = Lone(5).start()
    lone.chord.leave(0.0)
    lone.wait(0)
    assert lone.events() == ["Joined", "Left"]
    lone.start()
    assert lone.chord.is_joined


# RouteQueries.


def query(lone: Lone, destination: Destination, *, send_update: bool = False, sender: int = CLIENT) -> Any:
    return lone.request(sender, MessageCode.ROUTE_QUERY_REQ, RouteQueryReq(send_update, destination))


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        (ResourceDestination(node(25 * S)), 20 * S),
        (ResourceDestination(node(RING - 5 * S)), 0),
        (NodeDestination(node(0)), 0),
        (NodeDestination(node(CLIENT)), CLIENT),
        (ResourceDestination(node(CLIENT)), FAR),
        (NodeDestination(node(30 * S)), 30 * S),
        (NodeDestination(node(RING - 1)), 0),
    ],
)
def test_a_route_query_is_answered_by_the_next_hop(destination: Destination, expected: int) -> None:
    assert query(peer(), destination) == Answer(ChordRouteQueryAns(node(expected)))


@pytest.mark.parametrize("destination", [OpaqueDestination(b"\x81\x02"), UnknownDestination(9, b"x")])
def test_a_route_query_for_an_opaque_id_is_refused(destination: Destination) -> None:
    lone = peer()
    assert query(lone, destination, send_update=True) == ErrorResponse(ErrorCode.FORBIDDEN)
    lone.wait(1)
    assert lone.overlay.take() == []


def test_a_route_query_with_send_update_is_followed_by_a_full_update() -> None:
    lone = peer()
    query(lone, ResourceDestination(node(1)), send_update=True)
    assert lone.overlay.take() == []
    lone.wait(0)
    (update,) = lone.overlay.take()
    assert (update.first_hop, update.body.type) == (node(CLIENT), ChordUpdateType.FULL)


def test_the_update_for_who_is_not_connected_is_routed() -> None:
    lone = peer()
    query(lone, ResourceDestination(node(1)), send_update=True, sender=200 * S)
    lone.wait(0)
    (update,) = lone.overlay.take()
    assert (update.first_hop, update.destination_list) == (None, (NodeDestination(node(200 * S)),))
    # That it is not answered says nothing about anybody.
    lone.fail(update)
    assert lone.overlay.disconnected == []


def test_updates_that_are_owed_for_route_queries_are_limited() -> None:
    lone = peer()
    for number in range(100):
        assert isinstance(query(lone, ResourceDestination(node(1)), send_update=True, sender=number + 7), Answer)
    lone.wait(0)
    assert len(lone.overlay.take()) == MAX_ASKED
    query(lone, ResourceDestination(node(1)), send_update=True)
    lone.wait(0)
    (update,) = lone.overlay.take()
    assert update.first_hop == node(CLIENT)


def test_who_is_no_peer_answers_a_route_query_but_sends_no_update() -> None:
    lone = Lone(0)
    lone.link(CLIENT)
    assert query(lone, ResourceDestination(node(1)), send_update=True) == Answer(ChordRouteQueryAns(node(CLIENT)))
    lone.wait(1)
    assert lone.overlay.take() == []


# Anything at any time.

BODIES = st.one_of(
    st.builds(JoinReq, joining_peer_id=st.sampled_from([node(each) for each in (0, 5, CLIENT, 10 * S)])),
    st.builds(LeaveReq, st.sampled_from([node(each) for each in (0, 5, CLIENT, 10 * S)]), st.binary(max_size=40)),
    st.builds(
        ChordUpdate,
        st.integers(0, 0xFFFFFFFF),
        st.just(ChordUpdateType.FULL),
        st.builds(ChordFull, *[st.lists(st.binary(min_size=16, max_size=16), max_size=5).map(tuple)] * 3),
    ),
    st.builds(RouteQueryReq, st.booleans(), st.builds(ResourceDestination, st.binary(max_size=20))),
)
CODES = {JoinReq: 15, LeaveReq: 17, ChordUpdate: 19, RouteQueryReq: 21}
SENDERS = st.sampled_from([0, 5, CLIENT, 10 * S, FAR, RING - 10 * S])
STEPS = st.one_of(
    st.tuples(st.just("request"), SENDERS, SENDERS, BODIES),
    st.tuples(st.just("attached"), st.integers(0, 60), st.booleans()),
    st.tuples(st.just("outcome"), st.integers(0, 60), st.booleans()),
    st.tuples(st.just("handed over"), st.integers(0, 60)),
    st.tuples(st.just("lost"), SENDERS),
    st.tuples(st.just("connected"), SENDERS, st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.3, 7.0, 900.0])),
    st.tuples(st.just("timer"), st.integers(-5, 5)),
    st.tuples(st.just("bootstrap"), SENDERS),
    st.tuples(st.just("leave")),
)


def _step(lone: Lone, step: tuple[Any, ...]) -> None:
    chord, now = lone.chord, lone.now
    match step:
        case ("request", sender, hop, body):
            request = Request(CODES[type(body)], body, identity(node(sender)), HEADER, 0, node(hop))
            chord.on_request(request, now)
        case ("attached", number, success):
            peer_id = node(number + 1) if success else None
            if peer_id is not None:
                lone.link(number + 1)
            chord.on_attached(number, peer_id, now)
        case ("outcome", number, True):
            chord.on_outcome(Response(number, 24, Empty(), identity(node(number + 1)), HEADER), now)
        case ("outcome", number, False):
            chord.on_outcome(Failure(number), now)
        case ("handed over", number):
            chord.on_handed_over(number, now)
        case ("lost", number):
            lone.lost(number)
        case ("connected", number, send_update):
            if number:
                lone.link(number)
                chord.on_connected(node(number), now, send_update=send_update)
        case ("wait", seconds):
            lone.wait(seconds)
        case ("timer", offset):
            chord.handle_timer(now + offset)
        case ("bootstrap", number):
            chord.on_bootstrap(node(number), now)
        case _:
            if chord.is_joined:
                chord.leave(now)


@given(st.lists(STEPS, max_size=40), st.booleans(), st.booleans())
def test_nothing_that_happens_raises_and_the_tables_hold_connected_nodes_only(
    steps: list[tuple[Any, ...]], is_first: bool, reactive: bool
) -> None:
    lone = Lone(0, chord_reactive=reactive)
    lone.link(CLIENT, 10 * S, FAR)
    if is_first:
        lone.start()
    else:
        lone.chord.join(node(CLIENT), 0.0)
    for step in steps:
        _step(lone, step)
        table = lone.chord.table
        assert node(0) not in table
        assert all(each.node_id in lone.overlay.links for each in table.peers())
        due = lone.chord.get_timer()
        assert due is None or isinstance(due, float)


@given(st.lists(STEPS, max_size=30))
def test_the_same_inputs_lead_to_the_same_requests(steps: list[tuple[Any, ...]]) -> None:
    runs = []
    for _ in range(2):
        lone = Lone(0)
        lone.link(CLIENT, 10 * S, FAR)
        lone.start()
        for step in steps:
            _step(lone, step)
        runs.append((lone.overlay.sent, lone.overlay.attaches, lone.overlay.disconnected, lone.events()))
    assert runs[0] == runs[1]


def test_a_node_asks_for_an_update_only_if_it_is_told_to() -> None:
    made, (one,) = bench(10)
    made.node.route_query([at(10)], where(5), made.now)
    made.node.route_query([at(10)], where(5), made.now, send_update=True)
    asked = [decode(RouteQueryReq, each.contents.message_body).send_update for each in one.received()]
    assert asked == [False, True]
