"""Tests of `ppsp._offers`."""

import pytest

from ppsp import _limits
from ppsp._offers import Offers
from ppsp.messages import Have
from ppsp.picker import Sequential

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
    assert scatter(offers, first, 2 * OWN) == 2 * OWN
    assert second.range_count == 2 * OWN


def test_what_is_known_already_borrows_nothing(crowded):
    offers, first, second = crowded
    offers.forget(first)
    assert scatter(offers, second, 2 * OWN) == 0
    assert second.max_ranges == 2 * OWN


def test_a_latecomer_takes_from_who_has_most_until_nobody_has_much_more(monkeypatch):
    monkeypatch.setattr(_limits, "MAX_LENT_HAVE_RANGES", 8 * OWN)
    offers = Offers()
    gone = []
    offers.lost = lambda start, stop: gone.append((start, stop))
    first, second, third = (offers.new() for _ in range(3))
    assert scatter(offers, first, 20 * OWN) == 9 * OWN
    assert scatter(offers, second, 20 * OWN) == 5 * OWN
    assert (first.range_count, second.range_count) == (5 * OWN, 5 * OWN)
    assert scatter(offers, third, 20 * OWN) == 3 * OWN
    assert sorted([first.range_count, second.range_count, third.range_count]) == [3 * OWN, 4 * OWN, 4 * OWN]
    assert len(gone) == 6 * OWN
    # Both ends are kept: a reader begins at one, and the other tells the size.
    for offer, end in ((first, 2 * 9 * OWN), (second, 2 * 5 * OWN)):
        assert 0 in offer
        assert end - 2 in offer
    assert scatter(offers, first, 20 * OWN) < 2 * OWN
    assert first.range_count + second.range_count + third.range_count == 11 * OWN


def test_who_gave_up_and_leaves_gives_back_what_is_left(monkeypatch):
    monkeypatch.setattr(_limits, "MAX_LENT_HAVE_RANGES", 4 * OWN)
    offers = Offers()
    first, second = offers.new(), offers.new()
    scatter(offers, first, 9 * OWN)
    scatter(offers, second, 9 * OWN)
    assert second.range_count == 3 * OWN
    offers.forget(first)
    offers.forget(second)
    assert scatter(offers, offers.new(), 9 * OWN) == 5 * OWN


def test_many_peers_that_offer_every_second_chunk_take_bounded_memory(monkeypatch):
    monkeypatch.setattr(_limits, "MAX_LENT_HAVE_RANGES", 10 * OWN)
    offers = Offers()
    crowd = [offers.new() for _ in range(20)]
    for offer in crowd:
        scatter(offers, offer, 3 * OWN)
    assert sum(offer.range_count for offer in crowd) == (20 + 10) * OWN


class Counting(Sequential):
    """A picker that counts what peers offer."""

    offered: int

    def __init__(self, chunk_count, seed):
        super().__init__(chunk_count, seed)
        Counting.offered = 0

    def peer_has(self, start, stop):
        Counting.offered += stop - start

    def peer_lost(self, start, stop):
        Counting.offered -= stop - start


def test_the_picker_hears_what_one_peer_gives_up_for_another(lab, monkeypatch):
    monkeypatch.setattr(_limits, "OWN_HAVE_RANGES", 4)
    monkeypatch.setattr(_limits, "MAX_LENT_HAVE_RANGES", 8)
    film = lab.Publication(lab.pattern(100 * 1024))
    bench = lab.Bench()
    metadata = film.metadata(content_size=100 * 1024)
    bench.endpoint.add_swarm(metadata, store=lab.Store(), picker=Counting)
    peers = [lab.HandPeer(bench, film, host=host, channel=host, metadata=metadata) for host in (8, 9)]
    for peer, offered in zip(peers, ([12, 0], [8, 8]), strict=True):
        peer.open(chunk_size=1024)
        peer.send(*(Have(chunk, chunk) for chunk in range(0, 60, 2)))
        stats = bench.endpoint.stats(film.root).peers
        assert [each.chunks_offered for each in stats] == offered[: len(stats)]
        assert Counting.offered == sum(offered)
    for peer in peers:
        bench.endpoint.disconnect(film.root, peer.address, bench.now)
    assert Counting.offered == 0


def test_what_a_peer_gives_up_again_and_again_does_not_pile_up_in_what_is_known_of_it(lab, monkeypatch):
    monkeypatch.setattr(_limits, "OWN_HAVE_RANGES", 100)
    monkeypatch.setattr(_limits, "MAX_LENT_HAVE_RANGES", 200)
    monkeypatch.setattr("ppsp._upload.OWN_HAVE_RANGES", 100)
    film = lab.Publication(lab.pattern(4000), chunk_size=1)
    bench = lab.Bench()
    bench.leech(film, content_size=4000)
    hostile = lab.HandPeer(bench, film)
    hostile.open(chunk_size=1)
    (channel,) = bench.endpoint._channels.values()
    for at in range(0, 4000, 2):
        hostile.send(Have(at, at), flush=False)
        if not at % 40:
            channel.swarm.offers.forget(channel.peer_have)
    assert channel.peer_have.range_count <= 300
    assert channel.upload._known.range_count <= channel.peer_have.range_count + 100
