"""Values stay where they belong while real peers of CHORD-RELOAD come, go and fail (RFC 6940 sections 10.4 to 10.7)."""

from collections.abc import Iterable

import attrs
import pytest
from reload_configurations import PRIVATE
from reload_identities import node_id
from reload_overlay import Host, MemoryOverlay, in_force

from reload.chord import ChordReload
from reload.contents import ErrorCode, MessageCode
from reload.destinations import NodeDestination
from reload.errors import StateError
from reload.events import ConnectionWanted
from reload.kinds import AccessControl, Kind
from reload.naming import resource_id
from reload.null_security import NullSigner
from reload.operations import Failed, Fetch, Fetched, NewValue, Result, Send, Store, Stored, Wanted
from reload.reading import content
from reload.replication import SETTLE_TIME
from reload.routing import code_of
from reload.storage_messages import DataModel, DataValue, SingleSpecifier, StoreReq
from reload.storage_settings import StorageSettings

MANY = Kind(0xF0000010, DataModel.SINGLE, AccessControl.NODE_MULTIPLE, 1, 100, max_node_multiple=8)
IN_FORCE = in_force((PRIVATE, MANY))
LIFETIME = 100_000
SPACE = 1 << 120
ALICES = (10, 30)
"""The numbers of two nodes of one user, who may both write at HOME."""
HOME = resource_id(b"alice@example.org")


