"""Tests of `ppsp._offers`."""

import pytest

from ppsp import _limits
from ppsp._offers import Offers

OWN = _limits.OWN_HAVE_RANGES


def scatter(offers, offer, count):
    """The peer says that it has every second chunk; how often it was heard."""
    return sum(bool(offers.add(offer, chunk, chunk + 1)) for chunk in range(0, 2 * count, 2))


@pytest.fixture
def crowded(monkeypatch):
    """Two hostile peers that have taken all there is to be lent."""
    monkeypatch.setattr(_limits, "MAX_LENT_HAVE_RANGES", 2 * OWN)
    offers = Offers()
    hostile = [offers.new() for _ in range(2)]
    assert scatter(offers, hostile[0], 2 * OWN) == 2 * OWN
    assert scatter(offers, hostile[1], 5 * OWN) == 2 * OWN
    return offers, *hostile


def test_a_peer_alone_may_be_scattered_up_to_its_bound():
    offers = Offers()
    offer = offers.new()
    assert scatter(offers, offer, _limits.MAX_HAVE_RANGES + 1000) == _limits.MAX_HAVE_RANGES
    assert offer.range_count == _limits.MAX_HAVE_RANGES


def test_a_peer_with_few_ranges_is_heard_whatever_the_others_do(crowded):
    offers, *_ = crowded
    assert scatter(offers, offers.new(), OWN + 100) == OWN


@pytest.mark.parametrize("span", [(1, 2), (0, 2 * OWN), (4 * OWN - 1, 4 * OWN + 100), (1, 3)])
def test_gaps_are_filled_where_there_is_no_more_room(crowded, span):
    offers, first, _ = crowded
    before = first.total
    found = offers.add(first, *span)
    assert sum(stop - start for start, stop in found) == first.total - before > 0
    assert first.range_count <= 2 * OWN


def test_who_leaves_makes_room_for_others(crowded):
    offers, first, second = crowded
    assert offers.add(second, 100_000, 100_001) == []
    offers.forget(first)
    assert not first
    assert offers.add(second, 100_000, 100_001) == [(100_000, 100_001)]
    assert scatter(offers, first, 2 * OWN) == OWN


def test_what_is_known_already_borrows_nothing(crowded):
    offers, first, second = crowded
    offers.forget(first)
    assert scatter(offers, second, 2 * OWN) == 0
    assert second.max_ranges == 2 * OWN


def test_many_peers_that_offer_every_second_chunk_take_bounded_memory(monkeypatch):
    monkeypatch.setattr(_limits, "MAX_LENT_HAVE_RANGES", 10 * OWN)
    offers = Offers()
    crowd = [offers.new() for _ in range(20)]
    for offer in crowd:
        scatter(offers, offer, 3 * OWN)
    assert sum(offer.range_count for offer in crowd) == (20 + 10) * OWN
