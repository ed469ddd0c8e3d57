"""Which addresses of a peer are tried, from where and when; and whether peers behind simulated NATs meet by that."""

import pytest

from interop._nat_checks import (
    ANSWER_PATIENCE,
    MAX_AT_HOST,
    MAX_BATCH,
    MAX_CANDIDATES,
    MAX_PEERS,
    RELAY_PATIENCE,
    Checks,
    Relayed,
    pair_priority,
    priority,
)
from interop.simulation import Host, Link, Nat, NatBehaviour, Network
from ledbat import Ledbat
from ppsp import Endpoint, MerkleHashFunction, MerkleTree, SwarmMetadata, hash_chunks
from ppsp.events import PeerConnected, PeerDisconnected, SwarmComplete
from ppsp.store import MemoryStore
from ppsp.tracker import AddressType, PeerAddr

HOST = PeerAddr("10.0.0.2", 7000, priority(AddressType.HOST), AddressType.HOST)
REFLEXIVE = PeerAddr("198.51.100.3", 7001, priority(AddressType.REFLEXIVE), AddressType.REFLEXIVE)
PROXY = PeerAddr("198.51.100.9", 7002, priority(AddressType.PROXY), AddressType.PROXY)
EVERY = [PROXY, HOST, REFLEXIVE]
AT_HOST, AT_REFLEXIVE, AT_PROXY = ((one.address, one.port) for one in (HOST, REFLEXIVE, PROXY))


def _checks(peer_id: str = "b", *, relay_family: str | None = None) -> Checks:
    checks = Checks(peer_id, lambda host, port: None if ":" in host else (host, port))
    checks.relay_family = relay_family
    return checks


def test_priorities_are_those_of_rfc_8445() -> None:
    """Section 5.1.2.1, with the type preferences of section 5.1.2.2: 126 for host, 100 for reflexive, 0 for relayed."""
    assert priority(AddressType.HOST) == 126 * 2**24 + 65_535 * 2**8 + 256 - 1
    assert priority(AddressType.REFLEXIVE) == 100 * 2**24 + 65_535 * 2**8 + 255
    assert priority(AddressType.PROXY, 1) == 2**8 + 255


def test_both_sides_see_the_same_priority_of_a_pair() -> None:
    """Section 6.1.2.3: 2^32*MIN(G,D) + 2*MAX(G,D) + (G>D?1:0)."""
    assert pair_priority(5, 3, controlling=True) == 3 * 2**32 + 10 + 1
    assert pair_priority(3, 5, controlling=False) == 3 * 2**32 + 10 + 1
    assert pair_priority(3, 5, controlling=True) == 3 * 2**32 + 10


def test_the_best_pair_goes_first_and_relays_wait() -> None:
    checks = _checks()
    checks.learn("a", EVERY, 10.0)
    assert checks.due(10.0) == [AT_HOST, AT_REFLEXIVE]
    assert checks.due(10.0 + RELAY_PATIENCE - 0.01) == []
    assert checks.due(10.0 + RELAY_PATIENCE) == [AT_PROXY]


def test_with_a_relay_of_our_own_every_address_but_private_ones_is_tried_through_it_too() -> None:
    checks = _checks(relay_family="ipv4")
    checks.learn("a", EVERY, 0.0)
    assert checks.due(0.0) == [AT_HOST, AT_REFLEXIVE]
    assert set(checks.due(RELAY_PATIENCE)) == {AT_PROXY, Relayed(*AT_REFLEXIVE), Relayed(*AT_PROXY)}


def test_an_address_of_another_family_is_not_tried() -> None:
    checks = _checks(relay_family="ipv4")
    checks.learn("a", [PeerAddr("2001:db8::1", 1), HOST], 0.0)
    assert checks.due(RELAY_PATIENCE) == [AT_HOST]


def test_the_first_address_that_answers_wins() -> None:
    checks = _checks()
    checks.learn("a", EVERY, 0.0)
    checks.due(0.0)
    assert set(checks.connected(AT_REFLEXIVE)) == {AT_HOST, AT_PROXY}
    assert checks.due(60.0) == []
    checks.learn("a", EVERY, 60.0)
    assert checks.due(60.0) == []


def test_only_the_peer_with_the_greater_id_closes_an_open_channel_that_is_one_too_many() -> None:
    """Else each could close the one that the other keeps."""
    controlling, controlled = _checks("b"), _checks("a")
    controlling.learn("a", EVERY, 0.0)
    controlled.learn("b", EVERY, 0.0)
    for checks in (controlling, controlled):
        checks.connected(AT_HOST)
    assert set(controlling.connected(AT_REFLEXIVE)) == {AT_REFLEXIVE, AT_PROXY}
    assert controlled.connected(AT_REFLEXIVE) == [AT_PROXY]


