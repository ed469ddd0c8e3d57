"""The search for the longest datagram that a path carries: the state machine alone (RFC 7574 section 8.1, RFC 8899)."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp.pmtu import MAX_PROBES, RAISE_SECONDS, RETRY_SECONDS, PathMtu

STEPS = st.sampled_from([533, 1045, 1049])
LIMITS = st.integers(1200, 65_507)


def longest(target, step):
    """The longest datagram of whole chunks, `step` octets each behind a channel ID, within the target."""
    return 4 + (target - 4) // step * step


def probe(path, step, now, arrives):
    """Send what is wanted, and say what became of it. Returns its size; None when nothing is wanted."""
    target = path.wanted(now)
    if target is None:
        return None
    size = longest(target, step)
    assert path.probe_sent(size)
    assert path.wanted(now) is None, "one probe at a time"
    if arrives(size):
        path.probe_arrived()
    else:
        path.probe_lost()
    return size


def search(path, step, arrives, now=0.0):
    """Probe until no more is wanted; returns the sizes."""
    sizes = []
    while (size := probe(path, step, now, arrives)) is not None:
        sizes.append(size)
        assert len(sizes) < 100, "the search never ends"
    return sizes


@given(step=STEPS, limit=LIMITS, mtu=st.integers(1200, 70_000))
def test_the_search_finds_the_longest_datagram_of_whole_chunks_that_the_path_carries(step, limit, mtu):
    path = PathMtu(limit, step)
    sizes = search(path, step, lambda size: size <= mtu)
    best = longest(min(limit, mtu), step)
    assert path.size == max(best, 1200) or (path.size == 1200 and best < 1200 + step)
    assert all(size <= limit for size in sizes)
    # Doubling takes six probes to 65,507 octets, and each bisection three lost ones at most.
    assert len(sizes) <= 6 + 3 * 7
    assert path.whole


@given(step=STEPS, limit=LIMITS, mtu=st.integers(1200, 70_000), loss=st.floats(0, 0.6), seed=st.integers(0, 1 << 20))
def test_loss_by_chance_never_makes_it_too_long_and_after_a_while_it_is_right_again(step, limit, mtu, loss, seed):
    chance = random.Random(seed)
    path = PathMtu(limit, step)
    search(path, step, lambda size: size <= mtu and chance.random() >= loss)
    assert path.size <= max(min(limit, mtu), 1200)
    search(path, step, lambda size: size <= mtu, now=0.0)
    search(path, step, lambda size: size <= mtu, now=RAISE_SECONDS + 1)
    best = longest(min(limit, mtu), step)
    assert path.size == max(best, 1200) or (path.size == 1200 and best < 1200 + step)


@given(step=STEPS, before=st.integers(1200, 70_000), after=st.integers(1200, 70_000))
def test_a_path_that_becomes_a_black_hole_is_noticed_and_searched_again(step, before, after):
    path = PathMtu(65_507, step)
    search(path, step, lambda size: size <= before)
    long = path.size
    if long <= max(after, 1200):
        return
    for at in range(MAX_PROBES):
        assert path.size == long
        path.lost(long, 100.0 + at)
    assert path.size == 1200
    search(path, step, lambda size: size <= after)
    best = longest(min(65_507, after), step)
    assert path.size == max(best, 1200) or (path.size == 1200 and best < 1200 + step)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 70_000), st.floats(0, 2000)), max_size=60), LIMITS)
def test_whatever_happens_it_stays_between_the_base_and_the_limit(moves, limit):
    path = PathMtu(limit, 1045)
    for kind, size, now in moves:
        match kind:
            case 0 | 1 | 2:
                target = path.wanted(now)
                assert target is None or path.size < target <= limit
                if target is not None:
                    path.probe_sent(min(target, path.size + 1 + size % 3000))
            case 3:
                path.probe_arrived()
            case 4:
                path.probe_lost()
            case 5:
                path.probe_void()
            case 6:
                path.too_long(size)
            case 7:
                path.arrived(size, now)
            case 8:
                path.lost(size, now)
            case 9:
                path.timed_out(1 + size % 3)
        assert 1200 <= path.size <= limit


def found(mtu=9000, step=1045):
    path = PathMtu(65_507, step)
    search(path, step, lambda size: size <= mtu)
    return path


def test_a_size_counts_as_too_long_after_three_probes_are_lost_and_not_before():
    path = PathMtu(65_507, 1045)
    sizes = search(path, 1045, lambda size: size <= 2500)
    assert sizes == [2094] + [4184] * 3 + [3139] * 3
    assert path.size == 2094


def test_a_probe_that_came_to_nothing_is_sent_again_and_not_counted():
    path = PathMtu(2500, 1045)
    for _ in range(5):
        assert path.probe_sent(path.wanted(0.0))
        path.probe_void()
    assert path.wanted(0.0) == 2400


def test_an_acknowledgement_of_no_probe_changes_nothing():
    path = PathMtu(65_507, 1045)
    path.probe_arrived()
    path.probe_lost()
    assert path.size == 1200
    assert path.wanted(0.0) == 2400


def test_nothing_longer_than_what_is_known_not_to_arrive_is_a_probe():
    path = found()
    assert path.size == 8364
    assert not path.probe_sent(8364)
    assert not path.probe_sent(9500)
    assert not path.waits


def test_the_path_is_looked_at_again_after_ten_minutes():
    path = found()
    assert path.wanted(RAISE_SECONDS - 1) is None
    assert path.wanted(RAISE_SECONDS) == 2 * 8364
    assert search(path, 1045, lambda size: True, now=RAISE_SECONDS)
    assert path.size > 64_000


def test_the_kernels_word_counts_at_once_and_without_a_second_try():
    path = PathMtu(65_507, 1045)
    assert path.wanted(0.0) == 2400
    assert path.probe_sent(2094)
    path.too_long(2094)
    assert not path.waits
    assert path.wanted(0.0) is None
    assert path.size == 1200


def test_an_interface_that_has_become_narrower_sets_the_size_back():
    path = found()
    path.too_long(8364)
    assert path.size == 1200
    search(path, 1045, lambda size: size <= 3000)
    assert path.size == 2094


def test_a_path_too_narrow_even_for_the_base_is_not_sent_to_whole_until_it_is_looked_at_again():
    path = PathMtu(65_507, 1045)
    path.too_long(1100)
    assert not path.whole
    assert path.wanted(0.0) is None
    assert path.wanted(RAISE_SECONDS) == 2400
    assert path.whole


def test_losses_before_a_datagram_that_arrived_are_congestion_and_no_black_hole():
    path = found()
    path.arrived(8364, 50.0)
    for at in range(20):
        path.lost(8364, 40.0 + at / 10)
    assert path.size == 8364


def test_a_long_datagram_that_arrives_ends_the_suspicion_and_a_shorter_one_does_not():
    path = found()
    path.lost(8364, 1.0)
    path.lost(8364, 2.0)
    path.arrived(8364, 3.0)
    path.lost(8364, 4.0)
    path.lost(8364, 5.0)
    assert path.size == 8364
    path.arrived(2094, 6.0)
    path.lost(8364, 7.0)
    assert path.size == 1200
    assert path.wanted(8.0) == 2400


def test_what_is_lost_of_one_burst_counts_once():
    path = found()
    for _ in range(20):
        path.lost(8364, 1.0)
        path.lost(2094, 2.0)
    assert path.size == 8364


def test_what_was_longer_than_is_sent_now_disturbs_no_probe_when_it_is_lost():
    path = found()
    path.timed_out(1)
    assert path.probe_sent(path.wanted(0.0))
    for at in range(MAX_PROBES):
        path.lost(8364, 10.0 + at)
    assert path.waits


@pytest.mark.parametrize(("in_a_row", "whole"), [(1, True), (2, False)])
def test_a_timeout_sets_the_size_back_and_a_second_one_allows_fragments(in_a_row, whole):
    path = found()
    path.timed_out(in_a_row)
    assert path.size == 1200
    assert path.whole == whole
    assert (path.wanted(1.0) is not None) == whole


def fragments_after_timeouts(path, now):
    """Two timeouts in a row; how long fragments are allowed then."""
    path.timed_out(1)
    path.timed_out(2)
    assert not path.whole
    assert path.wanted(now) is None
    path.timed_out(3)  # it goes on, and tells nothing new
    for seconds in (RETRY_SECONDS, 2 * RETRY_SECONDS, RAISE_SECONDS):
        if path.wanted(now + seconds) is not None:
            assert path.whole
            return seconds
    return None


def test_an_outage_of_a_path_that_carried_more_allows_fragments_for_seconds_and_longer_each_time():
    path = found()
    assert fragments_after_timeouts(path, 100.0) == RETRY_SECONDS
    assert fragments_after_timeouts(path, 200.0) == 2 * RETRY_SECONDS
    for at in range(10):
        fragments_after_timeouts(path, 1000.0 * (at + 1))
    assert fragments_after_timeouts(path, 20_000.0) == RAISE_SECONDS
    search(path, 1045, lambda size: size <= 9000, now=21_000.0)
    assert path.size > 8000
    assert fragments_after_timeouts(path, 22_000.0) == RETRY_SECONDS


def test_a_path_that_never_carried_more_gets_fragments_for_ten_minutes():
    assert fragments_after_timeouts(PathMtu(65_507, 1045), 0.0) == RAISE_SECONDS


def test_a_limit_below_the_base_is_kept_and_not_searched_for():
    path = PathMtu(576, 533)
    assert path.size == 576
    assert path.wanted(0.0) is None
