"""`ppsp._download`: what was asked of a peer, and the acknowledgements owed to it."""

from itertools import pairwise

import pytest

from ppsp import _limits
from ppsp._download import Download, ranges_of
from ppsp._ranges import RangeSet


def receive(download, *chunks, now=10.0, delays=None):
    for place, chunk in enumerate(chunks):
        download.received(chunk, 1024, delays[place] if delays else 100 + chunk, now)


def as_tuples(acks):
    return [(ack.start, ack.end, ack.delay_us) for ack in acks]


def test_numbers_become_ascending_ranges():
    assert ranges_of([]) == []
    assert ranges_of({7, 3, 4, 5, 9}) == [(3, 6), (7, 8), (9, 10)]


def test_nothing_is_owed_at_first():
    assert Download(1024).acks(RangeSet()) == []


def test_a_chunk_is_acknowledged_with_its_delay_sample():
    """Section 3.4: an ACK MUST be sent, and MUST contain the one-way delay."""
    download = Download(1024)
    receive(download, 5, delays=[777])
    assert as_tuples(download.acks(RangeSet([(5, 6)]))) == [(5, 5, 777)]
    assert download.acks(RangeSet([(5, 6)])) == []


def test_an_ack_has_the_biggest_complete_interval():
    """Section 4.3.2: "the chunk specification of its biggest, complete interval covering C"."""
    download = Download(1024)
    receive(download, 5)
    assert [(ack.start, ack.end) for ack in download.acks(RangeSet([(2, 9), (20, 30)]))] == [(2, 8)]


def test_every_interval_that_got_something_is_acknowledged():
    download = Download(1024)
    receive(download, 5, 25, 6, 40)
    acks = download.acks(RangeSet([(2, 9), (20, 30), (40, 41)]))
    assert {(ack.start, ack.end) for ack in acks} == {(2, 8), (20, 29), (40, 40)}


def test_a_chunk_that_came_twice_is_acknowledged_again():
    """Its first ACK was lost (section 8.2: messages may be sent again)."""
    download = Download(1024)
    download.owe(5, 50)
    assert as_tuples(download.acks(RangeSet([(5, 6)]))) == [(5, 5, 50)]


def test_what_is_not_held_after_all_is_not_acknowledged():
    """Section 3.4: the store could not keep it."""
    download = Download(1024)
    download.received(5, 1024, 100, 1.0)
    download.received(7, 1024, 100, 1.0)
    assert [(ack.start, ack.end) for ack in download.acks(RangeSet([(7, 8)]))] == [(7, 7)]


def test_a_batch_gives_several_samples():
    """RFC 6817 section 2.3 by way of 8.7: one sample an ACK, and LEDBAT wants four a round trip."""
    download = Download(1024)
    receive(download, *range(64))
    acks = download.acks(RangeSet([(0, 64)]))
    assert 2 <= len(acks) <= _limits.MAX_SAMPLES
    assert {(ack.start, ack.end) for ack in acks} == {(0, 63)}
    assert len({ack.delay_us for ack in acks}) == len(acks)


@pytest.mark.parametrize("chunks", [[5, 6, 7, 0], [0, 5, 6, 7], [5, 0, 6, 20, 7], list(range(10, 40)), [3, 1, 2, 50]])
def test_every_sample_belongs_to_a_chunk_of_its_ack(chunks):
    """Section 8.7: "computed from the timestamp received from the previous DATA message containing the chunk"."""
    download = Download(1024)
    receive(download, *chunks)  # the delay of chunk n is 100 + n
    have = RangeSet()
    for chunk in chunks:
        have.add(chunk, chunk + 1)
    for ack in download.acks(have):
        assert ack.start <= ack.delay_us - 100 <= ack.end


@pytest.mark.parametrize("chunks", [[5, 6, 7, 0], [0, 5, 6, 7], [5, 0, 6, 20, 7], list(range(10, 40))])
def test_samples_stand_in_the_order_in_which_they_were_taken_and_once(chunks):
    """The controller's port: delays "in the order in which the receiver took them"."""
    download = Download(1024)
    receive(download, *chunks, delays=list(range(len(chunks))))
    have = RangeSet()
    for chunk in chunks:
        have.add(chunk, chunk + 1)
    delays = [ack.delay_us for ack in download.acks(have)]
    assert delays == sorted(set(delays))


def test_a_flood_of_islands_is_acknowledged_in_full():
    """ACK MUST be sent for every verified chunk, however scattered."""
    download = Download(1024)
    chunks = list(range(0, 1000, 2))
    receive(download, *chunks)
    have = RangeSet([(chunk, chunk + 1) for chunk in chunks])
    assert {ack.start for ack in download.acks(have)} == set(chunks)


def test_what_was_asked_for_is_outstanding_until_it_comes():
    download = Download(1024)
    download.asked([(3, 6), (9, 10)], 10.0)
    assert download.outstanding == {3, 4, 5, 9}
    receive(download, 4)
    assert download.outstanding == {3, 5, 9}


def test_a_new_peer_is_asked_for_a_window():
    download = Download(1024)
    assert download.room(10.0) == _limits.MIN_OUTSTANDING


def test_no_more_is_asked_while_most_of_the_window_is_outstanding():
    """So that requests are long ranges, and a slow peer holds little."""
    download = Download(1024)
    download.asked([(0, 64)], 10.0)
    assert download.room(10.0) == 0
    receive(download, *range(40), now=10.01)
    assert download.room(10.01) >= 40


