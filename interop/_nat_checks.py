"""Which addresses of a peer to try, from where and when: ICE's candidate pairs (RFC 8445), without a socket.

A tracker names peers with several addresses each (`peer_addr`, RFC 7846 section 3.2.4). Each is tried from our socket,
and through our relay if we have one, the most promising pair first; a PPSPP handshake is the connectivity check. Both
peers do so, so that each opens its own NAT for the other. The first pair that answers wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import attrs

from ppsp.ports import Address
from ppsp.tracker import AddressType, PeerAddr, host_of

MAX_PEERS = 512
"""Peers whose addresses are remembered: several lists of a tracker's 29."""
MAX_CANDIDATES = 8
"""Addresses of one peer that are tried; as many as a tracker of ours passes on."""
MAX_BATCH = 5
"""Pairs beyond each peer's first that `due` gives at once: every 0.25 s, so one in 50 ms (RFC 8445 section 14.2)."""
MAX_AT_HOST = 16
"""Addresses at one host, or in one IPv6 /64, that are tried at once and have not answered: whoever names a victim again
and again, each time at other ports, has us send it some five handshakes a second. More peers than that behind one NAT
take turns."""
ANSWER_PATIENCE = 30.0
"""Seconds until an address counts as silent: as long as an endpoint repeats a handshake."""
RELAY_PATIENCE = 4.0
"""Seconds until the pairs with a relay: the other side, told of us by its next FIND, opens its NAT meanwhile."""

_TYPE_PREFERENCE = {AddressType.HOST: 126, AddressType.REFLEXIVE: 100, AddressType.PROXY: 0}


class Relayed(NamedTuple):
    """An address as our relay reaches it: no pair of host and port, so that nobody takes it for one of the socket's."""

    host: str
    port: int
    via: str = "relay"


def priority(kind: AddressType, local_preference: int = 65_535) -> int:
    """The priority of one of our own addresses (RFC 8445 section 5.1.2.1), with the values of section 5.1.2.2."""
    return (_TYPE_PREFERENCE[kind] << 24) + (local_preference << 8) + 255


def pair_priority(ours: int, theirs: int, *, controlling: bool) -> int:
    """The priority of a pair, the same on both sides (RFC 8445 section 6.1.2.3)."""
    first, second = (ours, theirs) if controlling else (theirs, ours)
    return (min(first, second) << 32) + 2 * max(first, second) + (first > second)


@attrs.define
class _Peer:
    is_controlled_by_us: bool
    is_useless: bool = False
    pending: list[tuple[float, Address]] = attrs.Factory(list)
    """Pairs to try, and from when on."""
    is_fresh: bool = True
    """Whether no pair was given out yet."""
    addresses: dict[Address, None] = attrs.Factory(dict)
    """Of all pairs."""
    open: dict[Address, None] = attrs.Factory(dict)


