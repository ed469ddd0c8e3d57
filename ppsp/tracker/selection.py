"""Which peers a tracker returns: the port, and the random sample of RFC 7846's implementation notes as its default."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from ppsp.tracker.messages import PeerNum
from ppsp.tracker.registry import RegisteredPeer

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
