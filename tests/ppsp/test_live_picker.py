"""`ppsp._live_picker`: what of a live stream is asked for, when, and of whom."""

from ppsp._live_picker import RETRY_SECONDS, SAME_RETRY_SECONDS, LivePicker
from ppsp._ranges import RangeSet


def take(picker, offered, *, peer=1, held=(), span=(0, 1000), most=1000, now=0.0):
    return picker.take(peer, RangeSet(offered), RangeSet(held), span, most, now)


def test_only_what_is_offered_wanted_and_missing_is_taken():
    assert take(LivePicker(0), [(0, 50)], held=[(0, 4), (6, 8)], span=(2, 12)) == [(4, 6), (8, 12)]
    assert take(LivePicker(0), [(20, 50)], span=(0, 20)) == []


def test_the_next_chunks_come_first():
    assert take(LivePicker(17), [(0, 100)], span=(10, 100), most=8) == [(10, 18)]


def test_peers_start_elsewhere_in_the_blocks_behind():
    first, second = (take(LivePicker(seed), [(32, 64)], span=(0, 100), most=8) for seed in (3, 19))
    assert (first, second) == ([(35, 43)], [(51, 59)])


def test_what_was_asked_for_is_asked_again_of_the_same_peer_soon_and_of_another_later():
    picker = LivePicker(0)
    assert take(picker, [(0, 4)]) == [(0, 4)]
    assert take(picker, [(0, 4)], now=SAME_RETRY_SECONDS - 0.01) == []
    assert take(picker, [(0, 4)], peer=2, now=SAME_RETRY_SECONDS + 0.01) == []
    assert take(picker, [(0, 4)], peer=2, now=RETRY_SECONDS) == [(0, 4)]
    assert picker.overdue({0, 1, 9}, RETRY_SECONDS) == 0
    assert picker.overdue({0, 1, 9}, RETRY_SECONDS + SAME_RETRY_SECONDS) == 2


def test_a_peer_that_is_asked_again_and_again_does_not_keep_a_chunk_from_others():
    picker = LivePicker(0)
    for step in range(2):
        assert take(picker, [(0, 1)], now=step * SAME_RETRY_SECONDS) == [(0, 1)]
    assert take(picker, [(0, 1)], peer=2, now=RETRY_SECONDS) == [(0, 1)]


def test_what_is_given_back_is_asked_for_at_once():
    picker = LivePicker(0)
    take(picker, [(0, 8)])
    picker.give_back(2, 4)
    assert take(picker, [(0, 8)], peer=2) == [(2, 4)]


def test_nothing_is_remembered_of_what_is_past():
    picker = LivePicker(0)
    take(picker, [(0, 100)])
    picker.forget_below(90)
    assert sorted(picker._asked) == list(range(90, 100))


def test_a_peer_that_claims_everything_is_asked_for_the_span_only():
    assert take(LivePicker(0), [(0, 2**32)], span=(5, 40)) == [(5, 40)]


def test_gaps_in_an_offer_cost_nothing_however_wide_they_are():
    """A peer that offers two chunks far apart must not have us count from one to the other at each of its datagrams."""

    class Counting(RangeSet):
        looks = 0

        def first_at_or_after(self, number):
            self.looks += 1
            return super().first_at_or_after(number)

        def contains(self, number):
            self.looks += 1
            return super().contains(number)

    offered = Counting([(7, 8), (20_000, 20_001)])
    assert LivePicker(0).take(1, offered, RangeSet(), (0, 1 << 31), 10, 0.0) == [(7, 8), (20_000, 20_001)]
    assert offered.looks < 10
