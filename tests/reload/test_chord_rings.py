"""Whole rings in virtual time: joins, failures, churn, partitions (RFC 6940 section 10)."""

from math import log2
from random import Random

import pytest
from reload_ring import Net, node_id

from reload.chord_join import JoinState


def settle(net: Net, seconds: float, *, among: set[bytes] | None = None) -> float:
    """Let time pass until all neighbor tables are right; for how long that took."""
    begin = net.now
    while net.errors(among=among) and net.now - begin < seconds:
        net.run(2.0)
    assert net.errors(among=among) == []
    return net.now - begin


def owner(net: Net, resource_id: bytes) -> bytes:
    at = int.from_bytes(resource_id, "big")
    names = [peer.node_id for peer in net.alive()]
    return min(names, key=lambda name: (int.from_bytes(name, "big") - at) % (1 << 128))


def lookups(net: Net, count: int, seed: int = 1) -> list[int]:
    """The hops of so many lookups, all of which end where they should."""
    chance, names, found = Random(seed), [peer.node_id for peer in net.alive()], []
    for _ in range(count):
        resource_id = chance.randbytes(16)
        end, hops = net.lookup(chance.choice(names), resource_id)
        assert end == owner(net, resource_id)
        found.append(hops)
    return found


@pytest.mark.parametrize("reactive", [True, False])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 7, 8, 16, 33, 64])
def test_peers_that_join_one_after_the_other_make_a_ring(count: int, reactive: bool) -> None:
    net = Net(count, chord_reactive=reactive)
    net.ring(count)
    net.run(5)
    settle(net, 30 if reactive else 1800)
    assert len(net.alive()) == count
    assert all(peer.names[0] == "Joined" for peer in net.peers.values())
    hops = lookups(net, 300)
    assert sum(hops) / len(hops) <= 0.5 * log2(count) + 1
    assert max(hops) <= log2(count) + 5


@pytest.mark.parametrize("reactive", [True, False])
@pytest.mark.parametrize("count", [2, 3, 5, 16, 64])
def test_peers_that_all_join_at_once_at_the_first_one_make_a_ring(count: int, reactive: bool) -> None:
    net = Net(count, chord_reactive=reactive)
    net.first(node_id(0))
    for number in range(1, count):
        net.join(node_id(number), node_id(0))
    while len(net.alive()) < count and net.now < 300:
        net.run(5)
    assert len(net.alive()) == count
    settle(net, 60 if reactive else 1800)
    lookups(net, 100)


def test_values_are_with_whoever_joins_when_it_is_responsible() -> None:
    net = Net(5)
    net.ring(8)
    resources = [Random(number).randbytes(16) for number in range(200)]
    for resource in resources:
        net.peers[owner(net, resource)].values[resource] = "value"
    for number in range(100, 120):
        net.join(node_id(number), node_id(0))
        net.run(3)
    settle(net, 30)
    assert all(resource in net.peers[owner(net, resource)].values for resource in resources)


@pytest.mark.parametrize("reactive", [True, False])
@pytest.mark.parametrize("gone", [1, 2, 3, 4, 8, 20])
def test_adjacent_peers_may_fail_at_once(gone: int, reactive: bool) -> None:
    net = Net(gone, chord_reactive=reactive)
    net.ring(48)
    net.run(30)
    settle(net, 1800)
    ordered = sorted(peer.node_id for peer in net.alive())
    for at in range(gone):
        net.crash(ordered[(at + 40) % len(ordered)])
    net.run(3.5)
    settle(net, 120 if reactive else 1800)
    lookups(net, 100)


def test_any_two_adjacent_peers_may_fail_at_once() -> None:
    net = Net(9)
    net.ring(24)
    ordered = sorted(peer.node_id for peer in net.alive())
    for at in range(0, 24, 6):
        net.crash(ordered[at])
        net.crash(ordered[at + 1])
        net.run(4)
        settle(net, 60)


@pytest.mark.parametrize("left", [1, 2, 3])
def test_most_may_fail_at_once(left: int) -> None:
    net = Net(left)
    net.ring(12)
    ordered = sorted(peer.node_id for peer in net.alive())
    for name in ordered[left:]:
        net.crash(name)
    net.run(4)
    settle(net, 1800)
    assert len(net.alive()) == left


def test_who_is_alone_in_a_gap_finds_the_next_peers_beyond_it() -> None:
    # Two far fingers are all that is left of a table whose every neighbor fails.
    net = Net(3)
    net.ring(64)
    ordered = sorted(peer.node_id for peer in net.alive())
    lonely = ordered[20]
    for name in [*ordered[10:20], *ordered[21:31]]:
        net.crash(name)
    net.run(4)
    settle(net, 200)
    assert net.peers[lonely].topology.table.successors[0] == ordered[31]
    lookups(net, 100)


@pytest.mark.parametrize("reactive", [True, False])
def test_peers_that_say_goodbye_leave_a_ring(reactive: bool) -> None:
    net = Net(2, chord_reactive=reactive)
    net.ring(24)
    for name in [peer.node_id for peer in net.alive()][:12]:
        net.peers[name].call(net.peers[name].topology.leave)
        net.run(3)
    settle(net, 30 if reactive else 1800)
    assert len(net.alive()) == 12
    assert [peer.names[-1] for peer in net.peers.values()].count("Left") == 12


def test_a_peer_that_has_left_may_come_back() -> None:
    net = Net(2)
    names = net.ring(8)
    for name in names[1:4]:
        net.peers[name].call(net.peers[name].topology.leave)
        net.run(10)
        net.join(name, names[0])
        net.run(10)
    settle(net, 60)
    assert len(net.alive()) == 8