def test_a_peer_that_is_lost_or_was_not_reached_is_tried_again_when_the_tracker_names_it_again() -> None:
    checks = _checks()
    checks.learn("a", [HOST], 0.0)
    checks.due(0.0)
    checks.learn("a", [REFLEXIVE], 5.0)
    assert checks.due(5.0) == [AT_REFLEXIVE]
    checks.connected(AT_REFLEXIVE)
    checks.disconnected(AT_REFLEXIVE)
    checks.learn("a", [REFLEXIVE], 9.0)
    assert checks.due(9.0) == [AT_REFLEXIVE]


def test_a_peer_that_came_to_us_before_the_tracker_named_it_is_not_tried_elsewhere() -> None:
    checks = _checks()
    assert checks.connected(AT_REFLEXIVE) == []
    checks.learn("a", EVERY, 0.0)
    assert checks.due(60.0) == []
    checks.disconnected(AT_REFLEXIVE)
    checks.learn("a", EVERY, 60.0)
    assert checks.due(60.0) == [AT_HOST, AT_REFLEXIVE]


def test_a_private_address_that_two_peers_have_proves_neither_of_them_reached() -> None:
    checks = _checks()
    checks.learn("a", [HOST, REFLEXIVE], 0.0)
    checks.learn("c", [HOST, PROXY], 0.0)
    assert checks.connected(AT_HOST) == []
    assert AT_REFLEXIVE in checks.due(RELAY_PATIENCE)


def test_a_peer_that_needs_nothing_is_left_alone() -> None:
    checks = _checks()
    checks.learn("a", [HOST], 0.0)
    checks.forsake(AT_HOST)
    checks.forsake(("192.0.2.99", 1))
    checks.learn("a", [HOST, REFLEXIVE], 1.0)
    assert checks.due(1.0) == []


def test_a_tracker_cannot_make_us_send_to_many_at_once_or_remember_without_end() -> None:
    """Each peer gets a handshake at first, and the other addresses one in 50 ms."""
    checks = _checks()
    for number in range(MAX_PEERS + 10):
        hosts = (f"10.{number // 256}.{number % 256}.{last}" for last in range(1, 100))
        checks.learn(f"peer {number}", [PeerAddr(host, 1) for host in hosts], 0.0)
    first = checks.due(0.0)
    assert len(first) == MAX_PEERS + MAX_BATCH
    rest = 0
    while found := checks.due(0.0):
        assert len(found) <= MAX_BATCH
        rest += len(found)
    assert rest + len(first) == MAX_PEERS * MAX_CANDIDATES


def test_a_victim_that_many_peers_claim_to_be_gets_few_handshakes() -> None:
    """RFC 8445 section 19.5.1: a list of candidates is not to be an amplifier."""
    checks = _checks(relay_family="ipv4")
    for number in range(100):
        ports = range(1 + MAX_CANDIDATES * number, 1 + MAX_CANDIDATES * (number + 1))
        checks.learn(f"peer {number}", [PeerAddr("203.0.113.1", port) for port in ports], 0.0)
    checks.learn("another", [REFLEXIVE], 0.0)
    first = checks.due(0.0)
    victim = [address for address in first if address != AT_REFLEXIVE]
    assert len(first) == len(victim) + 1
    while found := checks.due(RELAY_PATIENCE):  # through the relay is the same for it
        victim += [address for address in found if address[0] == "203.0.113.1"]
    assert len(victim) == MAX_AT_HOST
    assert checks.due(ANSWER_PATIENCE - 0.01) == []
    # Who answers makes room, and so does who is silent for as long as a handshake is repeated.
    checks.connected(victim[0])
    assert len(checks.due(ANSWER_PATIENCE - 0.01)) == 1
    assert 0 < len(checks.due(RELAY_PATIENCE + ANSWER_PATIENCE)) < MAX_AT_HOST


def test_the_addresses_of_a_64_are_one_victim():
    """A host has all of them, and whoever forges addresses could name each once"""
    checks = Checks("b", lambda host, port: (host, port))
    for number in range(3 * MAX_AT_HOST):
        checks.learn(f"victim {number}", [PeerAddr(f"2001:db8::{number + 1:x}", 7000)], 0.0)
    checks.learn("elsewhere", [PeerAddr("2001:db8:0:1::1", 7000)], 0.0)
    found = checks.due(0.0)
    assert sum(address[0].startswith("2001:db8::") for address in found) == MAX_AT_HOST
    assert ("2001:db8:0:1::1", 7000) in found


# Two endpoints behind simulated NATs

CONTENT = bytes(range(256)) * 100
TREE = MerkleTree.from_leaves(hash_chunks(CONTENT, 1024, MerkleHashFunction.SHA256), MerkleHashFunction.SHA256)
METADATA = SwarmMetadata(TREE.root, chunk_size=1024)
STUN = "192.0.2.1"
EI = NatBehaviour.ENDPOINT_INDEPENDENT
AD = NatBehaviour.ADDRESS_DEPENDENT
APD = NatBehaviour.ADDRESS_AND_PORT_DEPENDENT


