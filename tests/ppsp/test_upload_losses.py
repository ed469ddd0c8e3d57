"""`ppsp._upload`: the congestion window, acknowledgements, probes, and what becomes of losses."""

from itertools import pairwise

import pytest
from ppsp_upload import CHANNEL, MODULUS, Server

from ppsp import _limits


@pytest.fixture
def server(lab, seven):
    """A server of the RFC's 7 chunks."""
    return Server(lab, seven)


def test_the_congestion_window_limits_what_is_in_flight(lab):
    """Section 8.15."""
    server = Server(lab, lab.Publication(lab.pattern(100 * 1024)), cwnd=10 * 1024)
    server.upload.request(0, 100)
    assert len(server.chunks()) == 10
    assert server.upload.flight == 10 * 1024
    assert server.chunks() == []
    server.now += 0.05
    server.ack(0, 4)
    assert len(server.chunks()) == 4


def test_a_window_below_one_chunk_lets_one_out(lab, seven):
    """Or the transfer would stand for ever."""
    server = Server(lab, seven, cwnd=100)
    server.upload.request(0, 7)
    assert len(server.chunks()) == 1
    assert server.chunks() == []
    server.ack(0, 1)
    assert len(server.chunks()) == 1


def test_the_controller_hears_of_every_octet_of_chunks(server):
    server.upload.request(0, 7)
    server.send()
    assert sum(sent for _, sent in server.window.sent) == 7162
    assert server.upload.octets_sent == 7162
    server.now += 0.03
    server.ack(0, 7, 555)
    assert [(acked, delays) for _, acked, delays, _ in server.window.acks] == [(7162, [555])]
    assert server.window.acks[0][3] == pytest.approx(0.03)
    assert server.upload.flight == 0
    assert server.upload.deadline() is None


@pytest.mark.parametrize(
    ("wire", "sample"),
    [
        (0, 0),
        (100, 100),
        (MODULUS - 1, -1),
        (MODULUS - 10**12, -(10**12)),
        ((1 << 63) - 1, (1 << 63) - 1),
        (1 << 63, -(1 << 63)),
    ],
)
def test_delays_are_read_modulo_2_to_the_64(server, wire, sample):
    """the clocks of two peers differ, so that the difference may be negative."""
    server.upload.request(0, 1)
    server.send()
    server.ack(0, 1, wire)
    assert server.window.acks[0][2] == [sample]


def test_several_samples_of_a_datagram_go_to_the_controller_in_order(server):
    server.upload.request(0, 7)
    server.send()
    server.upload.peer_has(0, 7)
    server.upload.end_datagram([30, 10, 20], server.now)
    assert server.window.acks[0][2] == [30, 10, 20]


def test_an_ack_for_what_was_never_sent_says_nothing_to_the_controller(server):
    """Section 12.6.4, ACK.1: "detect inconsistencies with the data it sent"."""
    server.ack(0, 2**32)
    assert server.window.acks == []
    assert server.upload.flight == 0


def test_an_ack_counts_once(server):
    server.upload.request(0, 2)
    server.send()
    server.ack(0, 2)
    server.ack(0, 2)
    server.upload.peer_has(0, 2)
    server.upload.end_datagram([5], server.now)
    assert sum(acked for _, acked, _, _ in server.window.acks) == 2048
    assert server.upload.flight == 0


def test_no_round_trip_is_measured_on_what_was_sent_twice(lab, seven):
    """Karn: the port asks for rtt=None where it is ambiguous."""
    server = Server(lab, seven)
    server.upload.request(0, 1)
    server.send()
    server.tick()  # the congestion timeout: no round trip is known, so no probe
    assert server.window.timeouts
    assert server.chunks() == [0]
    server.now += 0.02
    server.ack(0, 1)
    assert server.window.acks[-1][3] is None


def test_a_chunk_overtaken_by_much_later_ones_is_sent_again(lab):
    """Retransmission after loss: no sequence numbers, so by the chunk (requirements 1.10)."""
    server = Server(lab, lab.Publication(lab.pattern(200 * 1024)), cwnd=20 * 1024)
    server.upload.request(0, 200)
    assert server.chunks()[0] == 0
    for step in range(1, 60):
        server.now += 0.02
        server.ack(step * 4 - 3, step * 4 + 1)  # everything but chunk 0
        if 0 in (sent := server.chunks()):
            assert sent[0] == 0  # first of all
            break
    else:
        pytest.fail("chunk 0 was not sent again")
    assert step < 10
    assert server.window.losses
    assert server.upload.chunks_lost == 1