@pytest.mark.parametrize("after", [0.05, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 2.0])
def test_a_join_that_dies_half_way_does_no_harm(after: float) -> None:
    net = Net(7)
    names = net.ring(12)
    net.join(node_id(100), names[0])
    net.run(after)
    net.crash(node_id(100))
    net.run(4)
    settle(net, 60)
    assert len(net.alive()) == 12
    lookups(net, 50)


@pytest.mark.parametrize("after", [0.05, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 2.0])
def test_a_join_succeeds_though_the_admitting_peer_dies_half_way(after: float) -> None:
    net = Net(8)
    names = net.ring(12)
    admitting = owner(net, node_id(100))
    net.join(node_id(100), next(name for name in names if name != admitting))
    net.run(after)
    net.crash(admitting)
    net.run(60)
    settle(net, 60)
    assert len(net.alive()) == 12
    assert net.peers[node_id(100)].topology._joining.state is JoinState.IDLE


@pytest.mark.parametrize("reactive", [True, False])
def test_a_ring_under_churn_is_right_when_that_is_over(reactive: bool) -> None:
    net = Net(11, chord_reactive=reactive)
    net.ring(32)
    chance, number, right, wrong = Random(11), 1000, 0, 0
    end = net.now + 300
    while net.now < end:
        net.run(chance.expovariate(1 / 4.0))
        alive = net.alive()
        if chance.random() < 0.5 or len(alive) < 16:
            net.join(node_id(number), chance.choice(alive).node_id)
            number += 1
        elif chance.random() < 0.5:
            net.crash(chance.choice(alive).node_id)
        else:
            leaving = chance.choice(alive)
            leaving.call(leaving.topology.leave)
        names = [peer.node_id for peer in net.alive()]
        for _ in range(5):
            resource_id = chance.randbytes(16)
            found, _ = net.lookup(chance.choice(names), resource_id)
            right += found == owner(net, resource_id)
            wrong += found != owner(net, resource_id)
    # A crash is found out after three seconds here, in which messages for one of the peers are lost.
    assert wrong <= 0.1 * right
    net.run(60)
    settle(net, 60 if reactive else 1800)
    lookups(net, 100)


@pytest.mark.parametrize("reactive", [True, False])
@pytest.mark.parametrize("count", [2, 4, 16, 48])
def test_two_halves_of_a_partition_become_rings_and_then_one(count: int, reactive: bool) -> None:
    net = Net(count, chord_reactive=reactive)
    net.ring(count)
    settle(net, 1800)
    names = [peer.node_id for peer in net.alive()]
    net.random.shuffle(names)
    halves = set(names[: count // 2]), set(names[count // 2 :])
    net.partition(halves)
    net.run(1)
    for half in halves:
        settle(net, 1800, among=half)
    net.heal()
    # Who looks for a partition does so every chord-update-interval, give or take a half.
    assert settle(net, 3000) <= 2000
    lookups(net, 100)


def test_an_overlay_that_was_started_twice_becomes_one() -> None:
    net = Net(1)
    for number in (0, 100):
        net.first(node_id(number))
        for other in range(1, 8):
            net.join(node_id(number + other), node_id(number))
            net.run(3)
    assert net.errors()
    settle(net, 2000)
    assert len(net.alive()) == 16


@pytest.mark.parametrize("reactive", [True, False])
def test_links_that_are_lost_between_living_peers_come_back(reactive: bool) -> None:
    net = Net(4, chord_reactive=reactive)
    net.ring(16)
    settle(net, 1800)
    ordered = sorted(peer.node_id for peer in net.alive())
    net.cut(ordered[3], ordered[4], tell=(ordered[3], ordered[4]))
    net.run(0.1)
    assert net.errors()
    settle(net, 60 if reactive else 1800)


def test_a_calm_ring_sends_nothing_but_its_periodic_messages() -> None:
    net = Net(6)
    net.ring(32)
    settle(net, 60)
    net.run(3600)
    net.sent.clear()
    net.run(1200)
    # Six neighbors, twice in that time give or take a half; and the checks for partitions.
    assert net.sent["UPDATE_REQ"] <= 32 * 6 * 2 * 1.5
    assert net.sent["PING_REQ"] <= 32 * 2 * 2
    assert net.sent["ATTACH_REQ"] == net.sent["JOIN_REQ"] == net.sent["ROUTE_QUERY_REQ"] == 0


def test_a_join_costs_messages_in_the_square_of_the_logarithm() -> None:
    costs = {}
    for count in (8, 32, 128):
        net = Net(1)
        names = net.ring(count, each=1.0)
        net.run(30)
        before, joins = net.messages, 8
        for number in range(joins):
            net.join(node_id(1000 + number), names[number % count])
            net.run(5)
        costs[count] = (net.messages - before) / joins
        print(f"{count} peers: {costs[count]:.0f} messages a join, {costs[count] / log2(count) ** 2:.1f} log2(N)^2")
        # Twice the neighbors, and ourselves, tell all connections, and are answered.
        assert costs[count] <= 25 * log2(count) ** 2
    assert costs[128] / costs[32] < 3


def test_connections_stay_few() -> None:
    net = Net(1)
    net.ring(128, each=1.0)
    net.run(60)
    links = sorted(len(peer.links) for peer in net.alive())
    assert links[64] <= 4 * log2(128)
    # All of them are in the tables: bootstrap nodes are let go.
    assert all(len(peer.links) == len(peer.topology.table) for peer in net.alive())


def test_the_same_seed_leads_to_the_same_messages() -> None:
    def run() -> list[tuple[object, ...]]:
        net = Net(12)
        names = net.ring(12, each=1.0)
        net.crash(names[3])
        net.peers[names[5]].call(net.peers[names[5]].topology.leave)
        net.run(700)
        return list(net.log)

    assert run() == run()
