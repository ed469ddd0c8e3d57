"""NATs: the mapping and filtering behaviours of RFC 4787."""

import itertools

import pytest

from interop.simulation import CallbackSocket, Drop, Host, Link, Nat, NatBehaviour, Network, SimulatedAddress

PUBLIC = "203.0.113.1"
OUTER, OTHER = "192.0.2.1", "192.0.2.2"
EI = NatBehaviour.ENDPOINT_INDEPENDENT
AD = NatBehaviour.ADDRESS_DEPENDENT
APD = NatBehaviour.ADDRESS_AND_PORT_DEPENDENT
Heard = list[tuple[bytes, SimulatedAddress]]


class World:
    """A host behind a NAT, and two outside with two sockets each, that tell what they hear."""

    def __init__(self, nat: Nat) -> None:
        self.network = Network()
        self.nat = self.network.nat(nat)
        self.inner = self.network.host("10.0.0.2", nat=self.nat)
        self.heard: dict[SimulatedAddress, Heard] = {}
        self.inside = self.open(self.inner, 5000)
        outside = [self.network.host(OUTER), self.network.host(OTHER)]
        self.outside = {(host.address, port): self.open(host, port) for host in outside for port in (1, 2)}

    def open(self, host: Host, port: int) -> CallbackSocket:
        heard: Heard = []
        socket = host.listen(lambda data, source, now: heard.append((data, source)), port)
        self.heard[socket.address] = heard
        return socket

    def seen_from(self, address: SimulatedAddress) -> SimulatedAddress:
        """Send from inside, and return the source that the other side sees."""
        self.inside.send(b"out", address)
        self.network.run()
        return self.heard[address][-1][1]

    def passes(self, source: SimulatedAddress, mapped: SimulatedAddress) -> bool:
        """Whether a datagram from outside to the mapped address arrives inside."""
        before = len(self.heard[self.inside.address])
        self.outside[source].send(b"in", mapped)
        self.network.run()
        return len(self.heard[self.inside.address]) > before


@pytest.mark.parametrize(("mapping", "distinct"), [(EI, 1), (AD, 2), (APD, 4)])
def test_a_mapping_depends_on_what_its_behaviour_says(mapping: NatBehaviour, distinct: int) -> None:
    """RFC 4787 section 4.1."""
    world = World(Nat(PUBLIC, mapping=mapping))
    seen = {address: world.seen_from(address) for address in world.outside}
    assert len(set(seen.values())) == distinct
    assert {host for host, *_ in seen.values()} == {PUBLIC}
    again = {address: world.seen_from(address) for address in world.outside}
    assert again == seen


@pytest.mark.parametrize(
    ("filtering", "passing"),
    [
        (EI, {(OUTER, 1), (OUTER, 2), (OTHER, 1), (OTHER, 2)}),
        (AD, {(OUTER, 1), (OUTER, 2)}),
        (APD, {(OUTER, 1)}),
    ],
)
def test_a_filter_lets_in_what_its_behaviour_says(filtering: NatBehaviour, passing: set[SimulatedAddress]) -> None:
    """RFC 4787 section 5."""
    world = World(Nat(PUBLIC, filtering=filtering))
    mapped = world.seen_from((OUTER, 1))
    assert {address for address in world.outside if world.passes(address, mapped)} == passing
    assert world.network.recorder.dropped[Drop.NAT_FILTER] == 4 - len(passing)


def test_nothing_comes_in_before_anything_went_out() -> None:
    world = World(Nat(PUBLIC, filtering=EI))
    assert not world.passes((OUTER, 1), (PUBLIC, 5000))
    world.outside[OUTER, 1].send(b"x", ("10.0.0.2", 5000))
    world.network.run()
    assert world.network.recorder.dropped == {Drop.NAT_FILTER: 1, Drop.NO_ROUTE: 1}


def test_a_datagram_that_passes_has_the_inner_destination_and_the_outer_source() -> None:
    world = World(Nat(PUBLIC))
    mapped = world.seen_from((OUTER, 1))
    assert world.passes((OUTER, 1), mapped)
    assert world.heard["10.0.0.2", 5000] == [(b"in", (OUTER, 1))]


def test_the_inner_port_is_kept_unless_a_neighbour_has_it() -> None:
    """RFC 4787 section 4.2.1."""
    world = World(Nat(PUBLIC))
    neighbour = world.open(world.network.host("10.0.0.3", nat=world.nat), 5000)
    assert world.seen_from((OUTER, 1)) == (PUBLIC, 5000)
    neighbour.send(b"me too", (OUTER, 1))
    world.network.run()
    data, (host, port) = world.heard[OUTER, 1][-1]  # type: ignore[misc]
    assert (data, host) == (b"me too", PUBLIC)
    assert port != 5000


def test_a_mapping_ends_when_nothing_goes_out_for_its_lifetime() -> None:
    """RFC 4787 section 4.3: refreshed by what goes out (REQ-6), not by what comes in."""
    world = World(Nat(PUBLIC, lifetime=120.0, filtering=EI))
    mapped = world.seen_from((OUTER, 1))
    world.network.run(until=100.0)
    assert world.passes((OTHER, 1), mapped)
    world.seen_from((OUTER, 1))
    world.network.run(until=219.0)
    assert world.passes((OTHER, 1), mapped)
    world.network.run(until=221.0)
    assert not world.passes((OTHER, 1), mapped)


def test_an_expired_port_is_given_out_again() -> None:
    world = World(Nat(PUBLIC, lifetime=10.0))
    neighbour = world.open(world.network.host("10.0.0.3", nat=world.nat), 5000)
    assert world.seen_from((OUTER, 1)) == (PUBLIC, 5000)
    world.network.run(until=11.0)
    neighbour.send(b"mine now", (OUTER, 1))
    world.network.run()
    assert world.heard[OUTER, 1][-1] == (b"mine now", (PUBLIC, 5000))
    assert world.seen_from((OUTER, 2)) != (PUBLIC, 5000)