def test_what_left_before_the_window_was_halved_is_of_the_same_loss_event(lab):
    """As in NewReno (RFC 6582), which RFC 6817 section 3.2.2 follows: it shows late, and halves nothing more."""
    server = Server(lab, lab.Publication(lab.pattern(64 * 1024)))
    events = []

    def on_loss(*, lost, will_retransmit, now):
        if now not in events:
            server.window.cwnd //= 2
        events.append(now)

    server.window.on_loss = on_loss
    server.upload.request(0, 64)
    for server.now in (10.0, 10.01, 10.02):
        server.upload.datagrams(CHANNEL, 0, 10, server.now)
    server.now = 10.04
    server.ack(10, 11)  # the first ten were overtaken
    server.now = 10.08
    server.ack(29, 30)  # and those behind chunk 10, a round trip later
    assert events == [10.04, 10.04]
    server.send()
    while not server.window.timeouts:
        server.tick()
    assert events == [10.04, 10.04, server.now]  # what was sent after that is of another event


def test_a_peer_that_had_no_time_makes_nothing_look_lost(lab):
    """The probe repeats what was sent last (RFC 8985 section 7.3); ACKs that were only late come before its own."""
    server = Server(lab, lab.Publication(lab.pattern(64 * 1024)), cwnd=8 * 1024)
    server.upload.request(0, 9)
    server.chunks()
    server.now += 0.004
    server.ack(0, 1)  # a round trip of 4 ms
    server.chunks()
    server.now = server.upload.deadline()
    server.tick()
    assert server.chunks() == [8]
    server.now += 0.01
    server.ack(1, 5)
    server.ack(5, 9)
    assert not server.window.losses


def test_reordering_within_a_burst_is_no_loss(lab):
    """The chunks of a burst carry one time; the last of them may come first."""
    server = Server(lab, lab.Publication(lab.pattern(64 * 1024)))
    server.upload.request(0, 64)
    server.send()
    server.now += 0.02
    for chunk in range(63, -1, -1):
        server.ack(chunk, chunk + 1)
        server.now += 0.0001
    assert server.window.losses == []
    assert server.upload.chunks_lost == 0


def test_the_tail_is_probed_before_the_congestion_timeout(server):
    """The last chunk of a burst has nothing behind it that would show its loss."""
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 6)
    server.tick()
    assert server.window.timeouts == []
    assert server.now < 10.5
    assert server.chunks() == [6]
    server.now += 0.02
    server.ack(6, 7)
    assert server.upload.flight == 0
    assert server.upload.deadline() is None


def test_the_tail_is_probed_more_and_more_rarely(lab, seven):
    server = Server(lab, seven, cto=100.0)
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 6)
    at = [server.now]
    while not server.window.timeouts:
        server.tick()
        at.append(server.now)
        server.chunks()
    gaps = [after - before for before, after in pairwise(at)]
    assert gaps[:5] == pytest.approx([0.04 * 2**n for n in range(5)])
    assert len(gaps) == 6  # then the congestion timeout is waited for


def test_a_probe_that_is_acknowledged_before_it_leaves_is_not_sent(server):
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 6)
    server.tick()
    server.ack(6, 7)
    assert server.chunks() == []
    assert server.upload.flight == 0


def test_the_tail_is_not_probed_with_what_is_not_wanted_any_more(server):
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 5)
    last = list(server.upload._in_flight)[-1]
    server.upload.cancel(last, last + 1)
    server.tick()
    assert server.window.timeouts == []
    assert server.chunks() == [11 - last]  # of the chunks 5 and 6 the other one


def test_a_congestion_timeout_sends_everything_again(server):
    server.upload.request(0, 7)
    server.send()
    while not server.window.timeouts:
        server.tick()
    assert server.upload.flight == 0
    assert sorted(server.chunks()) == list(range(7))


def test_a_peer_that_is_silent_for_long_is_sent_nothing_more(server):
    """It will ask again if it lives."""
    server.upload.request(0, 7)
    for _ in range(200):
        server.send()
        if server.upload.deadline() is None:
            break
        server.tick()
    assert not server.upload.ready
    assert server.upload.deadline() is None
    assert server.upload.flight == 0
    server.upload.request(0, 1)
    assert server.chunks() == [0]


def test_a_cancelled_chunk_is_not_sent_again_when_it_is_lost(server):
    """Section 3.8: the peer no longer wants it."""
    server.upload.request(0, 1)
    server.send()
    server.upload.cancel(0, 1)
    while server.upload.deadline() is not None:
        server.tick()
        assert server.chunks() == []
    assert server.upload.flight == 0


