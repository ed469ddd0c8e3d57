"""Self-tuning maintenance of a Chord peer (RFC 7363 sections 5 and 6)."""

from itertools import pairwise

import attrs
import pytest
from reload_chord import HEADER, RING, identity, node
from reload_tuned import Peer, Sent, of, peer

from reload._presentation import decode, encode
from reload.chord_updates import Change, Maintenance
from reload.configuration_extensions import SELF_TUNING
from reload.contents import ExtensionType, MessageCode, MessageExtension
from reload.exchange import Failure, Request, Response
from reload.extensions import SelfTuningData
from reload.kinds import Extension
from reload.methods import (
    ChordNeighbors,
    ChordUpdate,
    ChordUpdateType,
    PingAns,
    ProbeAns,
    ProbeInformation,
    ProbeInformationType,
    ProbeReq,
)


def test_it_fits_the_port_of_chord() -> None:
    policy: Maintenance = peer().tuning
    assert policy.get_timer() == float("inf")


# Updates (section 5.2).
def test_updates_go_to_the_first_successor_and_the_first_predecessor_alone() -> None:
    made = peer(1000)
    made.run(3600.0)
    updates = of(made.overlay.take(), MessageCode.UPDATE_REQ)
    assert {each.to for each in updates} == {node(RING // 1000), node(-(RING // 1000))}
    assert len(updates) > 20


def test_periodic_updates_are_of_type_neighbors_with_both_lists_and_an_uptime() -> None:
    made = peer(1000)
    made.run(1000.0)
    updates = of(made.overlay.take(), MessageCode.UPDATE_REQ)
    for each in updates:
        assert isinstance(each.body, ChordUpdate)
        assert each.body.type == ChordUpdateType.NEIGHBORS
        assert each.body.uptime == int(each.now)
        assert each.body.tables == ChordNeighbors(made.chord.table.predecessors, made.chord.table.successors)


def test_where_there_are_two_peers_there_is_one_update() -> None:
    made = peer()
    made.add([5], 0.0)
    made.tuning.on_announced(0.0)
    made.overlay.take()
    due = made.tuning.get_timer()
    made.run(due)
    assert [each.to for each in of(made.overlay.take(), MessageCode.UPDATE_REQ)] == [node(5)]


def test_a_new_neighbor_gets_an_update_of_type_peer_ready_once() -> None:
    made = peer(1000)
    made.add([7], 1.0)
    (update,) = of(made.overlay.take(), MessageCode.UPDATE_REQ)
    assert (update.to, update.body.type, update.body.tables) == (node(7), ChordUpdateType.PEER_READY, None)
    made.tuning.on_changed(Change((node(7),), (), True), 2.0)
    assert of(made.overlay.take(), MessageCode.UPDATE_REQ) == []


def test_losses_and_changes_of_the_own_range_send_no_updates() -> None:
    """Recovery is periodic, whatever chord-reactive says (section 5)."""
    made = peer(1000)
    made.lose(-(RING // 1000), 1.0)
    made.tuning.on_changed(Change((), (node(-(RING // 1000)),), True), 1.0)
    made.tuning.handle_timer(1.0)
    assert made.overlay.take() == []


def test_a_new_peer_introduces_itself_to_all_neighbors() -> None:
    """Section 10.5 of RFC 6940: "JN MUST send Updates to all of the peers in its Neighbor Table"."""
    made = peer()
    made.chord.is_announced = False
    made.add([i * (RING // 1000) for i in (1, 2, 3, -1, -2, -3)], 0.0)
    assert of(made.overlay.take(), MessageCode.UPDATE_REQ) == []
    made.chord.is_announced = True
    made.tuning.on_announced(1.0)
    updates = of(made.overlay.take(), MessageCode.UPDATE_REQ)
    assert {each.to for each in updates} == set(made.chord.table.neighbors())
    nearest = {node(RING // 1000), node(-(RING // 1000))}
    assert {each.to for each in updates if each.body.type == ChordUpdateType.NEIGHBORS} == nearest


def test_a_peer_that_was_introduced_as_it_was_attached_is_not_introduced_again() -> None:
    made = peer(1000)
    made.overlay.heard[node(7)] = 1.0
    made.tuning.introduce(node(7), 1.0)
    made.add([7, 8], 2.0)
    updates = of(made.overlay.take(), MessageCode.UPDATE_REQ)
    assert [(each.to, each.body.type) for each in updates] == [(node(7), 1), (node(8), 1)]


def test_neighbors_that_were_attached_during_the_join_are_told_when_it_is_done() -> None:
    made = peer()
    made.chord.is_announced = False
    neighbors = [i * (RING // 1000) for i in (1, 2, 3, -1, -2, -3)]
    for number in neighbors:
        made.overlay.heard[node(number)] = 0.0
        made.tuning.introduce(node(number), 0.0)
    made.add(neighbors, 0.0)
    assert of(made.overlay.take(), MessageCode.UPDATE_REQ) == []
    made.chord.is_announced = True
    made.tuning.on_announced(1.0)
    assert {each.to for each in of(made.overlay.take(), MessageCode.UPDATE_REQ)} == set(map(node, neighbors))


def test_recovery_is_periodic_whatever_chord_reactive_says() -> None:
    made = peer(1000)
    assert made.overlay.configuration.chord_reactive
    assert not made.tuning.is_reactive
    made.tuning.check_fingers(5000.0)
    assert made.overlay.take() == []


# Uptimes of fingers (section 5.3).
def test_a_new_finger_is_asked_for_its_uptime_at_once() -> None:
    made = peer(1000)
    finger = node((1 << 127) + 5)
    made.add([(1 << 127) + 5], 10.0, 0.0)
    (probe,) = made.overlay.take()
    assert (probe.to, probe.code) == (finger, MessageCode.PROBE_REQ)
    assert probe.body == ProbeReq((ProbeInformationType.UPTIME,))
    answer = ProbeAns((ProbeInformation(ProbeInformationType.UPTIME, 5000),))
    assert made.tuning.on_outcome(Response(probe.number, 2, answer, identity(finger), HEADER), 12.0)
    entry = made.chord.table.get(finger)
    assert entry is not None
    assert entry.since == 12.0 - 5000


def test_of_the_answers_to_probes_only_what_was_asked_for_counts() -> None:
    made = peer(1000)
    made.add([(1 << 127) + 5], 10.0, 50.0)
    finger = node((1 << 127) + 5)
    (probe,) = made.overlay.take()
    answer = ProbeAns((ProbeInformation(9, b"what"), ProbeInformation(2, 7)))
    assert made.tuning.on_outcome(Response(probe.number, 2, answer, identity(finger), HEADER), 12.0)
    assert not made.tuning.on_outcome(Response(probe.number, 2, answer, identity(finger), HEADER), 12.0)
    entry = made.chord.table.get(finger)
    assert entry is not None
    assert entry.since == -40.0


# Sizes (section 6.2) and the interval (section 6.6).
@pytest.mark.parametrize(
    ("size", "neighbors", "fingers"), [(30, 5, 16), (500, 9, 16), (1000, 10, 16), (200_000, 18, 18)]
)
def test_the_tables_have_the_size_of_the_overlay(size: int, neighbors: int, fingers: int) -> None:
    made = peer(size)
    made.run(1000.0)
    assert (made.chord.table.neighbor_count, made.chord.table.finger_count) == (neighbors, fingers)


def test_sizes_and_interval_are_calculated_anew_at_the_end_of_each_interval() -> None:
    made = peer(1000)
    made.run(5000.0)
    first = made.tuning.finger_interval
    assert first > 100
    for number in range(4, 10):
        made.lose(number * (RING // 1000), 5000.0 + number)
    assert made.tuning.finger_interval == first
    made.run(5000.0 + first)
    assert made.tuning.finger_interval < first / 10


def test_the_interval_is_15_seconds_at_first_and_grows_while_nothing_fails() -> None:
    made = peer(1000)
    assert made.tuning.finger_interval == 15
    seen = []
    for hour in range(1, 4):
        made.run(hour * 3600.0)
        seen.append(made.tuning.finger_interval)
    assert 15 < seen[0] < seen[1] < seen[2] <= 3600


def test_the_stabilization_timer_is_restarted_with_the_new_interval() -> None:
    made = peer(1000)
    made.run(2000.0)
    made.overlay.take()
    made.run(6000.0)
    times = sorted({each.now for each in of(made.overlay.take(), MessageCode.UPDATE_REQ)})
    assert all(15 <= later - earlier <= 3600 for earlier, later in pairwise(times))
    assert len(times) > 3


def test_a_peer_that_is_alone_has_nothing_to_do_but_wait() -> None:
    made = peer()
    made.tuning.on_announced(0.0)
    made.run(100_000.0)
    assert made.overlay.take() == []


# Failures (section 6.3.1).
def test_whoever_was_not_heard_for_30_seconds_is_pinged_once() -> None:
    made = peer(1000)
    quiet = node(RING // 1000)
    for at in range(1, 29):
        made.keep_alive(float(at))
        made.overlay.heard[quiet] = 0.0
        made.tuning.handle_timer(float(at))
    assert of(made.overlay.take(), MessageCode.PING_REQ) == []
    made.tuning.handle_timer(30.0)
    (ping,) = of(made.overlay.take(), MessageCode.PING_REQ)
    assert ping.to == quiet
    made.run(44.0)
    assert quiet not in {each.to for each in of(made.overlay.take(), MessageCode.PING_REQ)}


def test_connections_on_which_something_is_heard_are_not_pinged() -> None:
    made = peer(1000)
    made.run(3000.0)
    assert of(made.overlay.take(), MessageCode.PING_REQ) == []


def test_a_peer_that_does_not_answer_the_ping_has_failed() -> None:
    made = peer(1000)
    made.tuning.handle_timer(30.0)
    pings = of(made.overlay.take(), MessageCode.PING_REQ)
    made.chord.checks = {number: to for number, to in made.chord.checks.items() if number >= pings[0].number}
    assert {each.to for each in pings} == set(made.overlay.heard)
    assert made.chord.checks == {each.number: each.to for each in pings}, "whose failure is the peer's, for Chord"
    assert not made.tuning.on_outcome(Failure(pings[0].number), 45.0)


def test_a_connection_to_who_is_no_peer_is_closed_when_the_ping_is_not_answered() -> None:
    made = peer(1000)
    made.overlay.heard[node(4711)] = made.overlay.heard[node(4712)] = 0.0
    made.tuning.handle_timer(30.0)
    pings = {each.to: each for each in of(made.overlay.take(), MessageCode.PING_REQ)}
    silent, alive = pings[node(4711)], pings[node(4712)]
    assert made.tuning.on_outcome(Response(alive.number, 24, PingAns(1, 1), identity(alive.to), HEADER), 31.0)
    assert made.tuning.on_outcome(Failure(silent.number), 45.0)
    assert made.overlay.disconnected == [silent.to]


def test_losing_peers_raises_the_failure_rate() -> None:
    made = peer(1000)
    made.run(2000.0)
    before = made.tuning.estimator.own.failure_rate
    made.lose(2 * (RING // 1000), 2000.0)
    made.lose(3 * (RING // 1000), 2001.0)
    made.run(2000.0 + made.tuning.finger_interval)
    assert made.tuning.estimator.own.failure_rate > 2 * before


def test_a_link_that_is_gone_is_no_failure_if_the_peer_answers_a_ping() -> None:
    made = peer(1000)
    made.run(2000.0)
    before = list(made.tuning.estimator._times)
    made.overlay.take()
    for number in (2, 3):
        made.lose(number * (RING // 1000), 2000.0, has_failed=False)
    alive, dead = made.overlay.take()
    assert [each.code for each in (alive, dead)] == [MessageCode.PING_REQ] * 2
    assert made.tuning.on_outcome(Response(alive.number, 24, PingAns(1, 1), identity(alive.to), HEADER), 2001.0)
    assert list(made.tuning.estimator._times) == before
    assert made.tuning.on_outcome(Failure(dead.number), 2015.0)
    assert list(made.tuning.estimator._times) == [*before, 2015.0]


def test_links_that_are_gone_by_the_hundred_are_not_all_looked_after() -> None:
    made = peer(1000)
    made.add(range(5000, 5500), 1.0)
    made.overlay.take()
    for number in range(5000, 5500):
        made.lose(number, 2.0, has_failed=False)
    assert len(of(made.overlay.take(), MessageCode.PING_REQ)) == 64


def test_looking_after_connections_takes_few_looks() -> None:
    made = peer(1000)
    looks = 0
    while (due := made.tuning.get_timer()) <= 3000:
        made.keep_alive(due - 10)
        made.tuning.handle_timer(due)
        looks += 1
    assert looks < 3000 / 20 + 60


# Shared estimates (section 6.5).
def shared(each: Sent) -> SelfTuningData:
    (extension,) = each.extensions
    assert (extension.type, extension.critical) == (ExtensionType.SELF_TUNING_DATA, False)
    assert extension.type == 3
    return decode(SelfTuningData, extension.extension_contents)


def data(size: int, joins: int = 0, leaves: int = 0) -> MessageExtension:
    return MessageExtension(3, False, encode(SelfTuningData(size, joins, leaves)))


def probes_of_one_interval(made: Peer) -> list[Sent]:
    made.run(100.0)
    made.overlay.take()
    due = made.tuning.get_timer()
    while not of(made.overlay.sent[made.overlay._taken :], MessageCode.UPDATE_REQ):
        due = made.tuning.get_timer()
        made.run(due)
    return of(made.overlay.take(), MessageCode.PROBE_REQ)


def test_four_random_fingers_are_asked_and_told_at_the_end_of_each_interval() -> None:
    made = peer(1000)
    asked: set[bytes] = set()
    for _ in range(10):
        probes = probes_of_one_interval(made)
        assert len({each.to for each in probes}) == len(probes) == 4
        assert {each.to for each in probes} <= set(made.chord.table.fingers())
        assert {shared(each) for each in probes} == {made.tuning.estimator.own.to_data()}
        asked |= {each.to for each in probes}
        made = attrs.evolve(made)
    made.run(20_000.0)
    asked |= {each.to for each in of(made.overlay.take(), MessageCode.PROBE_REQ)}
    assert asked == set(made.chord.table.fingers())


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("2", 2), ("6", 6), ("4294967295", None), ("many", 4)])
def test_the_configuration_says_how_many_are_asked(text: str, count: int | None) -> None:
    extension = Extension(SELF_TUNING, "number-of-peers-to-probe", {}, text)
    made = peer(1000, extensions=(extension,))
    assert len(probes_of_one_interval(made)) == (len(made.chord.table.fingers()) if count is None else count)


def test_answers_count_in_the_next_interval_by_their_third_quartile() -> None:
    made = peer(1000)
    probes = probes_of_one_interval(made)
    for each, size in zip(probes, (900, 1100, 1200, 1300), strict=True):
        answer = Response(each.number, 2, ProbeAns(()), identity(each.to), HEADER, extensions=(data(size),))
        assert made.tuning.on_outcome(answer, each.now)
    made.run(probes[0].now + made.tuning.finger_interval)
    # Of 900, 1000, 1100, 1200, 1300: rank round(3.75) = 4.
    assert made.tuning.estimates.network_size == 1200
    assert round(made.tuning.estimator.own.network_size) == 1000


def test_an_answer_by_another_node_than_was_probed_is_no_answer() -> None:
    made = peer(1000)
    each = probes_of_one_interval(made)[0]
    liar = Response(each.number, 2, ProbeAns(()), identity(node(666)), HEADER, extensions=(data(1 << 31),))
    assert made.tuning.on_outcome(liar, each.now)
    made.run(each.now + made.tuning.finger_interval)
    assert round(made.tuning.estimates.network_size) == 1000


def probe_request(sender: bytes, *extensions: MessageExtension, previous_hop: bytes | None = None) -> Request:
    return Request(1, ProbeReq(()), identity(sender), HEADER, 1, previous_hop or sender, extensions=extensions)


def test_a_probe_that_shares_estimates_is_answered_with_the_own_ones_and_counts() -> None:
    made = peer(1000)
    made.run(100.0)
    for number in range(1, 5):
        (extension,) = made.tuning.probe_extensions(probe_request(node(number), data(5000)), 100.0)
        assert (extension.type, extension.critical) == (3, False)
        found = decode(SelfTuningData, extension.extension_contents)
        assert found == made.tuning.estimator.own.to_data()
        assert found.network_size in (1000, 1001)
    made.run(100.0 + made.tuning.finger_interval)
    assert made.tuning.estimates.network_size == 5000


def test_who_joins_shares_what_its_tables_show() -> None:
    """Not a size of 1, and no failures ever: others would believe that they need not stabilize."""
    made = peer()
    made.chord.is_announced = False
    made.add([i * (RING // 1000) for i in (1, 2, 3, -1, -2, -3)], 10.0)
    made.overlay.take()
    made.add([RING // 2], 10.0)
    (probe,) = of(made.overlay.take(), MessageCode.PROBE_REQ)
    (extension,) = made.tuning.probe_extensions(probe_request(node(1), data(5000)), 10.0)
    for found in (shared(probe), decode(SelfTuningData, extension.extension_contents)):
        assert found.network_size in (1000, 1001)
        assert found.join_rate > 0
        assert found.leave_rate > 0


def test_a_plain_probe_gets_no_extension() -> None:
    made = peer(1000)
    other = MessageExtension(9, False, b"")
    assert made.tuning.probe_extensions(probe_request(node(1), other), 1.0) == ()


def test_estimates_that_came_through_others_do_not_count() -> None:
    made = peer(1000)
    for number in range(1, 60):
        request = probe_request(node(number), data(1 << 31), previous_hop=node(9000 + number))
        assert len(made.tuning.probe_extensions(request, 1.0)) == 1
    made.run(100.0)
    assert round(made.tuning.estimates.network_size) == 1000


@pytest.mark.parametrize("octets", [b"", b"\0" * 11, b"\0" * 13])
def test_an_extension_that_is_malformed_shares_nothing(octets: bytes) -> None:
    made = peer(1000)
    request = probe_request(node(1), MessageExtension(3, False, octets), data(1 << 31))
    assert len(made.tuning.probe_extensions(request, 1.0)) == 1
    made.run(100.0)
    assert round(made.tuning.estimates.network_size) == 1000


# An end.
def test_who_is_no_peer_any_more_does_nothing() -> None:
    made = peer(1000)
    made.overlay.heard[node(4711)] = 0.0
    made.tuning.handle_timer(30.0)
    pings = of(made.overlay.take(), MessageCode.PING_REQ)
    made.tuning.on_stopped()
    assert made.tuning.get_timer() == float("inf")
    made.tuning.handle_timer(1e6)
    assert made.overlay.take() == []
    assert not any(made.tuning.on_outcome(Failure(ping.number), 1e6) for ping in pings)