class Checks:
    """The peers that trackers have named, and how far the attempts to reach them are.

    `direct` turns a host and port into the socket's form, None where the socket has no such family. Of two peers the
    one with the greater `peer_id` is controlling: it alone decides which of two open channels is one too many.
    """

    def __init__(self, peer_id: str, direct: Callable[[str, int], Address | None]) -> None:
        self._peer_id = peer_id
        self._direct = direct
        self._peers: dict[str, _Peer] = {}
        self._open: set[Address] = set()
        self._unanswered: dict[Address, float] = {}
        """Addresses that were given out, and until when they may answer."""
        self.relay_family: str | None = None
        """`ipv4` or `ipv6`: to which addresses our relay, if we have one, sends."""

    def learn(self, peer_id: str, candidates: Sequence[PeerAddr], now: float) -> None:
        """A tracker names a peer. What is under way goes on; a peer that was tried in vain is tried again."""
        peer = self._peers.get(peer_id)
        if peer is None:
            peer = self._peers[peer_id] = _Peer(self._peer_id > peer_id)
            if len(self._peers) > MAX_PEERS:
                del self._peers[next(iter(self._peers))]
        if peer.is_useless or peer.pending or peer.open:
            return
        pairs = self._pairs(candidates, controlling=peer.is_controlled_by_us)
        peer.addresses = dict.fromkeys(address for address, _ in pairs)
        peer.open = dict.fromkeys(address for address in peer.addresses if address in self._open)
        if peer.open:
            return  # the peer came to us before the tracker named it
        peer.pending = [(now + (RELAY_PATIENCE if is_relayed else 0.0), address) for address, is_relayed in pairs]
        peer.is_fresh = True

    def _pairs(self, candidates: Sequence[PeerAddr], *, controlling: bool) -> list[tuple[Address, bool]]:
        """Every address from our socket and through our relay, and whether a relay has a part in it, the best first.

        What is sent from a reflexive address is sent from the socket, so there is no third way (section 6.1.2.4).
        """
        ranked: list[tuple[int, Address, bool]] = []
        best_first = sorted(candidates, key=lambda candidate: -candidate.priority)[:MAX_CANDIDATES]
        for candidate in best_first:
            host, port = candidate.address, candidate.port
            direct = self._direct(host, port)
            if direct is not None:
                ours = priority(AddressType.HOST)
                rank = pair_priority(ours, candidate.priority, controlling=controlling)
                ranked.append((rank, direct, candidate.type is AddressType.PROXY))
            is_at_home = candidate.is_private and candidate.type is AddressType.HOST
            if candidate.address_type == self.relay_family and not is_at_home:
                ours = priority(AddressType.PROXY)
                rank = pair_priority(ours, candidate.priority, controlling=controlling)
                ranked.append((rank, Relayed(host, port), True))
        ranked.sort(key=lambda pair: (pair[2], -pair[0]))
        found: dict[Address, bool] = {}
        for _, address, is_relayed in ranked:
            found.setdefault(address, is_relayed)
        return list(found.items())

    def due(self, now: float) -> list[Address]:
        """The addresses to send a handshake to now."""
        self._unanswered = {address: until for address, until in self._unanswered.items() if until > now}
        busy = Counter(_host(address) for address in self._unanswered)
        found: list[Address] = []
        room = MAX_BATCH
        for peer in self._peers.values():
            waiting = []
            for at, address in peer.pending:
                if at > now or not (peer.is_fresh or room > 0) or busy[_host(address)] >= MAX_AT_HOST:
                    waiting.append((at, address))
                    continue
                room -= not peer.is_fresh
                peer.is_fresh = False
                busy[_host(address)] += 1
                self._unanswered[address] = now + ANSWER_PATIENCE
                found.append(address)
            peer.pending = waiting
        return found

    def connected(self, address: Address) -> list[Address]:
        """A handshake is complete. Returns the addresses whose channels, open or not yet, are not needed any more."""
        self._open.add(address)
        self._unanswered.pop(address, None)
        peer = self._owner(address)
        if peer is None:
            return []
        peer.open[address] = None
        peer.pending.clear()
        if not peer.is_controlled_by_us:
            return [other for other in peer.addresses if other not in peer.open]
        first = next(iter(peer.open))
        return [other for other in peer.addresses if other != first]

    def disconnected(self, address: Address) -> None:
        """A channel is closed."""
        self._open.discard(address)
        for peer in self._peers.values():
            peer.open.pop(address, None)

    def forsake(self, address: Address) -> None:
        """The peer there needs nothing of us nor we of it: leave it alone from now on."""
        peer = self._owner(address)
        if peer is not None:
            peer.is_useless = True
            peer.pending.clear()

    def _owner(self, address: Address) -> _Peer | None:
        """Whose address it is; nobody's when two peers have it, as private ones in different networks may."""
        owners = [peer for peer in self._peers.values() if address in peer.addresses]
        return owners[0] if len(owners) == 1 else None


def _host(address: Any) -> str:
    """Whose an address is, as a socket has it or behind our relay: an IPv4 address, or all of an IPv6 /64."""
    return host_of(address[0])
