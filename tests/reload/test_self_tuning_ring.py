"""Rings of peers that tune themselves (RFC 7363), and how else a ring may be maintained."""

from collections.abc import Callable
from math import ceil, log2
from random import Random
from statistics import median
from typing import Any

import pytest
from reload_overlay import Host, MemoryOverlay, in_force
from reload_ring import Net, Peer, node_id

from reload._presentation import decode
from reload.chord import ChordReload
from reload.configuration import CHORD_RELOAD, CHORD_SELF_TUNING
from reload.contents import ExtensionType, MessageCode
from reload.errors import StateError
from reload.extensions import SelfTuningData
from reload.message import decode_body, decode_message
from reload.methods import ChordLeaveData, ChordUpdateType
from reload.parts import default_topology
from reload.self_tuning import SelfTuningChord
from reload.topology import MakeTopology


def tuned(peer: Peer) -> SelfTuningChord:
    found = peer.topology
    assert isinstance(found, SelfTuningChord)
    return found


def ring(size: int, *, seconds: float = 120.0) -> Net:
    net = Net(make=SelfTuningChord)
    net.ring(size, each=1.0)
    net.run(seconds)
    return net


def listen(net: Net) -> list[tuple[Peer, bytes | None, int, Any]]:
    """What peers ask each other from now on: who, whom, code and body."""
    heard: list[tuple[Peer, bytes | None, int, Any]] = []

    def listening(peer: Peer) -> Callable[..., int]:
        request = peer.request

        def note(destinations: Any, code: int, body: Any, now: float, **options: Any) -> int:
            heard.append((peer, getattr(destinations[-1], "node_id", None), code, body))
            return request(destinations, code, body, now, **options)

        return note

    for peer in net.alive():
        peer.request = listening(peer)  # type: ignore[method-assign]
    return heard


def test_peers_join_to_a_ring_with_tables_of_its_size() -> None:
    net = ring(50)
    assert len(net.alive()) == 50
    assert net.errors(count=3) == []
    for peer in net.alive():
        topology = tuned(peer)
        estimated = topology.estimates.network_size
        assert topology.table.neighbor_count == max(ceil(log2(estimated)), 3)
        assert topology.table.finger_count == 16
    assert abs(median(tuned(peer).estimates.network_size for peer in net.alive()) / 50 - 1) < 0.5


def test_in_a_ring_at_rest_updates_go_to_the_two_nearest_peers_alone() -> None:
    net = ring(30)
    heard = listen(net)
    net.run(300.0)
    updates = [(peer, whom, body) for peer, whom, code, body in heard if code == MessageCode.UPDATE_REQ]
    assert len(updates) > 30 * 2 * 5
    introduced = set()
    for peer, whom, body in updates:
        table = tuned(peer).table
        if body.type == ChordUpdateType.NEIGHBORS:
            assert whom in (table.successors[0], table.predecessors[0])
        elif body.type == ChordUpdateType.PEER_READY:
            # Lists have become longer, and have a new peer.
            assert (peer.node_id, whom) not in introduced
            introduced.add((peer.node_id, whom))
    assert len(introduced) < 20
    # Those of type full were asked for, by an Attach with send_update.
    assert sum(body.type == ChordUpdateType.FULL for _, _, body in updates) < 20
    assert not any(code == MessageCode.ROUTE_QUERY_REQ for _, _, code, _ in heard)


def test_peers_that_crash_unnoticed_are_found_and_replaced() -> None:
    """Nobody is told of it: whoever was not heard for 30 s is pinged, and has failed 15 s later."""
    net = ring(40, seconds=400.0)
    dead = [peer.node_id for peer in net.alive()[3:20:4]]
    before = {peer.node_id: tuned(peer).estimates.failure_rate for peer in net.alive()}
    for name in dead:
        net.crash(name, detection=1e9)
    net.run(30.0 + 15.0 + 35.0)
    for peer in net.alive():
        assert not any(name in tuned(peer).table for name in dead)
    net.run(60.0)
    assert net.errors(count=3) == []
    raised = [tuned(peer).estimates.failure_rate > before[peer.node_id] for peer in net.alive()]
    assert sum(raised) > len(raised) * 0.8


