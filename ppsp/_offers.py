"""What the peers of a swarm say that they have, within bounds on how scattered it may be."""

from collections.abc import Callable

from ppsp import _limits
from ppsp._ranges import RangeSet


class Offers:
    """Makes the sets for it, and lends to those that are scattered from what all may have together.

    When all is lent, who has less takes from who has most: those who came first cannot keep the others out.
    """

    __slots__ = ("_borrowers", "_lent", "lost")

    def __init__(self) -> None:
        self.lost: Callable[[int, int], None] = lambda start, stop: None
        """Told of each range that a set gives up for another one."""
        self._lent = 0
        # The sets that have more than their own, by their bound and then by their identity.
        self._borrowers: dict[int, dict[int, RangeSet]] = {}

    def new(self) -> RangeSet:
        """The set of one more peer."""
        return RangeSet(max_ranges=_limits.OWN_HAVE_RANGES)

    def add(self, offer: RangeSet, start: int, stop: int) -> list[tuple[int, int]]:
        """Add chunks to what a peer offers; returns those that were missing, as ranges: none where there is no room."""
        parts = offer.add(start, stop)
        most = offer.max_ranges or 0
        if parts or offer.range_count < most or most >= _limits.MAX_HAVE_RANGES or offer.covers(start, stop):
            return parts
        if self._lent >= _limits.MAX_LENT_HAVE_RANGES and not self._take_back(most):
            return parts
        self._bound(offer, most + _limits.OWN_HAVE_RANGES)
        return offer.add(start, stop)

    def _take_back(self, most: int) -> bool:
        """Have the set with most give some up, if it still has no less then than one of `most` with it."""
        top = max(self._borrowers, default=0)
        left = top - _limits.OWN_HAVE_RANGES
        if left < most + _limits.OWN_HAVE_RANGES:
            return False
        richest = next(iter(self._borrowers[top].values()))
        for start, stop in richest.thin_out(left):
            self.lost(start, stop)
        self._bound(richest, left)
        return True

    def _bound(self, offer: RangeSet, most: int) -> None:
        """The set may have so many ranges from now on."""
        before = offer.max_ranges or 0
        if before > _limits.OWN_HAVE_RANGES:
            del self._borrowers[before][id(offer)]
            if not self._borrowers[before]:
                del self._borrowers[before]
        if most > _limits.OWN_HAVE_RANGES:
            self._borrowers.setdefault(most, {})[id(offer)] = offer
        self._lent += most - before
        offer.max_ranges = most

    def forget(self, offer: RangeSet) -> None:
        """The peer offers nothing any more."""
        offer.clear()
        self._bound(offer, _limits.OWN_HAVE_RANGES)
