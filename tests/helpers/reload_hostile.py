"""A ring of CHORD-RELOAD peers with real keys, and a hostile node that has a link to one of them.

What it sends is made with the package's own codec, and signed with its own key, or with one that it has got hold of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import attrs
import pytest
from cryptography import x509
from reload_bystander import Bystander
from reload_configurations import in_force
from reload_identities import ALICE, NOT_AFTER, NOT_BEFORE, OVERLAY, enrolled, issue, key, random_bytes
from reload_overlay import Host, MemoryOverlay

from reload._presentation import decode, encode
from reload.certificates import _finish, _node_builder
from reload.chord import ChordReload
from reload.chord_ring import RING
from reload.configuration_update import InForce
from reload.contents import ErrorResponse, MessageCode
from reload.destinations import NodeDestination
from reload.events import Completed, LinkUnwanted, MessageDropped
from reload.exchange import Link, Response
from reload.kinds import AccessControl, Kind
from reload.message import Message, decode_body
from reload.methods import ChordNeighbors, ChordUpdate, ChordUpdateType
from reload.naming import resource_id
from reload.node import Node
from reload.operations import Fetch, Fetched, NewValue, Store, Stored, Wanted
from reload.ports import Signer
from reload.security_block import GenericCertificate, Signature, SignerIdentity
from reload.signing import KeySigner, data_input, value_octets
from reload.storage_messages import (
    STORED_DATA,
    DataModel,
    DataValue,
    SingleSpecifier,
    StoredSingle,
    StoreKindData,
    StoreReq,
)

PRIVATE = Kind(0xF0000001, DataModel.SINGLE, AccessControl.USER_MATCH, 1, 100)
HOME = resource_id(ALICE.encode())
PING, ANSWER, ERROR = MessageCode.PING_REQ, MessageCode.PING_ANS, MessageCode.ERROR
PEERS = 5
STEP = RING // PEERS
BAD = (3 * STEP + 7).to_bytes(16, "big")
"""A Node-ID of the bad-node list."""


@cache
def rules(**fields: object) -> InForce:
    """The configuration of the ring, signed by a configuration-signer."""
    return in_force((PRIVATE,), no_ice=True, bad_nodes=(BAD,), **fields)


def place(number: int) -> bytes:
    """The Node-ID of a peer of the ring."""
    return (number * STEP + 1000).to_bytes(16, "big")


def to(number: int) -> NodeDestination:
    """The peer as a destination."""
    return NodeDestination(place(number))


@cache
def signer(node_id: bytes, user_name: str | None = None, name: str = "", key_type: Any = "p256") -> KeySigner:
    """Whoever has this Node-ID."""
    number = int.from_bytes(node_id, "big")
    return enrolled(number, user_name or f"user{number}@example.org", name=name or node_id.hex(), key_type=key_type)


ATTACKER = (STEP // 2).to_bytes(16, "big")
"""Between the first peer and the second."""


class Victim:
    """A peer of the ring, as `Bystander` looks at a node under test."""

    def __init__(self, ring: Ring, host: Host) -> None:
        self.ring = ring
        self.host = host
        self.sent: dict[Link, list[bytes]] = {}

    @property
    def node(self) -> Node:
        return self.host.node

    @property
    def now(self) -> float:
        return self.ring.now

    def collect(self) -> None:
        self.ring.settle(0.2)


class Attacker(Bystander):
    """A node with a link of its own to a victim."""

    bench: Victim

    def errors(self, code: int, body: Any = b"", *destinations: Any, **fields: Any) -> list[int]:
        """The codes of the errors with which a message is answered; a failure where anything else comes back."""
        return [error_code(message) for message in self.send(code, body, *destinations, **fields)]

    def flood(self, messages: Any) -> None:
        """Send many, as fast as the victim takes them, and let it do all that comes of them.

        When the victim has had enough, as it gets no answers, there is another link.
        """
        ring, node = self.bench.ring, self.bench.node
        for count, octets in enumerate(messages, 1):
            node.receive_message(self.link, octets, ring.now)
            if not count % 250:
                if node._parts.connections.get(self.link) is None:
                    self.link = node.link_established(self.identity, ring.now)
                    ring.taps[self.bench.host.number, self.link] = self.bench
                ring.settle(0.25)
                self.bench.sent.clear()
                for host in ring.hosts:
                    host.events.clear()
                ring.sent.clear()
        ring.settle(0.25)


class Ring(MemoryOverlay):
    """Some peers that have joined, with Alice's value in the ring. All signatures are real."""

    def __init__(self, *, peers: int = PEERS, key_type: Any = "p256", **fields: object) -> None:
        super().__init__(in_force=rules(**fields))
        self.taps: dict[tuple[int, Link], Victim] = {}
        self._transactions = 0
        for number in range(peers):
            self.enter(place(number), key_type=key_type)
        self.alice = self.hosts[0]
        self.victims = [Victim(self, host) for host in self.hosts]
        self.settle(20.0)
        stored = self.store(b"of Alice")
        assert isinstance(stored, Stored)
        self.settle(5.0)

    def enter(self, node_id: bytes, *, key_type: Any = "p256", **options: Any) -> Host:
        """Another peer joins."""
        user = ALICE if node_id == place(0) else None
        host = self.add(
            int.from_bytes(node_id, "big"),
            make_topology=ChordReload,
            signer=signer(node_id, user, key_type=key_type),
            **options,
        )
        if len(self.hosts) == 1:
            host.node.start(self.now)
        else:
            link, _ = self.link(host, self.hosts[0])
            host.node.join(link, self.now)
        self.settle(8.0)
        return host

    def attacker(
        self, at: int = 0, *, node_id: bytes = ATTACKER, by: KeySigner | None = None, path_mtu: int | None = None
    ) -> Attacker:
        """A link to this peer, as whoever has the Node-ID."""
        victim = self.victims[at]
        made = Attacker(victim, 0, signer=by or signer(node_id), path_mtu=path_mtu)  # type: ignore[arg-type]
        self.taps[victim.host.number, made.link] = victim
        return made

    def transaction(self) -> int:
        """Another one each time."""
        self._transactions += 1
        return 0xA77AC << 40 | self._transactions

    def _send(self, host: Host, link: Link, octets: bytes) -> None:
        victim = self.taps.get((host.number, link))
        if victim is None:
            super()._send(host, link, octets)
        else:
            self.sent.append((self.now, host.number, -1, octets))
            victim.sent.setdefault(link, []).append(octets)

    # What honest nodes do.

    def perform(self, host: Host, operation: Any, seconds: float = 1.0) -> Any:
        handle = host.node.perform(operation, self.now)
        self.settle(seconds)
        return next(e.result for e in host.events if isinstance(e, Completed) and e.handle == handle)

    def store(self, value: bytes, time: int | None = None) -> Any:
        """Alice stores."""
        new = NewValue(PRIVATE.id, DataValue(exists=True, value=value), 100_000, storage_time=time)
        return self.perform(self.alice, Store(HOME, (new,)))

    def fetch(self, host: Host) -> list[bytes]:
        """What somebody finds of Alice."""
        fetched = self.perform(host, Fetch(HOME, (Wanted(PRIVATE.id, SingleSpecifier()),)))
        assert isinstance(fetched, Fetched), fetched
        return [each.data.value.value for each in fetched.kinds[PRIVATE.id].values]

    @property
    def responsible(self) -> int:
        """Which peer Alice's value is with."""
        (found,) = [at for at, host in enumerate(self.hosts) if host.node.topology.is_responsible(HOME)]
        return found

    # What must not change.

    def state(self) -> list[Any]:
        """Of every peer: what it stores, whom it routes through, what it follows, whom it tries to connect to."""
        found = []
        for host in self.hosts:
            node, table = host.node, host.node.topology.table
            found.append(
                (
                    node.storage.snapshot(0.0),
                    table.predecessors,
                    table.successors,
                    tuple(peer.node_id for peer in table.peers()),
                    node.topology.is_joined,
                    node.in_force.configuration.sequence,
                    node.in_force.configuration.octets,
                    tuple(sorted((kind.id, kind.signer) for kind in node.in_force.kinds.values())),
                    num_attaches(host),
                    len(node.topology._candidates),
                )
            )
        return found

    def serves(self) -> bool:
        """Whether a peer far from Alice still finds her value, and all peers reach one another."""
        host = self.hosts[(self.responsible + 2) % len(self.hosts)]
        if self.fetch(host) != [b"of Alice"]:
            return False
        for one, other in zip(self.hosts, self.hosts[2:] + self.hosts[:2], strict=True):
            handle = one.node.ping((NodeDestination(other.node_id),), self.now)
            self.settle(0.3)
            result = next(e.result for e in one.events if isinstance(e, Completed) and e.handle == handle)
            if not isinstance(result, Response):
                return False
        return True

    def drops(self, at: int) -> list[str]:
        """Why messages had no effect at this peer since the last look."""
        return self._take(at, MessageDropped, "reason")

    def closed(self, at: int) -> list[Link]:
        """Links that it has closed since the last look."""
        return self._take(at, LinkUnwanted, "link")

    def _take(self, at: int, kind: type, field: str) -> list[Any]:
        self.settle(0.1)
        host = self.hosts[at]
        found = [getattr(event, field) for event in host.events if isinstance(event, kind)]
        host.events = [event for event in host.events if not isinstance(event, kind)]
        return found