def test_who_leaves_says_so_to_its_neighbors_and_counts_as_a_failure() -> None:
    net = ring(12)
    leaving = net.alive()[5]
    neighbors = tuned(leaving).table.neighbors()
    counts = {name: len(tuned(net.peers[name])._tuning.estimator._times) for name in neighbors}
    heard = listen(net)
    leaving.call(leaving.topology.leave)
    net.run(1.0)
    told = {whom: body for peer, whom, code, body in heard if peer is leaving and code == MessageCode.LEAVE_REQ}
    assert set(neighbors) <= told.keys()
    assert {decode(ChordLeaveData, body.overlay_specific_data).type for body in told.values()} == {1, 2}
    for name in neighbors:
        assert len(tuned(net.peers[name])._tuning.estimator._times) == counts[name] + 1


def test_the_ring_heals_in_one_interval_after_neighbors_in_a_row_have_left() -> None:
    net = ring(40)
    gone = sorted(peer.node_id for peer in net.alive())[10:13]
    for name in gone:
        net.crash(name, detection=0.1)
    net.run(60.0)
    assert net.errors(count=3) == []


def test_under_churn_estimates_follow_what_happens() -> None:
    """Poisson joins and failures: 40 peers, a quarter of an hour each on the average, for a quarter of an hour."""
    net, chance, size, session = ring(40), Random(3), 40, 900.0
    end, name, deaths = net.now + session, 1000, 0
    while net.now < end:
        net.run(chance.expovariate(2 * size / session))
        alive = net.alive()
        if chance.random() < 0.5:
            net.crash(chance.choice(alive).node_id, detection=1.0)
            deaths += 1
        else:
            net.join(node_id(name), chance.choice(alive).node_id)
            name += 1
    net.run(60.0)
    seasoned = [tuned(peer) for peer in net.alive() if net.now - peer.born > 300]
    own = [topology._tuning.estimator.own for topology in seasoned]
    true_rate = deaths / session / size
    assert abs(median(each.failure_rate for each in own) / true_rate - 1) < 0.3
    assert abs(median(each.network_size for each in own) / len(net.alive()) - 1) < 0.3
    assert len(net.errors(count=1)) <= 2
    assert all(15 <= topology.stabilization_interval < 60 for topology in seasoned)


def test_connections_that_can_be_done_without_are_closed() -> None:
    net = ring(80)
    for peer in net.alive():
        table = tuned(peer).table
        assert len(table) <= 4 * table.neighbor_count + 2 * table.finger_count


# Upstream peers (RFC 7851 section 6.2).
@pytest.mark.parametrize("make", [ChordReload, SelfTuningChord])
def test_on_honest_paths_nobody_is_said_to_misroute(make: MakeTopology) -> None:
    net = Net(make=make)
    net.ring(40, each=1.0)
    chance = Random(11)
    for at in range(60):
        if at % 20 == 10:
            net.crash(chance.choice(net.alive()).node_id)
            net.join(node_id(1000 + at), chance.choice(net.alive()).node_id)
        net.run(2.0)
        for _ in range(20):
            key, peer = chance.randbytes(16), chance.choice(net.alive())
            previous = None
            while (hop := peer.topology.next_hop(key, previous)) is not None and net.peers[hop].is_up:
                assert not net.peers[hop].topology.is_misrouted(peer.node_id, key)
                peer, previous = net.peers[hop], peer.node_id


def test_a_message_that_goes_far_past_its_target_is_misrouted() -> None:
    net = ring(40)
    names = sorted(peer.node_id for peer in net.alive())
    misrouted = 0
    for at, name in enumerate(names):
        topology = tuned(net.peers[name])
        for upstream in topology.table.fingers():
            # What the next peer behind the upstream one owns comes here instead.
            key = (int.from_bytes(upstream, "big") + 1).to_bytes(16, "big")
            passed = (at - names.index(upstream) - 1) % len(names)
            if passed > 2 * topology.table.neighbor_count:
                misrouted += 1
                assert topology.is_misrouted(upstream, key)
                assert not topology.is_misrouted(b"no peer of ours.", key)
            elif passed == 0:
                assert not topology.is_misrouted(upstream, key)
            assert not topology.is_misrouted(upstream, name)
    assert misrouted > 40


