"""Which peers a tracker returns: the port, and three policies.

The default is the random sample of RFC 7846's implementation note; others are the properties that peers tell of
themselves (section 3.2.2), and a ranking from outside, such as ALTO's (section 4.1.1).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias

from ppsp.tracker.messages import AbilityNat, PeerNum
from ppsp.tracker.records import RegisteredPeer

CHOICE = 8
"""Peers looked at for each one listed, where the best are wanted: whom to choose from, at a bounded cost."""
_WORD = 8
"""Octets of chance a draw: the bias of a modulus is below 2^-40 for swarms of up to 2^24 peers."""


class PeerSelector(Protocol):
    """The policy behind peer lists: random, by properties, by network location (ALTO), as an operator likes."""

    def __call__(
        self, members: Sequence[RegisteredPeer], requester: RegisteredPeer, peer_num: PeerNum | None, count: int
    ) -> Iterable[RegisteredPeer]:
        """Peers for `requester` out of the swarm's `members`, best first.

        The tracker takes at most `count` of them, and leaves out the requester, who is a member itself. `peer_num` is
        what the request says about the requester and its wishes. Nothing may be changed.
        """


class RandomSample:
    """A random sample of the swarm, in random order; its cost grows with the sample and not with the swarm."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes

    def __call__(
        self, members: Sequence[RegisteredPeer], requester: RegisteredPeer, peer_num: PeerNum | None, count: int
    ) -> Iterator[RegisteredPeer]:
        """The sample: one more than `count`, since the requester may be among them."""
        size = min(count + 1, len(members))
        chance = self._random_bytes(_WORD * size)
        # Fisher and Yates's shuffle, cut short; the swaps are kept beside the members, which stay as they are.
        swapped: dict[int, int] = {}
        for position in range(size):
            draw = int.from_bytes(chance[position * _WORD : (position + 1) * _WORD], "big")
            other = position + draw % (len(members) - position)
            yield members[swapped.get(other, other)]
            swapped[other] = swapped.get(position, position)


class ByProperties:
    """Of a random part of the swarm those that suit the requester by what both say of themselves, the best first.

    `peer_num` has two readings: what the requester is like (section 3.2.2), and the least it would like others to be
    (sections 4.1.1, 4.1.2). Here a peer is the better, the more easily it is reached through NATs; then, the more of
    the requester's `online_time` and `upload_bandwidth` it has at least, and if it has no more `concurrent_links`; then
    the more bandwidth it has. A peer that says nothing stands between good and bad. Without properties it is a random
    sample.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._sample = RandomSample(random_bytes)

    def __call__(
        self, members: Sequence[RegisteredPeer], requester: RegisteredPeer, peer_num: PeerNum | None, count: int
    ) -> Iterator[RegisteredPeer]:
        """The peers, the best first."""
        sample = self._sample(members, requester, peer_num, count * CHOICE)
        if peer_num is None or _says_nothing(peer_num):
            yield from sample
            return
        yield from sorted(sample, key=lambda peer: _suitability(peer.properties, peer_num))


def _says_nothing(peer_num: PeerNum) -> bool:
    told = (peer_num.ability_nat, peer_num.concurrent_links, peer_num.online_time, peer_num.upload_bandwidth)
    return all(one is None for one in told)


# Two peers of which one has no NAT always reach one another; a relay costs bandwidth on the way.
_REACH = {AbilityNat.NO_NAT: 0, AbilityNat.STUN: 1, None: 1, AbilityNat.TURN: 2}


def _suitability(own: PeerNum | None, wish: PeerNum) -> tuple[int, int, int]:
    """The smaller, the better."""
    reach = 0 if wish.ability_nat is AbilityNat.NO_NAT else _REACH[own.ability_nat if own else None]
    if own is None:
        return reach, 0, 0
    kept = _at_least(own.online_time, wish.online_time) + _at_least(own.upload_bandwidth, wish.upload_bandwidth)
    kept += _at_least(wish.concurrent_links, own.concurrent_links)
    return reach, -kept, -(own.upload_bandwidth or 0)


def _at_least(value: int | None, least: int | None) -> int:
    """1 if it is, -1 if it is not, 0 if nobody knows."""
    if value is None or least is None:
        return 0
    return 1 if value >= least else -1


Costs: TypeAlias = Callable[[str, Sequence[str]], Sequence[float]]
"""What it costs to get from one IP address to each of others, infinite where nobody knows; at once, and the less the
better. Such as an ALTO client's, from maps that it keeps."""


class Ranked:
    """Of a random part of the swarm the nearest by `costs`, the best first; a quarter of the list is random.

    Without that quarter a swarm could fall apart into islands, each in a network of its own.
    """

    def __init__(self, costs: Costs, random_bytes: Callable[[int], bytes]) -> None:
        self._costs = costs
        self._sample = RandomSample(random_bytes)

    def __call__(
        self, members: Sequence[RegisteredPeer], requester: RegisteredPeer, peer_num: PeerNum | None, count: int
    ) -> Iterator[RegisteredPeer]:
        """The peers, the nearest first; those at random at the end."""
        sample = [
            peer
            for peer in self._sample(members, requester, peer_num, count * CHOICE)
            if peer.peer_id != requester.peer_id
        ]
        source = requester.source
        if source is None:
            yield from sample
            return
        costs = self._costs(source, [_place(peer) for peer in sample])
        order = sorted(range(len(sample)), key=lambda at: (math.isnan(costs[at]), costs[at]))
        nearest = order[: count - count // 4]
        yield from (sample[at] for at in nearest)
        chosen = set(nearest)
        yield from (peer for at, peer in enumerate(sample) if at not in chosen)


def _place(peer: RegisteredPeer) -> str:
    """The address that says best where the peer is: the tracker has seen it, and an announced one may be private."""
    return peer.source or peer.peer_addr[0].address