class _Probing:
    """An endpoint whose socket says hello to a server first, as a STUN client does."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._hello = [(b"hello", (STUN, 3478))]
        self.receive_datagram = endpoint.receive_datagram
        self.get_timer = endpoint.get_timer
        self.handle_timer = endpoint.handle_timer

    def datagrams_to_send(self, now: float) -> list:
        hello, self._hello = self._hello, []
        return hello or self._endpoint.datagrams_to_send(now)


class _Peer:
    """A peer behind a NAT of its own."""

    def __init__(self, network: Network, name: str, host: Host, endpoint: Endpoint) -> None:
        self.name = name
        self.endpoint = endpoint
        self.host = host
        self.checks = _checks(name)
        self.connections: list[tuple[str, int]] = []
        self.complete = False
        self.seen: list[PeerAddr] = []
        self.socket = host.run(_Probing(endpoint), port=7000, on_events=self._events)
        self.socket.wake()

    def candidates(self) -> list[PeerAddr]:
        return [HOST, *self.seen]

    def look(self, other: "_Peer | None") -> None:
        """What `interop.peer` does a few times a second; `other` when a tracker names it."""
        now = self.host.now
        if other is not None:
            self.checks.learn(other.name, other.candidates(), now)
        for address in self.checks.due(now):
            self.endpoint.connect(METADATA.swarm_id, address, now)
        self.socket.wake()

    def _events(self) -> None:
        while (event := self.endpoint.next_event()) is not None:
            match event:
                case PeerConnected():
                    self.connections.append(event.address)
                    for other in self.checks.connected(event.address):
                        self.endpoint.disconnect(METADATA.swarm_id, other, self.host.now)
                case PeerDisconnected():
                    self.checks.disconnected(event.address)
                case SwarmComplete():
                    self.complete = True


def _endpoint(network_host: Host, *, has_content: bool) -> Endpoint:
    endpoint = Endpoint(controller=lambda size: Ledbat(mss=size), random_bytes=network_host.random_bytes)
    store = MemoryStore()
    if has_content:
        store.write(0, CONTENT)
        endpoint.add_swarm(METADATA, store=store, tree=TREE, content_size=len(CONTENT))
    else:
        endpoint.add_swarm(METADATA, store=store)
    return endpoint


Kind = tuple[NatBehaviour, NatBehaviour] | None


def _meet(first: Kind, second: Kind) -> tuple[_Peer, _Peer]:
    """A source and a peer that fetches, behind NATs of this mapping and filtering, named to each other 3 s apart."""
    network = Network(seed=7)
    peers: list[_Peer] = []

    def heard(data: bytes, source: tuple, now: float) -> None:
        for peer in peers:
            if peer.socket.host.name == names[source[0]]:
                kind = AddressType.REFLEXIVE
                peer.seen = [PeerAddr(source[0], source[1], priority(kind), kind)]

    names = {}
    network.host(STUN).listen(heard, 3478)
    for name, public, kind in (("a", "198.51.100.2", first), ("b", "198.51.100.3", second)):
        if kind is None:
            host = network.host(public, name=name, up=Link(delay=0.01))
        else:
            nat = network.nat(Nat(public, mapping=kind[0], filtering=kind[1]))
            host = network.host(f"10.0.{len(peers)}.2", name=name, nat=nat, up=Link(delay=0.01))
        names[public] = name
        peers.append(_Peer(network, name, host, _endpoint(host, has_content=name == "a")))
    source, fetcher = peers
    network.run(until=1.0)
    for step in range(60):
        fetcher.look(source if step % 20 == 0 else None)
        source.look(fetcher if step % 20 == 12 else None)
        network.run(until=1.0 + 0.25 * (step + 1))
    return source, fetcher


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((EI, EI), (EI, EI)),
        ((EI, APD), (EI, APD)),
        ((EI, AD), (EI, APD)),
        ((APD, APD), (EI, AD)),
        ((EI, AD), (APD, APD)),
        ((APD, APD), None),
        (None, (APD, APD)),
    ],
)
def test_peers_behind_nats_meet_and_one_channel_stays(first: Kind, second: Kind) -> None:
    """RFC 4787: full cone, port restricted, address restricted; and a symmetric NAT opposite an address restricted."""
    source, fetcher = _meet(first, second)
    assert fetcher.complete
    for peer in (source, fetcher):
        stats = peer.endpoint.stats(METADATA.swarm_id)
        assert len(stats.peers) == 1, (peer.name, stats.peers)


@pytest.mark.parametrize(
    ("first", "second"), [((APD, APD), (APD, APD)), ((APD, APD), (EI, APD)), ((EI, APD), (APD, APD))]
)
def test_a_symmetric_nat_opposite_one_that_filters_by_port_takes_a_relay(first: Kind, second: Kind) -> None:
    source, fetcher = _meet(first, second)
    assert not fetcher.complete
    assert not source.connections
