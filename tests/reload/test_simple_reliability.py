"""Simple Reliability (RFC 6940 section 6.6.3): a machine alone, and two on a line that a test disturbs."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload.errors import StateError
from reload.framing import AckFrame, DataFrame, FramedMessage, decode_frame, encode_frame
from reload.link import (
    MAX_DROP_EVENTS,
    FrameDropped,
    LinkClosed,
    LinkEvent,
    LinkFailing,
    LinkRestored,
    MessageReceived,
)
from reload.simple_reliability import MAX_ACKS, MAX_QUEUED, MAX_QUEUED_OCTETS, MAX_WAIT, PAUSE, SimpleReliability

PEER = ("192.0.2.1", 6084)


def sent(link: SimpleReliability, now: float) -> list[FramedMessage]:
    datagrams = link.datagrams_to_send(now)
    assert all(address == PEER for _, address in datagrams)
    return [decode_frame(octets) for octets, _ in datagrams]


def receive(link: SimpleReliability, frame: FramedMessage, now: float) -> None:
    link.receive_datagram(memoryview(encode_frame(frame)), PEER, now)


def events(link: SimpleReliability) -> list[LinkEvent]:
    return list(iter(link.next_event, None))


def run_out(link: SimpleReliability) -> list[tuple[float, FramedMessage]]:
    """What a link sends to a peer that does not answer, and when, until it closes."""
    found = [(0.0, frame) for frame in sent(link, 0.0)]
    while (timer := link.get_timer()) is not None:
        link.handle_timer(timer)
        found += [(timer, frame) for frame in sent(link, timer)]
    return found


def test_a_message_without_ack_goes_out_five_times_at_the_times_of_the_text() -> None:
    link = SimpleReliability(PEER)
    assert link.send_message(b"a", 0.0)
    assert run_out(link) == [
        (0.0, DataFrame(0, b"a")),
        (0.5, DataFrame(1, b"a")),
        (1.5, DataFrame(2, b"a")),
        (3.5, DataFrame(3, b"a")),
        (7.5, DataFrame(4, b"a")),
    ]
    failing, closed = events(link)
    assert failing == LinkFailing()
    assert isinstance(closed, LinkClosed)
    assert link.is_closed


def test_a_link_is_failing_when_the_third_retransmission_goes_out() -> None:
    link = SimpleReliability(PEER)
    link.send_message(b"a", 0.0)
    sent(link, 0.0)
    for time in (0.5, 1.5):
        link.handle_timer(time)
        sent(link, time)
    assert events(link) == []
    link.handle_timer(3.5)
    sent(link, 3.5)
    assert events(link) == [LinkFailing()]
    receive(link, AckFrame(3, 0), 3.6)
    assert events(link) == [LinkRestored()]
    assert sent(link, 3.7) == []
    assert link.get_timer() is None


def test_an_ack_of_a_message_before_puts_off_that_a_link_is_failing() -> None:
    link = SimpleReliability(PEER)
    link.send_message(b"a", 0.0)
    sent(link, 0.0)
    link.handle_timer(0.5)
    sent(link, 0.5)
    receive(link, AckFrame(0, 0), 0.5)
    link.send_message(b"b", 1.0)
    assert sent(link, 1.0) == [DataFrame(2, b"b")]
    receive(link, AckFrame(1, 0), 1.1)
    for _ in range(3):
        timer = link.get_timer()
        assert timer is not None
        link.handle_timer(timer)
        assert len(sent(link, timer)) == 1
        assert events(link) == []
    # The interval without an ACK is that of the second transmission; this is the third retransmission behind it.
    timer = link.get_timer()
    assert timer is not None
    link.handle_timer(timer)
    assert sent(link, timer) == [DataFrame(6, b"b")]
    assert events(link) == [LinkFailing()]


def test_an_ack_of_any_transmission_is_one_of_the_message() -> None:
    for number in range(3):
        link = SimpleReliability(PEER)
        link.send_message(b"a", 0.0)
        sent(link, 0.0)
        for time in (0.5, 1.5):
            link.handle_timer(time)
            sent(link, time)
        receive(link, AckFrame(number, 0), 1.6)
        assert link.get_timer() is None


def test_one_message_is_unacknowledged_at_a_time_and_the_next_waits_10_ms_for_its_ack() -> None:
    link = SimpleReliability(PEER)
    for message in (b"a", b"b"):
        link.send_message(message, 0.0)
    assert sent(link, 0.0) == [DataFrame(0, b"a")]
    assert sent(link, 0.1) == []
    receive(link, AckFrame(0, 0), 0.2)
    assert sent(link, 0.2) == []
    assert link.get_timer() == 0.2 + PAUSE
    assert sent(link, 0.2 + PAUSE) == [DataFrame(1, b"b")]


def test_the_pause_holds_for_a_message_that_comes_after_the_ack() -> None:
    link = SimpleReliability(PEER)
    link.send_message(b"a", 0.0)
    sent(link, 0.0)
    receive(link, AckFrame(0, 0), 0.2)
    link.send_message(b"b", 0.205)
    assert sent(link, 0.205) == []
    assert sent(link, 0.211) == [DataFrame(1, b"b")]


def test_the_pause_holds_for_an_ack_of_any_transmission() -> None:
    link = SimpleReliability(PEER)
    link.send_message(b"a", 0.0)
    sent(link, 0.0)
    link.handle_timer(0.5)
    sent(link, 0.5)
    receive(link, AckFrame(0, 0), 0.6)
    receive(link, AckFrame(1, 0), 0.605)
    link.send_message(b"b", 0.606)
    assert sent(link, 0.612) == []
    assert link.get_timer() == 0.605 + PAUSE
    assert sent(link, 0.605 + PAUSE) == [DataFrame(2, b"b")]


def test_a_bit_of_the_mask_is_no_acknowledgement() -> None:
    link = SimpleReliability(PEER)
    link.send_message(b"a", 0.0)
    sent(link, 0.0)
    receive(link, AckFrame(7, 0xFFFFFFFF), 0.1)
    assert link.get_timer() == 0.5
    assert [type(event) for event in events(link)] == [FrameDropped]


def test_the_timeout_follows_the_round_trip_times() -> None:
    link = SimpleReliability(PEER)
    link.send_message(b"a", 0.0)
    sent(link, 0.0)
    receive(link, AckFrame(0, 0), 0.1)
    assert link.rto == 0.3
    link.send_message(b"b", 1.0)
    sent(link, 1.0)
    assert link.get_timer() == 1.3
    # Its time doubles, and that of the next message is a new one.
    link.handle_timer(1.3)
    sent(link, 1.3)
    assert link.get_timer() == pytest.approx(1.9)


def test_an_ack_that_comes_after_a_retransmission_measures_the_transmission_that_it_is_of() -> None:
    link = SimpleReliability(PEER)
    link.send_message(b"a", 0.0)
    sent(link, 0.0)
    link.handle_timer(0.5)
    sent(link, 0.5)
    receive(link, AckFrame(0, 0), 0.6)
    assert link.rto == 1.8  # 0.6 + 4 * 0.3
    receive(link, AckFrame(1, 1), 1.1)
    assert link.rto == 1.5  # The second measurement is 0.6, too: 0.6 + 4 * 0.225
    assert events(link) == []


def test_the_round_trip_time_that_ice_has_measured_is_the_first_measurement() -> None:
    assert SimpleReliability(PEER, rtt=0.04).rto == 0.12
    assert SimpleReliability(PEER, initial_rto=2.0).rto == 2.0


def test_what_is_received_is_acknowledged_at_once_with_what_came_before() -> None:
    link = SimpleReliability(PEER)
    receive(link, DataFrame(0, b"a"), 0.0)
    receive(link, DataFrame(2, b"b"), 0.0)
    assert sent(link, 0.0) == [AckFrame(0, 0), AckFrame(2, 0b10)]
    assert events(link) == [MessageReceived(b"a"), MessageReceived(b"b")]


def test_duplicates_are_acknowledged_and_delivered_once() -> None:
    link = SimpleReliability(PEER)
    for sequence, time in ((0, 0.0), (0, 0.1), (1, 0.5), (2, 1.5)):
        receive(link, DataFrame(sequence, b"a"), time)
    assert [type(frame) for frame in sent(link, 1.5)] == [AckFrame] * 4
    assert events(link) == [MessageReceived(b"a")]


def test_what_waits_already_is_not_sent_twice() -> None:
    link = SimpleReliability(PEER)
    for _ in range(3):
        assert link.send_message(b"a", 0.0)
        assert link.send_message(b"b", 0.0)
        sent(link, 0.0)
    receive(link, AckFrame(0, 0), 0.1)
    assert sent(link, 1.0) == [DataFrame(1, b"b")]
    receive(link, AckFrame(1, 0), 1.1)
    assert link.get_timer() is None


def test_a_queue_is_bounded_in_messages_and_octets() -> None:
    link = SimpleReliability(PEER)
    assert [link.send_message(b"%d" % number, 0.0) for number in range(MAX_QUEUED + 1)] == [True] * MAX_QUEUED + [False]
    link = SimpleReliability(PEER)
    size = MAX_QUEUED_OCTETS // 4
    taken = [link.send_message(bytes([number]) * size, 0.0) for number in range(5)]
    assert taken == [True] * 4 + [False]


def test_a_message_that_nobody_waits_for_any_more_is_not_sent() -> None:
    link = SimpleReliability(PEER)
    link.send_message(b"a", 0.0)
    sent(link, 0.0)
    link.send_message(b"old", 0.1)
    link.send_message(b"young", 10.0)
    receive(link, AckFrame(0, 0), 0.1 + MAX_WAIT)
    assert sent(link, 0.2 + MAX_WAIT) == [DataFrame(1, b"young")]


def test_acks_that_wait_to_be_taken_are_bounded() -> None:
    link = SimpleReliability(PEER)
    for sequence in range(MAX_ACKS + 10):
        receive(link, DataFrame(sequence, b""), 0.0)
        events(link)
    assert len(sent(link, 0.0)) == MAX_ACKS


@pytest.mark.parametrize("octets", [b"", b"\x80", b"\x81" + bytes(7), b"\x80" + bytes(6) + b"\x05abc", b"\x16\xfe"])
def test_what_is_no_frame_has_no_effect(octets: bytes) -> None:
    link = SimpleReliability(PEER)
    for _ in range(MAX_DROP_EVENTS + 5):
        link.receive_datagram(octets, PEER, 0.0)
    found = events(link)
    assert [type(event) for event in found] == [FrameDropped] * MAX_DROP_EVENTS
    assert (sent(link, 0.0), link.get_timer()) == ([], None)


def test_what_comes_from_elsewhere_has_no_effect() -> None:
    link = SimpleReliability(PEER)
    link.receive_datagram(encode_frame(DataFrame(0, b"a")), ("192.0.2.66", 6084), 0.0)
    assert [type(event) for event in events(link)] == [FrameDropped]
    assert sent(link, 0.0) == []


def test_a_connection_that_is_lost_below_ends_the_link() -> None:
    link = SimpleReliability(PEER)
    link.send_message(b"a", 0.0)
    link.connection_lost("TLS alert")
    link.connection_lost("TLS alert")
    assert events(link) == [LinkClosed("TLS alert")]


def _send(link: SimpleReliability) -> None:
    link.send_message(b"a", 0.0)
    sent(link, 0.0)


def _send_again(link: SimpleReliability) -> None:
    _send(link)
    link.handle_timer(0.5)


def _pause(link: SimpleReliability) -> None:
    _send(link)
    link.send_message(b"c", 0.0)
    receive(link, AckFrame(0, 0), 0.6)


def _fail(link: SimpleReliability) -> None:
    _send(link)
    for time in (0.5, 1.5, 3.5):
        link.handle_timer(time)
        sent(link, time)


STATES: dict[str, Callable[[SimpleReliability], object]] = {
    "idle": lambda link: None,
    "waiting": lambda link: link.send_message(b"a", 0.0),
    "in flight": _send,
    "to be sent again": _send_again,
    "pausing": _pause,
    "failing": _fail,
    "closed": lambda link: link.connection_lost("over"),
}
INPUTS: dict[str, Callable[[SimpleReliability], object]] = {
    "message": lambda link: link.send_message(b"b", 0.6),
    "data": lambda link: receive(link, DataFrame(0, b"x"), 0.6),
    "ack": lambda link: receive(link, AckFrame(0, 0), 0.6),
    "ack of nothing": lambda link: receive(link, AckFrame(99, 0), 0.6),
    "rubbish": lambda link: link.receive_datagram(b"rubbish", PEER, 0.6),
    "timer": lambda link: link.handle_timer(0.6),
    "early timer": lambda link: link.handle_timer(-1.0),
    "lost": lambda link: link.connection_lost("lost"),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("given_input", INPUTS)
def test_each_input_in_each_state_leaves_a_link_that_ends(state: str, given_input: str) -> None:
    link = SimpleReliability(PEER)
    STATES[state](link)
    events(link)
    if (state, given_input) == ("closed", "message"):
        with pytest.raises(StateError):
            INPUTS[given_input](link)
    else:
        INPUTS[given_input](link)
    if state == "closed":
        assert (events(link), sent(link, 0.6), link.get_timer()) == ([], [], None)
    # Whatever it was, a peer that says nothing is given up in the end, and no more than that is sent.
    assert sum(isinstance(frame, DataFrame) for _, frame in run_out(link)) <= 10
    assert link.get_timer() is None


@given(st.lists(st.tuples(st.sampled_from("rstda"), st.binary(max_size=12), st.floats(0, 20)), max_size=60))
def test_any_octets_at_any_time_raise_nothing(inputs: list[tuple[str, bytes, float]]) -> None:
    link = SimpleReliability(PEER)
    now = 0.0
    for kind, octets, after in inputs:
        now += after
        match kind:
            case "r":
                link.receive_datagram(octets, PEER, now)
            case "s" if not link.is_closed:
                link.send_message(octets, now)
            case "t":
                link.handle_timer(now)
            case "d":
                receive(link, DataFrame(len(octets), octets), now)
            case "a":
                receive(link, AckFrame(len(octets), 0), now)
        sent(link, now)
    run_out(link)