def test_a_fast_peer_is_asked_for_more():
    """About half a second of its rate, within the limit."""
    download = Download(1024)
    at, now = 0, 10.0
    for _ in range(300):
        room = download.room(now)
        if room:
            download.asked([(at, at + room)], now)
            at += room
        now += 0.01
        receive(download, *sorted(download.outstanding)[:100], now=now)  # 10 000 chunks a second
    assert 800 < download._window <= _limits.MAX_OUTSTANDING_OCTETS // 1024
    assert len(download.outstanding) <= _limits.MAX_OUTSTANDING_OCTETS // 1024


def test_the_window_doubles_each_time_that_all_of_it_came():
    """Before a rate is known: the start of a download must not wait a tenth of a second for each step."""
    download = Download(1024)
    rooms = []
    for step in range(4):
        rooms.append(download.room(10.0 + step / 1000))
        download.asked([(step * 10_000, step * 10_000 + rooms[-1])], 10.0 + step / 1000)
        receive(download, *sorted(download.outstanding), now=10.0005 + step / 1000)
    assert rooms == [64, 128, 256, 512]


def test_the_window_has_a_limit():
    download = Download(1024)
    now = 10.0
    for step in range(50):
        room = download.room(now)
        download.asked([(step * 100_000, step * 100_000 + room)], now)
        now += 0.001
        receive(download, *sorted(download.outstanding), now=now)
    assert download.room(now) <= _limits.MAX_OUTSTANDING_OCTETS // 1024


def test_requests_lapse_when_nothing_comes():
    """Section 3: "a peer that does not respond, or does not respond in time is classified as bad"."""
    download = Download(1024)
    assert download.lapses_at() is None
    download.asked([(0, 10)], 10.0)
    assert download.lapses_at() == pytest.approx(10.0 + _limits.REQUEST_SECONDS)
    receive(download, 0, now=11.0)
    assert download.lapses_at() >= 11.0 + _limits.REQUEST_SECONDS


def test_a_far_peer_gets_more_time():
    """Four round trips."""
    download = Download(1024)
    download.asked([(0, 10)], 10.0)
    receive(download, 0, now=11.4)
    assert download.lapses_at() == pytest.approx(11.4 + 4 * 1.4)


def test_a_peer_that_lets_requests_lapse_rests_longer_each_time():
    """Section 12.6.2, HAVE.1: "consider Peer T to be a slow peer and not ask it again"."""
    download = Download(1024)
    rests = []
    now = 10.0
    for _ in range(9):
        download.asked([(0, 10)], now)
        download.give_up()
        download.lapse(now)
        rests.append(download.resting_until - now)
        now += 100.0
    assert rests[0] > 0
    assert all(later >= earlier for earlier, later in pairwise(rests))
    assert rests[4] > 4 * rests[0]
    assert rests[-1] <= 60.0


def test_something_that_comes_ends_the_punishment():
    download = Download(1024)
    download.asked([(0, 10)], 10.0)
    download.lapse(10.0)
    download.lapse(20.0)
    receive(download, 0, now=30.0)
    download.lapse(40.0)
    assert download.resting_until - 40.0 <= 1.0


def test_giving_up_takes_everything_back():
    download = Download(1024)
    download.asked([(0, 10), (20, 21)], 10.0)
    assert download.give_up() == [(0, 10), (20, 21)]
    assert download.outstanding == set()
    assert download.lapses_at() is None
    assert download.give_up() == []


def test_chunks_that_do_not_exist_are_no_longer_waited_for():
    """A peer lied about the number of chunks, and was asked for the last of them (section 5.6)."""
    download = Download(1024)
    download.asked([(5, 9), (1000, 1001)], 10.0)
    download.forget_from(7)
    assert download.outstanding == {5, 6}


def test_half_of_a_slow_peers_requests_can_be_taken():
    """The later half: what it works on now stays."""
    download = Download(1024)
    download.asked([(0, 10)], 10.0)
    assert download.give_up_half() == [(5, 10)]
    assert download.outstanding == {0, 1, 2, 3, 4}


def test_the_time_a_peer_needs_follows_from_its_rate_or_its_silence():
    download = Download(1024)
    download.asked([(0, 64)], 10.0)
    assert download.expected_seconds(10.0) == pytest.approx(0.0)
    assert download.expected_seconds(13.0) == pytest.approx(3.0)


def test_hashes_that_came_first_are_kept_for_their_chunk():
    """Section 5.4: INTEGRITY messages MUST be sent first where they do not fit."""
    download = Download(1024)
    download.keep_hashes({(0, 0): b"a"})
    assert download.with_loose({(1, 1): b"b"}) == {(0, 0): b"a", (1, 1): b"b"}
    assert download.with_loose({(0, 0): b"new"}) == {(0, 0): b"new"}


def test_hashes_without_chunks_do_not_fill_memory():
    """Section 12.6.5, INTEGRITY.1; the oldest make room."""
    download = Download(1024)
    for number in range(100_000):
        download.keep_hashes({(number, number): b"x"})
    kept = download.with_loose({})
    assert len(kept) <= _limits.MAX_LOOSE_HASHES
    assert (99_999, 99_999) in kept
    assert (0, 0) not in kept


def test_figures_are_counted():
    download = Download(1024)
    receive(download, 0, 1)
    assert download.chunks_received == 2
    assert download.octets_received == 2048
    download.owe(0, 1)
    assert download.chunks_received == 2


def test_a_clock_that_goes_back_a_little_does_no_harm():
    download = Download(1024)
    download.asked([(0, 64)], 10.0)
    receive(download, *range(32), now=9.9)
    assert download.room(9.8) >= 0
    assert download.expected_seconds(9.7) is not None
    assert download.lapses_at() is not None