def num_attaches(host: Host) -> int:
    """Attaches of a node that have not ended, both ways."""
    return len(host.node._parts.attaching._attaches)


def error_code(message: Message) -> int:
    """The code of an error that a message must be."""
    assert message.contents.message_code == MessageCode.ERROR, message.contents.message_code
    body = decode_body(message.contents)
    assert isinstance(body, ErrorResponse)
    return body.error_code


def stored(
    value: bytes, time: int, *, by: KeySigner, at: bytes = HOME, kind: int = PRIVATE.id, exists: bool = True
) -> bytes:
    """A StoredData with a signature."""
    data = DataValue(exists=exists, value=value)
    signature = by.sign(data_input(at, kind, time, value_octets(data)))
    return encode(StoredSingle(time, 100_000, data, signature))


def store_of(*values: bytes, at: bytes = HOME, replica: int = 0, generation: int = 0) -> StoreReq:
    """A StoreReq of such values."""
    return StoreReq(at, replica, (StoreKindData(PRIVATE.id, generation, values),))


def changed(octets: bytes, **members: object) -> bytes:
    """A StoredData with other members, under the same signature."""
    return encode(attrs.evolve(decode(STORED_DATA[DataModel.SINGLE], octets), **members))


def neighbors(predecessors: Any = (), successors: Any = ()) -> ChordUpdate:
    """An Update with these tables."""
    return ChordUpdate(0, ChordUpdateType.NEIGHBORS, ChordNeighbors(tuple(predecessors), tuple(successors)))