def test_a_cancelled_chunk_that_is_asked_for_again_is_sent_again_when_it_is_lost(server):
    server.upload.request(0, 1)
    server.send()
    server.upload.cancel(0, 1)
    server.upload.request(0, 1)
    sent = server.chunks()
    while server.upload.deadline() is not None and not sent:
        server.tick()
        sent = server.chunks()
    assert sent == [0]


def test_one_of_many_cancelled_chunks_that_is_asked_for_again_is_sent_again_when_it_is_lost(server):
    server.upload.request(0, 7)
    server.send()
    server.upload.cancel(0, 7)
    server.upload.request(3, 4)
    assert server.chunks() == []
    while not server.window.timeouts:
        server.tick()
    assert server.chunks() == [3]


def test_cancels_without_end_cost_neither_memory_nor_a_look_at_all_that_is_on_its_way(lab):
    """Section 12.6.7: a datagram has room for hundreds of them, and thousands of chunks may be in flight."""
    server = Server(lab, lab.Publication(lab.pattern(4000 * 16), chunk_size=16))
    server.upload.request(0, 4000)
    server.send()
    looks = []

    class Watched(dict):
        def __iter__(self):
            looks.append(1)
            return super().__iter__()

    server.upload._in_flight = Watched(server.upload._in_flight)
    for start in range(0, 20_000, 2):
        server.upload.cancel(start, start + 1)
    for _ in range(1000):
        server.upload.cancel(0, 2**32)
    server.upload.request(2000, 4000)
    assert looks == []
    assert server.upload._cancelled.range_count <= _limits.MAX_REQUEST_RANGES
    server.upload._in_flight = dict(server.upload._in_flight)
    while not server.window.timeouts:
        server.tick()
    assert sorted(server.chunks(5000)) == list(range(2000, 4000))


def test_a_peer_that_answers_now_and_then_is_not_given_up(server):
    """Only timeouts in a row, without any acknowledgement between them, make its requests be forgotten."""
    server.upload.request(0, 7)
    for acked in range(5):
        for _ in range(4):
            server.send()
            timeouts = len(server.window.timeouts)
            while len(server.window.timeouts) == timeouts:
                server.tick()
        server.send()
        server.ack(acked, acked + 1)
    assert len(server.window.timeouts) == 20
    server.tick()
    assert 6 in server.upload._in_flight or server.upload.ready


def test_a_repetition_acknowledged_sooner_than_can_be_does_not_make_others_look_lost(lab):
    """RFC 8985 section 6.2: that ACK is of the first time that the chunk was sent."""
    server = Server(lab, lab.Publication(lab.pattern(64 * 1024)))
    server.upload.request(0, 1)
    server.send()
    server.now += 0.1
    server.ack(0, 1)  # a round trip of 100 ms
    server.upload.request(1, 9)
    server.send()
    server.tick()
    assert server.chunks() == [8]  # the probe, while everything is on its way
    server.now += 0.01
    server.ack(8, 9)
    assert not server.window.losses


def test_a_late_ack_of_what_was_taken_for_lost_stops_its_retransmission(server):
    server.upload.request(0, 7)
    server.send()
    while not server.window.timeouts:
        server.tick()
    server.ack(0, 7)
    assert server.chunks() == []
    assert server.upload.flight == 0


def test_a_store_that_fails_while_probing_leaves_the_flight_right(server):
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 6)
    server.tick()
    server.store.fail_reads = True
    with pytest.raises(OSError, match="disk"):
        server.upload.datagrams(CHANNEL, 0, 100, server.now)
    server.store.fail_reads = False
    server.upload.forget()
    for _ in range(50):
        if server.upload.deadline() is None:
            break
        server.tick()
        server.upload.forget()
    assert server.upload.flight == 0


def test_early_late_and_repeated_timers_do_no_harm(server):
    server.upload.handle_timer(server.now)
    server.upload.request(0, 7)
    server.send()
    for _ in range(5):
        server.upload.handle_timer(server.now)
    assert server.window.timeouts == []
    server.now += 500
    server.upload.handle_timer(server.now)
    server.upload.handle_timer(server.now)
    assert len(server.window.timeouts) == 1


def test_a_clock_that_goes_back_a_little_does_no_harm(server):
    server.upload.request(0, 7)
    server.send()
    server.now -= 0.5
    server.ack(0, 3)
    assert all(rtt is None or rtt >= 0 for _, _, _, rtt in server.window.acks)
    server.upload.handle_timer(server.now)
    server.ack(3, 7)
    assert server.upload.flight == 0


def test_a_clock_below_zero_makes_nothing_lost(server):
    """`now` is float seconds on any monotonic clock."""
    server.now = -100.0
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 1)
    assert server.window.losses == []
