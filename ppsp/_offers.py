"""What the peers of a swarm say that they have, within bounds on how scattered it may be."""

from ppsp import _limits
from ppsp._ranges import RangeSet


class Offers:
    """Makes the sets for it, and lends to those that are scattered from what all may have together."""

    __slots__ = ("_lent",)

    def __init__(self) -> None:
        self._lent = 0

    def new(self) -> RangeSet:
        """The set of one more peer."""
        return RangeSet(max_ranges=_limits.OWN_HAVE_RANGES)

    def add(self, offer: RangeSet, start: int, stop: int) -> list[tuple[int, int]]:
        """Add chunks to what a peer offers; returns those that were missing, as ranges: none where there is no room."""
        parts = offer.add(start, stop)
        most = offer.max_ranges or 0
        if parts or offer.range_count < most or most >= _limits.MAX_HAVE_RANGES or offer.covers(start, stop):
            return parts
        if self._lent >= _limits.MAX_LENT_HAVE_RANGES:
            return parts
        self._lent += _limits.OWN_HAVE_RANGES
        offer.max_ranges = most + _limits.OWN_HAVE_RANGES
        return offer.add(start, stop)

    def forget(self, offer: RangeSet) -> None:
        """The peer offers nothing any more."""
        offer.clear()
        self._lent -= (offer.max_ranges or 0) - _limits.OWN_HAVE_RANGES
        offer.max_ranges = _limits.OWN_HAVE_RANGES
