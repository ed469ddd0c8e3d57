"""How a node becomes a peer (RFC 6940 sections 10.5, 10.7.1 and 11.4)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from reload_chord import RING, Attached, Lone, Sent, node

from reload.chord_join import (
    ADMISSION_PATIENCE,
    ATTACH_PATIENCE,
    LEARNING_PATIENCE,
    MAX_ADMISSION,
    MAX_ATTEMPTS,
    JoinState,
)
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.destinations import NodeDestination, ResourceDestination
from reload.errors import StateError
from reload.methods import ChordUpdateType, JoinReq

OWN, BOOTSTRAP, ADMITTING = 1000, 9000, 2000


class Join(Lone):
    """A node that joins by 9000 between 500 and 2000, step by step."""

    def __init__(self) -> None:
        super().__init__(OWN)
        self.link(BOOTSTRAP)
        self.chord.join(node(BOOTSTRAP), self.now)

    @property
    def state(self) -> JoinState:
        return self.chord._joining.state

    def last_attach(self) -> Attached:
        """That to the Admitting Peer."""
        behind = ResourceDestination(node(OWN + 1))
        found = [each for each in self.overlay.attaches if each.destination_list[-1] == behind]
        return found[-1] if found else Attached(4712, (), False)

    def attach_named(self, number: int) -> None:
        """The last Attach leads to a neighbor, which sends its Update."""
        last = self.overlay.attaches[-1]
        assert last.destination_list[-1] == NodeDestination(node(number))
        self.attached(last, number)
        self.update(number)

    def take_named(self) -> list[tuple[Attached, int]]:
        """The Attaches to Node-IDs since, and their positions."""
        taken = [(each, each.destination_list[-1]) for each in self.overlay.take_attaches()]
        return [
            (each, int.from_bytes(last.node_id, "big")) for each, last in taken if isinstance(last, NodeDestination)
        ]

    def attach(self) -> Join:
        """The Admitting Peer is attached."""
        self.attached(self.last_attach(), ADMITTING)
        return self

    def learn(self) -> Join:
        """It has sent its Update."""
        self.attach().update(ADMITTING, [500, 400], [3000, 4000], [])
        return self

    def connect(self) -> Join:
        """All neighbors are attached, and have sent theirs."""
        self.learn()
        for each, number in self.take_named():
            self.attached(each, number)
            self.update(number)
        return self

    def wait_for_update(self) -> Join:
        """The Join is answered."""
        self.connect()
        self.answer(self.overlay.take(MessageCode.JOIN_REQ)[0], ADMITTING)
        return self

    def place(self) -> Join:
        """The Update that names us has come; it names one who is not attached yet."""
        self.wait_for_update().update(ADMITTING, [OWN, 600, 500], [3000, 4000, 500])
        return self


def state(of: JoinState) -> Join:
    """A join in this state."""
    join = Join()
    match of:
        case JoinState.IDLE:
            join.place()
            join.attach_named(600)
        case JoinState.SEEKING:
            join.place()
            join.attach_named(600)
            join.chord._joining.rejoin(None, join.now)
        case JoinState.LEARNING:
            join.attach()
        case JoinState.SURVEYING:
            join.attach().wait(2 * LEARNING_PATIENCE)
            join.overlay.take(MessageCode.ROUTE_QUERY_REQ)
        case JoinState.CONNECTING:
            join.learn()
        case JoinState.JOINING:
            join.connect()
        case JoinState.WAITING:
            join.wait_for_update()
        case JoinState.SETTLING:
            join.place()
        case JoinState.PAUSED:
            join.attached(join.last_attach(), None)
        case _:
            pass
    assert join.state is of
    return join


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


def test_a_dead_neighbor_does_not_stop_the_join() -> None:
    join = Join().learn()
    while join.state is JoinState.CONNECTING:
        for each, number in join.take_named():
            join.attached(each, None if number == 3000 else number)
            if number != 3000:
                join.update(number)
        join.wait(1)
    assert join.state is JoinState.JOINING
    assert join.successors == [2000, 4000, 400]


def test_attaches_that_do_not_end_do_not_stop_the_join() -> None:
    join = Join().learn()
    join.wait(ATTACH_PATIENCE + 1)
    assert join.state is JoinState.JOINING


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


def test_liars_cannot_lead_a_join_on_for_ever() -> None:
    join = Join().attach()
    for _ in range(1000):
        if join.state is not JoinState.LEARNING:
            break
        join.update(ADMITTING, [1500], [])
        if join.state is JoinState.ATTACHING:
            join.attached(join.last_attach(), ADMITTING)
    assert join.state is JoinState.PAUSED


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


def test_a_forbidden_join_fails_at_once() -> None:
    join = Join().connect()
    join.answer(join.overlay.take(MessageCode.JOIN_REQ)[0], ADMITTING, ErrorResponse(ErrorCode.FORBIDDEN))
    assert join.events() == ["JoinFailed"]
    assert len(join.chord.table) == 0


@pytest.mark.parametrize("code", [ErrorCode.NOT_FOUND, ErrorCode.IN_PROGRESS, ErrorCode.CONFIG_TOO_OLD])
def test_a_refused_join_is_tried_again(code: ErrorCode) -> None:
    join = Join().connect()
    join.answer(join.overlay.take(MessageCode.JOIN_REQ)[0], ADMITTING, ErrorResponse(code))
    assert join.state is JoinState.PAUSED
    join.overlay.take_attaches()
    join.wait(1)
    assert join.state is JoinState.ATTACHING
    assert join.last_attach().destination_list[0] == NodeDestination(node(BOOTSTRAP))


def test_pauses_double_up_to_a_limit_and_then_the_join_has_failed() -> None:
    join = Join()
    times = []
    for _ in range(MAX_ATTEMPTS):
        times.append(join.now)
        join.attached(join.last_attach(), None)
        while join.state is JoinState.PAUSED:
            join.wait(0.05)
    pauses = [after - before for before, after in pairwise(times)]
    assert all(0.5 * 2**step <= pause <= 2**step + 0.1 for step, pause in enumerate(pauses[:5]))
    assert all(15 <= pause <= 30.1 for pause in pauses[5:])
    assert join.events() == ["JoinFailed"]
    assert join.state is JoinState.IDLE
    join.chord.join(node(BOOTSTRAP), join.now)


def test_a_lost_bootstrap_node_is_replaced_by_a_peer_that_is_known() -> None:
    join = Join().connect()
    join.lost(BOOTSTRAP)
    join.answer(join.overlay.take(MessageCode.JOIN_REQ)[0], ADMITTING, ErrorResponse(ErrorCode.NOT_FOUND))
    join.wait(1)
    assert join.last_attach().destination_list[0] == NodeDestination(node(ADMITTING))


def test_without_any_connection_the_join_fails() -> None:
    join = Join()
    join.lost(BOOTSTRAP)
    join.attached(join.last_attach(), None)
    join.wait(600)
    assert join.events() == ["JoinFailed"]


def test_the_admitting_peer_has_time_as_long_as_it_sends_something() -> None:
    join = Join().wait_for_update()
    for _ in range(10):
        join.wait(ADMISSION_PATIENCE - 5)
        join.link(ADMITTING)
    assert join.state is JoinState.WAITING
    join.wait(ADMISSION_PATIENCE + 1)
    assert join.state is not JoinState.WAITING


def test_the_admitting_peer_does_not_have_time_for_ever() -> None:
    join = Join().wait_for_update()
    for _ in range(int(MAX_ADMISSION / 20) + 2):
        join.wait(20)
        join.link(ADMITTING)
    assert join.state is not JoinState.WAITING


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


def test_join_and_start_are_refused_where_they_make_no_sense_and_change_nothing() -> None:
    lone = Lone(OWN)
    with pytest.raises(StateError):
        lone.chord.join(node(BOOTSTRAP), 0.0)
    with pytest.raises(StateError):
        lone.chord.leave(0.0)
    for of in JoinState:
        join = state(of)
        before = len(join.overlay.attaches), len(join.overlay.sent)
        with pytest.raises(StateError):
            join.chord.join(node(BOOTSTRAP), join.now)
        with pytest.raises(StateError):
            join.chord.start(join.now)
        assert (len(join.overlay.attaches), len(join.overlay.sent), join.state) == (*before, of)


INPUTS: dict[str, Callable[[Join], object]] = {
    "attached": lambda join: join.attached(join.last_attach(), 3000),
    "not attached": lambda join: join.attached(join.last_attach(), None),
    "attached to itself": lambda join: join.chord.on_attached(join.last_attach().attach, node(OWN), join.now),
    "unknown attach": lambda join: join.attached(Attached(4711, (), False), 3000),
    "Update of the Admitting Peer": lambda join: join.update(ADMITTING, [500], [3000]),
    "Update that names us": lambda join: join.update(ADMITTING, [OWN, 500], [3000]),
    "Update without tables": lambda join: join.ready(ADMITTING),
    "Update of a stranger": lambda join: join.update(77, [OWN], [78]),
    "answers": lambda join: [join.answer(sent, ADMITTING) for sent in join.overlay.take()],
    "own answers": lambda join: [join.answer(sent, OWN) for sent in join.overlay.take()],
    "errors": lambda join: [join.answer(s, ADMITTING, ErrorResponse(ErrorCode.NOT_FOUND)) for s in join.overlay.take()],
    "no answers": lambda join: [join.fail(sent) for sent in join.overlay.take()],
    "unknown answer": lambda join: join.answer(Sent(4711, (), MessageCode.JOIN_REQ, None, None), ADMITTING),
    "Admitting Peer lost": lambda join: join.lost(ADMITTING),
    "bootstrap node lost": lambda join: join.lost(BOOTSTRAP),
    "all lost": lambda join: join.lost(*[int.from_bytes(each, "big") for each in list(join.overlay.links)]),
    "a little time": lambda join: join.wait(1),
    "much time": lambda join: join.wait(300),
    "Join of another": lambda join: join.request(700, MessageCode.JOIN_REQ, JoinReq(joining_peer_id=node(700))),
    "hand-over": lambda join: join.chord.on_handed_over(4711, join.now),
    "bootstrap node": lambda join: join.chord.on_bootstrap(node(BOOTSTRAP), join.now),
    "early timer": lambda join: join.chord.handle_timer(join.now),
}


@pytest.mark.parametrize("of", JoinState)
@pytest.mark.parametrize("name", INPUTS)
def test_every_input_in_every_state_leads_to_a_state_from_which_the_join_ends(of: JoinState, name: str) -> None:
    join = state(of)
    INPUTS[name](join)
    was_joined = join.chord.is_joined
    assert was_joined or of is not JoinState.IDLE
    # Whatever has happened: with peers that do what they should, or do nothing, the join comes to its end.
    for _ in range(400):
        if join.state is JoinState.IDLE:
            break
        for attach in join.overlay.take_attaches():
            join.attached(attach, None)
        for sent in join.overlay.take():
            join.fail(sent)
        join.wait(5)
    assert join.state is JoinState.IDLE
    assert was_joined <= join.chord.is_joined
    assert join.chord.is_joined or "JoinFailed" in join.events()


def test_who_gives_up_joining_has_left() -> None:
    join = Join().connect()
    join.chord.leave(join.now)
    join.wait(0)
    assert join.events() == ["Left"]
    assert join.overlay.take(MessageCode.LEAVE_REQ) == []


def test_a_rejoin_pings_for_the_place_behind_us_and_joins_who_answers() -> None:
    join = state(JoinState.SEEKING)
    (ping,) = join.overlay.take(MessageCode.PING_REQ)
    assert ping.destination_list[-1] == ResourceDestination(node(OWN + 1))
    join.overlay.take_attaches()
    join.answer(ping, 1700)
    (attach,) = join.overlay.take_attaches()
    assert attach.destination_list[-1] == NodeDestination(node(1700))
    join.attached(attach, 1700)
    join.update(1700, [500], [2000], [])
    (sent,) = join.overlay.take(MessageCode.JOIN_REQ)
    assert sent.first_hop == node(1700)
    join.answer(sent, 1700)
    join.update(1700, [OWN, 600], [2000])
    assert join.state is JoinState.IDLE
    assert join.events() == ["Joined"]


def test_a_rejoin_goes_to_a_successor_that_is_connected_already() -> None:
    join = state(JoinState.SEEKING)
    join.answer(join.overlay.take(MessageCode.PING_REQ)[0], ADMITTING)
    assert join.state is JoinState.LEARNING
    (query,) = join.overlay.take(MessageCode.ROUTE_QUERY_REQ)
    assert query.first_hop == node(ADMITTING)


def test_a_rejoin_that_fails_leaves_a_peer_what_it_is() -> None:
    join = state(JoinState.SEEKING)
    join.events()
    for _ in range(MAX_ATTEMPTS):
        for sent in join.overlay.take(MessageCode.PING_REQ):
            join.fail(sent)
        join.wait(31)
    assert join.state is JoinState.IDLE
    assert join.chord.is_joined
    assert "JoinFailed" not in join.events()