class Ring(MemoryOverlay):
    """Peers of CHORD-RELOAD, number `n` at n/256 of the ring."""

    def __init__(self, numbers: Iterable[int] = (), *, seed: int = 1) -> None:
        super().__init__(seed=seed, in_force=IN_FORCE)
        self.by_number: dict[int, Host] = {}
        self.parts: dict[int, int] = {}
        for number in numbers:
            self.grow(number)
        self.settle(30)

    def grow(self, number: int, *, via: int | None = None, seconds: float = 3.0, **options: object) -> Host:
        """Another peer joins through the first."""
        name = node_id(number * SPACE + 1)
        user = "alice@example.org" if number in ALICES else f"user{number}@example.org"
        host = self.add(number * SPACE + 1, make_topology=ChordReload, signer=NullSigner(name, user), **options)
        bootstrap = self.by_number[via] if via is not None else next(iter(self.by_number.values()), None)
        self.by_number[number] = host
        if bootstrap is None:
            host.node.start(self.now)
        else:
            link, _ = self.link(host, bootstrap)
            host.node.join(link, self.now)
        self.settle(seconds)
        return host

    def crash(self, *numbers: int) -> None:
        """These peers are gone without a word; whoever was connected notices."""
        for host in [self.by_number.pop(number) for number in numbers]:
            self.hosts.remove(host)
            for link in list(host.wires):
                self.cut(host, link, tell=False)

    def divide(self, *halves: Iterable[int]) -> None:
        """Only peers of one part can reach each other; all others are lost to them."""
        self.parts = {number: part for part, half in enumerate(halves) for number in half}
        for host in self.hosts:
            for link, wire in list(host.wires.items()):
                if self.is_divided(host, wire.other.peer if wire.other else host):
                    self.cut(host, link)

    def is_divided(self, one: Host, other: Host) -> bool:
        return self.parts.get(one.number // SPACE) != self.parts.get(other.number // SPACE)

    def heal(self, one: int, other: int) -> None:
        """All can reach each other again, and one finds the other as a bootstrap node."""
        self.parts.clear()
        link, _ = self.link(self.by_number[one], self.by_number[other])
        self.by_number[one].node.check_partition(link, self.now)

    def _connect(self, host: Host, wanted: ConnectionWanted) -> None:
        other = next((each for each in self.hosts if each.node_id == wanted.peer), None)
        if other is None or not self.is_divided(host, other):
            super()._connect(host, wanted)

    def do(self, number: int, operation: Store | Fetch | Send, *, seconds: float = 1.0) -> Result:
        host = self.by_number[number]
        handle = host.node.perform(operation, self.now)
        self.settle(seconds)
        return host.result(handle)  # type: ignore[return-value]

    def owner(self, resource: bytes) -> Host:
        """Who should be responsible."""
        return self.nearest(resource)[0]

    def nearest(self, resource: bytes) -> list[Host]:
        start = int.from_bytes(resource)
        return sorted(self.by_number.values(), key=lambda host: (int.from_bytes(host.node_id) - start) % (1 << 128))

    def copies(self, resource: bytes) -> list[Host]:
        return [host for host in self.nearest(resource) if host.node.storage.values_of(resource, self.now)]

    def check(self, values: dict[bytes, bytes]) -> None:
        """Each value is at the three peers where it belongs."""
        for resource, value in values.items():
            expected = self.nearest(resource)[:3]
            found = self.copies(resource)
            assert found[:3] == expected, (resource, [host.number // SPACE for host in found])
            for host in expected:
                assert held(host, resource, self.now) == value


def held(host: Host, resource: bytes, now: float) -> bytes:
    copy = host.node.storage.values_of(resource, now)
    assert copy is not None
    (value,) = copy.values
    size = int.from_bytes(value.octets[13:17])
    return value.octets[17 : 17 + size]


def places(host: Host) -> list[bytes]:
    """Where a node may write."""
    return [resource_id(host.node_id + bytes([i])) for i in range(1, 9)]


def new(value: bytes, *, lifetime: int = LIFETIME, exists: bool = True, storage_time: int | None = None) -> NewValue:
    return NewValue(MANY.id, DataValue(exists, value), lifetime, storage_time=storage_time)


def fill(ring: Ring) -> dict[bytes, bytes]:
    """Each peer writes at its eight places."""
    values: dict[bytes, bytes] = {}
    handles = []
    for number, host in ring.by_number.items():
        for resource in places(host):
            values[resource] = b"%d of %d" % (len(values), number)
            handles.append((host, host.node.perform(Store(resource, (new(values[resource]),)), ring.now)))
    ring.settle(5)
    for host, handle in handles:
        assert isinstance(host.result(handle), Stored)
    return values


def fetch(resource: bytes) -> Fetch:
    return Fetch(resource, (Wanted(MANY.id, SingleSpecifier()),))


def fetched(result: Result, kind: Kind = MANY) -> bytes | None:
    assert isinstance(result, Fetched), result
    (value,) = result.kinds[kind.id].values
    return content(value.data.value).value if content(value.data.value).exists else None


@pytest.fixture
def twelve() -> tuple[Ring, dict[bytes, bytes]]:
    """Twelve peers with 96 values."""
    ring = Ring(range(10, 250, 20))
    return ring, fill(ring)


def test_a_stored_value_is_at_the_responsible_peer_and_its_two_successors(
    twelve: tuple[Ring, dict[bytes, bytes]],
) -> None:
    ring, values = twelve
    assert len(values) == 96
    ring.check(values)
    assert sum(len(host.node.storage) for host in ring.hosts) == 3 * 96


def test_the_answer_names_who_has_replicas(twelve: tuple[Ring, dict[bytes, bytes]]) -> None:
    ring, _ = twelve
    resource = places(ring.by_number[10])[0]
    result = ring.do(10, Store(resource, (new(b"again"),)))
    assert isinstance(result, Stored)
    assert list(result.replicas[MANY.id]) == [host.node_id for host in ring.nearest(resource)[1:3]]
    ring.check({resource: b"again"})


@pytest.mark.parametrize("first", range(12))
def test_no_value_is_lost_when_two_adjacent_peers_fail_at_once(
    twelve: tuple[Ring, dict[bytes, bytes]], first: int
) -> None:
    ring, values = twelve
    numbers = sorted(ring.by_number)
    ring.crash(numbers[first], numbers[(first + 1) % 12])
    ring.settle(1)
    for resource in values:
        assert ring.copies(resource), "lost"
    ring.settle(120)
    ring.check(values)
    for resource, value in list(values.items())[::7]:
        assert fetched(ring.do(next(iter(ring.by_number)), fetch(resource))) == value
    assert all(host.node._parts.keeper.pending == 0 for host in ring.hosts)


def test_a_joining_peer_is_given_what_it_is_responsible_for_before_it_is(
    twelve: tuple[Ring, dict[bytes, bytes]],
) -> None:
    ring, values = twelve
    host = ring.grow(100, seconds=5)
    mine = [resource for resource in values if ring.owner(resource) is host]
    assert mine
    for resource in mine:
        assert held(host, resource, ring.now) == values[resource]
        assert fetched(ring.do(10, fetch(resource))) == values[resource]
    ring.settle(120)
    ring.check(values)
    assert sum(len(each.node.storage) for each in ring.hosts) == 3 * 96


def test_a_peer_that_leaves_takes_nothing_with_it(twelve: tuple[Ring, dict[bytes, bytes]]) -> None:
    ring, values = twelve
    leaving = ring.by_number[130]
    resource = next(each for each in values if ring.owner(each) is leaving)
    writer = next(host for host in ring.hosts if resource in places(host))
    writer.node.perform(Store(resource, (new(b"just now"),)), ring.now)
    ring.settle(0.1)
    assert held(leaving, resource, ring.now) == b"just now"
    leaving.node.leave(ring.now)
    ring.settle(2)
    ring.crash(130)
    ring.settle(60)
    ring.check({**values, resource: b"just now"})


def test_peers_that_come_and_go_at_once_lose_nothing(twelve: tuple[Ring, dict[bytes, bytes]]) -> None:
    ring, values = twelve
    for coming, going in ((100, 110), (60, 50), (225, 230), (20, 30), (140, 130)):
        ring.grow(coming, seconds=0.1)
        ring.crash(going)
        ring.settle(100)
    ring.settle(200)
    ring.check(values)


def test_the_admitting_peer_may_fail_during_the_join(twelve: tuple[Ring, dict[bytes, bytes]]) -> None:
    ring, values = twelve
    host = ring.grow(100, seconds=0.07)
    ring.crash(110)
    ring.settle(300)
    if not host.node.topology.is_joined:
        ring.crash(100)
    ring.settle(120)
    ring.check(values)


def test_lifetimes_are_not_extended_by_whatever_moves_a_value(twelve: tuple[Ring, dict[bytes, bytes]]) -> None:
    ring, _ = twelve
    resource = places(ring.by_number[10])[0]
    ring.do(10, Store(resource, (new(b"short", lifetime=600),)))
    end = ring.now + 600
    for number in (101, 121, 141):
        ring.crash(ring.owner(resource).number // SPACE)
        ring.settle(60)
        ring.grow(number)
    ring.settle(60)
    for host in ring.copies(resource):
        copy = host.node.storage.values_of(resource, ring.now)
        assert copy is not None
        assert ring.now + int.from_bytes(copy.values[0].octets[8:12]) <= end
    assert len(ring.copies(resource)) >= 3
    ring.settle(end - ring.now + 1)
    assert ring.copies(resource) == []


def test_a_removed_value_does_not_come_back(twelve: tuple[Ring, dict[bytes, bytes]]) -> None:
    ring, values = twelve
    writer = ring.by_number[10]
    resource = next(each for each in places(writer) if writer not in ring.nearest(each)[:5])
    ring.do(10, Store(resource, (new(b"", exists=False),)))
    ring.crash(ring.nearest(resource)[0].number // SPACE)
    ring.settle(120)
    assert fetched(ring.do(10, fetch(resource))) is None
    for host in ring.nearest(resource)[:3]:
        assert held(host, resource, ring.now) == b""
    ring.check({**values, resource: b""})


@pytest.mark.parametrize("later", ALICES)
def test_two_partitions_merge_by_storage_time(twelve: tuple[Ring, dict[bytes, bytes]], later: int) -> None:
    ring, values = twelve
    numbers = sorted(ring.by_number)
    halves = numbers[::2], numbers[1::2]
    ring.divide(*halves)
    ring.settle(120)
    for number in (40 - later, later):
        ring.settle(1)
        value = NewValue(PRIVATE.id, DataValue(True, b"of %d" % number), LIFETIME)
        assert isinstance(ring.do(number, Store(HOME, (value,))), Stored)
    for number in numbers:
        resource = places(ring.by_number[number])[0]
        values[resource] = b"new of %d" % number
        assert isinstance(ring.do(number, Store(resource, (new(values[resource]),))), Stored)
    ring.settle(60)
    ring.heal(numbers[0], numbers[1])
    ring.settle(1200)
    ring.check({**values, HOME: b"of %d" % later})
    assert fetched(ring.do(50, Fetch(HOME, (Wanted(PRIVATE.id, SingleSpecifier()),))), PRIVATE) == b"of %d" % later


def test_a_replica_from_a_peer_that_is_not_near_is_refused(twelve: tuple[Ring, dict[bytes, bytes]]) -> None:
    """The value is genuine: what is not to be believed is who sends it."""
    ring, values = twelve
    resource = next(iter(values))
    owner, *_, stranger = ring.nearest(resource)[:7]
    copy = owner.node.storage.values_of(resource, ring.now)
    assert copy is not None
    data = tuple(attrs.evolve(each, generation_counter=1 << 40) for each in copy.kind_data)
    body = StoreReq(resource, 1, data)
    send = Send((NodeDestination(owner.node_id),), MessageCode.STORE_REQ, body)
    result = ring.do(stranger.number // SPACE, send)
    assert isinstance(result, Failed)
    assert result.error is not None
    assert result.error.error_code == ErrorCode.FORBIDDEN
    copy = owner.node.storage.values_of(resource, ring.now)
    assert copy is not None
    assert copy.kind_data[0].generation_counter == 1


def test_a_peer_leaves_only_when_its_successor_has_its_values(twelve: tuple[Ring, dict[bytes, bytes]]) -> None:
    ring, values = twelve
    leaving, successor = ring.by_number[130], ring.by_number[150]
    mine = [resource for resource in values if ring.owner(resource) is leaving]
    for host in ring.hosts:
        if host is not leaving:
            for resource in mine:
                host.node.storage.drop(resource)
    leaving.node._parts.keeper.peer_lost(successor.node_id, ring.now)  # As far as it knows, it is the only one.
    leaving.node.leave(ring.now)
    assert leaving.node.topology.is_joined
    with pytest.raises(StateError):
        leaving.node.leave(ring.now)
    ring.settle(1)
    assert not leaving.node.topology.is_joined
    ring.crash(130)
    ring.settle(60)
    ring.check({resource: values[resource] for resource in mine})


def test_the_only_peer_with_a_value_may_leave_while_its_new_successors_are_held_back(
    twelve: tuple[Ring, dict[bytes, bytes]],
) -> None:
    ring, values = twelve
    ring.crash(150)
    ring.settle(1)
    ring.crash(170)
    ring.settle(1)
    ring.by_number[130].node.leave(ring.now)
    ring.settle(2)
    ring.crash(130)
    ring.settle(90)
    ring.check(values)


def test_a_peer_whose_successor_is_silent_leaves_all_the_same(twelve: tuple[Ring, dict[bytes, bytes]]) -> None:
    ring, _ = twelve
    leaving, successor = ring.by_number[130], ring.by_number[150]
    leaving.node._parts.keeper.peer_lost(successor.node_id, ring.now)
    ring.on_send = lambda sender, receiver, octets: receiver is not successor
    leaving.node.leave(ring.now)
    ring.settle(60)
    assert not leaving.node.topology.is_joined


def vanish(ring: Ring, *numbers: int) -> None:
    """These peers are gone without a word: whoever was connected misses acknowledgements, and keeps the link."""
    for host in [ring.by_number.pop(number) for number in numbers]:
        ring.hosts.remove(host)
        for wire in host.wires.values():
            if wire.other is not None:
                wire.other.other = None
                wire.other.peer.node.link_failing(wire.other.link, ring.now)


@pytest.mark.parametrize("number", [30, 130])
def test_who_begins_anew_before_its_links_are_lost_gets_all_that_belongs_to_it(
    twelve: tuple[Ring, dict[bytes, bytes]], number: int
) -> None:
    ring, values = twelve
    vanish(ring, number)
    ring.grow(number, seconds=60)
    ring.check(values)


def test_who_has_replicas_stores_them_nowhere_else(twelve: tuple[Ring, dict[bytes, bytes]]) -> None:
    ring, values = twelve
    ring.sent.clear()
    ring.settle(3 * SETTLE_TIME)
    ring.check(values)
    assert MessageCode.STORE_REQ not in [code_of(octets) for _, _, _, octets in ring.sent]


def test_an_overlay_whose_peers_all_end_goes_on_from_their_snapshots(twelve: tuple[Ring, dict[bytes, bytes]]) -> None:
    ring, values = twelve
    again = Ring()
    for number, host in ring.by_number.items():
        settings = StorageSettings(snapshot=host.node.storage.snapshot(ring.now))
        again.grow(number, storage_settings=settings)
    again.settle(2 * SETTLE_TIME)
    again.check(values)
    for resource, value in values.items():
        assert fetched(again.do(10, fetch(resource))) == value