# How a ring is maintained says the configuration.
@pytest.mark.parametrize(
    ("plugin", "is_reactive", "topology", "acts_reactively"),
    [
        (CHORD_RELOAD, True, ChordReload, True),
        (CHORD_RELOAD, False, ChordReload, False),
        (CHORD_SELF_TUNING, True, SelfTuningChord, False),
        (CHORD_SELF_TUNING, False, SelfTuningChord, False),
    ],
)
def test_the_configuration_says_how_a_ring_is_maintained(
    plugin: str, is_reactive: bool, topology: type, acts_reactively: bool
) -> None:
    overlay = MemoryOverlay(in_force=in_force(topology_plugin=plugin, chord_reactive=is_reactive))
    node = overlay.add(1, make_topology=None).node  # type: ignore[arg-type]
    assert type(node.topology) is topology
    assert isinstance(node.topology, ChordReload)
    assert node.topology._maintenance.is_reactive is acts_reactively


def test_a_topology_that_is_not_here_is_refused() -> None:
    with pytest.raises(StateError):
        default_topology(in_force(topology_plugin="KADEMLIA").configuration)


@pytest.mark.parametrize(("make", "is_reactive"), [(ChordReload, True), (ChordReload, False), (SelfTuningChord, True)])
def test_each_way_keeps_a_ring_whole(make: MakeTopology, is_reactive: bool) -> None:
    net = Net(make=make, chord_reactive=is_reactive, chord_update_interval=60)
    net.ring(24, each=2.0)
    chance = Random(7)
    for number in range(100, 106):
        net.crash(chance.choice(net.alive()).node_id)
        net.run(20.0)
        net.join(node_id(number), chance.choice(net.alive()).node_id)
        net.run(20.0)
    net.run(200.0)
    assert len(net.alive()) == 24
    assert net.errors(count=1) == []


# Between whole nodes.
def nodes(count: int) -> tuple[MemoryOverlay, list[Host]]:
    overlay = MemoryOverlay(in_force=in_force(topology_plugin=CHORD_SELF_TUNING))
    hosts = [overlay.add((number - 1 << 125) + number, make_topology=SelfTuningChord) for number in range(1, count + 1)]
    hosts[0].node.start(overlay.now)
    for host in hosts[1:]:
        mine, _ = overlay.link(host, hosts[0])
        host.node.join(mine, overlay.now)
        overlay.settle(3.0)
    return overlay, hosts


def test_nodes_share_estimates_by_probes_with_an_extension_in_request_and_answer() -> None:
    overlay, hosts = nodes(8)
    assert all(host.node.topology.is_joined for host in hosts)
    overlay.settle(60.0)
    at = len(overlay.sent)
    overlay.settle(60.0)
    messages = [decode_message(octets) for _, _, _, octets in overlay.sent[at:]]
    requests = [message for message in messages if message.contents.message_code == MessageCode.PROBE_REQ]
    answers = [message for message in messages if message.contents.message_code == MessageCode.PROBE_ANS]
    assert len(requests) == len(answers) > 8
    for message in (*requests, *answers):
        (extension,) = message.contents.extensions
        assert (extension.type, extension.critical) == (ExtensionType.SELF_TUNING_DATA, False)
        assert decode(SelfTuningData, extension.extension_contents).network_size == 8
    for host in hosts:
        assert isinstance(host.node.topology, SelfTuningChord)
        assert host.node.topology.estimates.network_size == 8


def test_every_update_between_nodes_has_an_uptime() -> None:
    overlay, _ = nodes(5)
    overlay.settle(60.0)
    messages = [(when, sender, decode_message(octets)) for when, sender, _, octets in overlay.sent]
    updates = [
        (when, sender, decode_body(message.contents))
        for when, sender, message in messages
        if message.contents.message_code == MessageCode.UPDATE_REQ
    ]
    assert {body.type for _, _, body in updates} == {1, 2, 3}
    assert all(body.uptime == int(when) for when, _, body in updates)


def test_keepalives_on_a_link_save_pings() -> None:
    overlay, hosts = nodes(4)

    def pings(seconds: int, *, with_keepalives: bool) -> int:
        at = len(overlay.sent)
        for _ in range(seconds):
            overlay.settle(1.0)
            if with_keepalives:
                for host in hosts:
                    for link in host.wires:
                        host.node.packet_received(link, overlay.now)
        codes = [decode_message(octets).contents.message_code for _, _, _, octets in overlay.sent[at:]]
        return codes.count(MessageCode.PING_REQ)

    for host in hosts:
        assert isinstance(host.node.topology, SelfTuningChord)
        host.node.topology._tuning._tick = 1e9
    assert pings(120, with_keepalives=False) > 10
    assert pings(120, with_keepalives=True) <= 1