def test_an_expired_mapping_forgets_whom_it_let_in() -> None:
    world = World(Nat(PUBLIC, lifetime=10.0))
    mapped = world.seen_from((OUTER, 1))
    world.network.run(until=11.0)
    assert world.seen_from((OTHER, 1)) == mapped
    assert not world.passes((OUTER, 1), mapped)
    assert world.passes((OTHER, 1), mapped)


def test_a_nat_that_was_off_has_forgotten_its_mappings() -> None:
    world = World(Nat(PUBLIC, filtering=EI))
    mapped = world.seen_from((OUTER, 1))
    world.nat.forget()
    assert not world.passes((OUTER, 1), mapped)


def test_a_nat_without_a_free_port_drops() -> None:
    world = World(Nat(PUBLIC, mapping=APD))
    for port in range(1, 64_513):
        world.inside.send(b"x", (OUTER, port))
    world.network.run()
    assert world.network.recorder.dropped[Drop.NAT_FULL] == 0
    world.inside.send(b"x", (OTHER, 1))
    assert world.network.recorder.dropped[Drop.NAT_FULL] == 1


@pytest.mark.parametrize("hairpinning", [True, False])
def test_neighbours_reach_each_other_at_public_addresses_by_hairpinning_only(hairpinning: bool) -> None:
    """RFC 4787 section 6."""
    world = World(Nat(PUBLIC, filtering=EI, hairpinning=hairpinning))
    mapped = world.seen_from((OUTER, 1))
    neighbour = world.open(world.network.host("10.0.0.3", nat=world.nat), 6000)
    neighbour.send(b"hello", mapped)
    world.network.run()
    expected = [(b"hello", (PUBLIC, 6000))] if hairpinning else []
    assert world.heard["10.0.0.2", 5000] == expected


def test_neighbours_reach_each_other_at_private_addresses() -> None:
    world = World(Nat(PUBLIC))
    neighbour = world.open(world.network.host("10.0.0.3", nat=world.nat), 6000)
    neighbour.send(b"hello", ("10.0.0.2", 5000))
    world.network.run()
    assert world.heard["10.0.0.2", 5000] == [(b"hello", ("10.0.0.3", 6000))]


def test_two_nats_may_have_hosts_of_the_same_private_address() -> None:
    world = World(Nat(PUBLIC))
    second = world.network.nat(Nat("203.0.113.2"))
    world.open(world.network.host("10.0.0.2", name="the other", nat=second), 7000).send(b"x", (OUTER, 1))
    world.network.run()
    assert world.heard[OUTER, 1] == [(b"x", ("203.0.113.2", 7000))]


@pytest.mark.parametrize(("mapping", "works"), [(EI, True), (APD, False)])
def test_hole_punching_works_with_endpoint_independent_mappings_only(mapping: NatBehaviour, works: bool) -> None:
    """RFC 4787 section 4.1 says why: the address that a rendezvous saw is not the one that a peer is sent to."""
    network = Network()
    heard: dict[str, list[bytes]] = {"a": [], "b": []}
    seen: dict[str, SimulatedAddress] = {}
    rendezvous = network.host(OUTER).listen(lambda data, source, now: seen.update({data.decode(): source}), 1)
    sockets: dict[str, CallbackSocket] = {}
    for name, public in (("a", PUBLIC), ("b", "203.0.113.2")):
        nat = network.nat(Nat(public, mapping=mapping))
        # A second flow first, so that no port is kept by chance.
        host = network.host("10.0.0.2", name=name, nat=nat)
        sockets[name] = host.listen(lambda data, source, now, name=name: heard[name].append(data), 5000)
        sockets[name].send(b"x", (OTHER, 1))
        sockets[name].send(name.encode(), rendezvous.address)
    network.run()
    for _ in range(2):
        for me, other in itertools.permutations("ab"):
            sockets[me].send(b"from " + me.encode(), seen[other])
        network.run()
    assert heard == ({"a": [b"from b"] * 2, "b": [b"from a"] * 2} if works else {"a": [], "b": []})


def test_the_links_of_a_nat_are_shared_and_lie_beyond_those_of_its_hosts() -> None:
    network = Network()
    nat = network.nat(Nat(PUBLIC, up=Link(delay=0.1), down=Link(delay=0.2)))
    host = network.host("10.0.0.2", nat=nat, up=Link(delay=0.01), down=Link(delay=0.02))
    times: list[float] = []
    echo = network.host(OUTER).listen(lambda data, source, now: (times.append(now), echo.send(data, source))[0], 1)
    host.listen(lambda data, source, now: times.append(now), 5000).send(b"x", (OUTER, 1))
    network.run()
    assert times == pytest.approx([0.11, 0.33])


def test_a_partition_names_the_nat_and_not_the_hosts_behind_it() -> None:
    world = World(Nat(PUBLIC))
    with pytest.raises(ValueError, match="behind a NAT"):
        world.network.partition([world.inner])
    partition = world.network.partition([world.nat])
    world.inside.send(b"x", (OUTER, 1))
    world.network.run()
    assert world.heard[OUTER, 1] == []
    partition.heal()
    assert world.seen_from((OUTER, 1))[0] == PUBLIC


def test_an_address_is_given_to_one_nat_or_host() -> None:
    network = Network()
    network.host(PUBLIC)
    with pytest.raises(ValueError, match="taken"):
        network.nat(Nat(PUBLIC))