@attrs.frozen
class Twisted:
    """A signer that names another identity than its own, which its signature covers, or says something else of it."""

    inner: KeySigner
    identity: SignerIdentity | None = None
    change: Callable[[Signature], Signature] = lambda signature: signature
    node_id: bytes = b""
    certificates: Sequence[GenericCertificate] = ()

    def sign(self, octets: bytes, *, covers_identity: bool = True) -> Signature:
        """A signature that is as good as can be."""
        if self.identity is None:
            return self.change(self.inner.sign(octets, covers_identity=covers_identity))
        signature = self.inner.sign(octets + encode(self.identity), covers_identity=False)
        return self.change(attrs.evolve(signature, identity=self.identity))


def twisted(inner: KeySigner, identity: SignerIdentity | None = None, **fields: Any) -> Signer:
    """The same, with the Node-ID and the certificates of `inner`."""
    return Twisted(inner, identity, **{"node_id": inner.node_id, "certificates": inner.certificates, **fields})  # type: ignore[return-value]


def self_made(node_id: bytes, user_name: str | None = ALICE, *, name: str = "self-made") -> KeySigner:
    """Somebody whose certificate is self-signed and claims this Node-ID, whatever its key."""
    own = key(name)
    builder = _node_builder(own.public_key(), x509.Name([]), OVERLAY, [node_id], user_name)
    return KeySigner(own, [_finish(builder, own, NOT_BEFORE, NOT_AFTER, random_bytes)], OVERLAY)


@contextmanager
def unharmed(**options: Any) -> Iterator[Ring]:
    """A ring that has to be afterwards what it was before, and that must serve honest peers still."""
    ring = Ring(**options)
    before = ring.state()
    yield ring
    ring.settle(20.0)
    assert ring.state() == before
    assert ring.serves()


@pytest.fixture
def unharmed_ring() -> Iterator[Ring]:
    """The same, as a fixture."""
    with unharmed() as made:
        yield made


def impostor(node_id: bytes, *, name: str = "impostor", **options: Any) -> KeySigner:
    """Somebody else with a certificate for this Node-ID; the options are those of `issue`."""
    certificate = issue([node_id], name=name, **options)
    return KeySigner(key(name), [certificate], options.get("overlay", OVERLAY))


def bucket(*signers: KeySigner) -> tuple[GenericCertificate, ...]:
    """The certificates of some."""
    return tuple(each for one in signers for each in one.certificates)
