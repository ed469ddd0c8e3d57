"""The Framing Header over a stream (RFC 6940 section 6.6.5)."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload.errors import StateError
from reload.framed_stream import LINGER, MAX_UNACKNOWLEDGED, MAX_UNACKNOWLEDGED_OCTETS, FramedStream
from reload.framing import AckFrame, DataFrame, FramedMessage, decode_frame, encode_frame
from reload.link import LinkClosed, LinkEvent, LinkFailing, LinkRestored, MessageReceived

LIMIT = 5000


def sent(link: FramedStream, now: float = 0.0) -> list[FramedMessage]:
    return [decode_frame(octets) for octets in link.data_to_send(now)]


def receive(link: FramedStream, frame: FramedMessage, now: float = 0.0) -> None:
    link.receive_data(encode_frame(frame), now)


def events(link: FramedStream) -> list[LinkEvent]:
    return list(iter(link.next_event, None))


def test_each_message_is_a_frame_of_its_own_to_be_written_alone() -> None:
    link = FramedStream(max_message=LIMIT)
    for message in (b"a", b"b"):
        assert link.send_message(message, 0.0)
    assert link.data_to_send(0.0) == [encode_frame(DataFrame(0, b"a")), encode_frame(DataFrame(1, b"b"))]
    assert link.data_to_send(0.0) == []


def test_what_comes_is_acknowledged() -> None:
    link = FramedStream(max_message=LIMIT)
    for number, message in enumerate((b"a", b"b", b"a")):
        receive(link, DataFrame(number, message))
    assert events(link) == [MessageReceived(b"a"), MessageReceived(b"b"), MessageReceived(b"a")]
    assert sent(link) == [AckFrame(0, 0), AckFrame(1, 0b1), AckFrame(2, 0b11)]


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 50), min_size=1))
def test_frames_may_be_cut_anywhere(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode_frame(DataFrame(number, message)) for number, message in enumerate(messages))
    link = FramedStream(max_message=LIMIT)
    at = number = 0
    while at < len(stream):
        size = cuts[number % len(cuts)]
        link.receive_data(memoryview(stream)[at : at + size], 0.0)
        at, number = at + size, number + 1
    assert events(link) == [MessageReceived(message) for message in messages]
    assert sent(link) == [AckFrame(n, (1 << n) - 1) for n in range(len(messages))]


@pytest.mark.parametrize(
    "octets", [b"\x00", b"GET / HTTP/1.1", b"\x16\x03\x01", b"\x80" + bytes(4) + (LIMIT + 1).to_bytes(3, "big")]
)
def test_what_is_no_frame_or_too_long_closes_the_link(octets: bytes) -> None:
    link = FramedStream(max_message=LIMIT)
    receive(link, DataFrame(0, b"before"))
    link.send_message(b"a", 0.0)
    link.receive_data(octets, 0.0)
    link.receive_data(encode_frame(DataFrame(1, b"behind")), 0.0)
    received, closed = events(link)
    assert received == MessageReceived(b"before")
    assert isinstance(closed, LinkClosed)
    assert (link.data_to_send(0.0), link.get_timer()) == ([], None)


def test_the_end_of_the_stream_closes_the_link() -> None:
    link = FramedStream(max_message=LIMIT)
    link.receive_data(b"\x80\0\0", 0.0)
    link.receive_eof(0.0)
    link.connection_lost("again")
    assert [type(event) for event in events(link)] == [LinkClosed]
    with pytest.raises(StateError):
        link.send_message(b"a", 0.0)


def test_an_ack_that_is_overdue_makes_the_link_failing_and_after_30_s_closed() -> None:
    link = FramedStream(max_message=LIMIT)
    link.send_message(b"a", 0.0)
    link.send_message(b"b", 0.5)
    sent(link)
    assert link.get_timer() == 1.0
    link.handle_timer(0.9)
    assert events(link) == []
    link.handle_timer(1.0)
    assert events(link) == [LinkFailing()]
    assert sent(link, 1.0) == []
    assert link.get_timer() == 1.0 + LINGER
    link.handle_timer(1.0 + LINGER - 0.1)
    assert events(link) == []
    link.handle_timer(1.0 + LINGER)
    assert [type(event) for event in events(link)] == [LinkClosed]


def test_a_link_whose_acks_come_again_is_restored() -> None:
    link = FramedStream(max_message=LIMIT)
    link.send_message(b"a", 0.0)
    link.handle_timer(1.0)
    receive(link, AckFrame(0, 0), 5.0)
    assert events(link) == [LinkFailing(), LinkRestored()]
    assert link.get_timer() is None


def test_the_timeout_is_that_of_rfc_6298_with_a_second_at_least() -> None:
    link = FramedStream(max_message=LIMIT)
    assert link.rto == 1.0
    link.send_message(b"a", 0.0)
    receive(link, AckFrame(0, 0), 0.05)
    assert link.rto == 1.0
    link.send_message(b"a", 10.0)
    receive(link, AckFrame(1, 0), 14.0)
    assert link.rto > 4.0


def test_an_ack_tells_of_all_that_was_sent_before() -> None:
    link = FramedStream(max_message=LIMIT)
    for number in range(4):
        link.send_message(b"a", float(number) / 10)
    receive(link, AckFrame(2, 0), 0.35)
    assert link.get_timer() == 0.3 + link.rto
    for nothing in (2, 0, 77):
        receive(link, AckFrame(nothing, 0xFFFFFFFF), 0.4)
    assert link.get_timer() == 0.3 + link.rto
    assert events(link) == []


def test_what_the_peer_does_not_acknowledge_is_bounded() -> None:
    link = FramedStream(max_message=LIMIT)
    assert [link.send_message(b"", 0.0) for _ in range(MAX_UNACKNOWLEDGED + 1)][-2:] == [True, False]
    receive(link, AckFrame(0, 0), 0.1)
    assert link.send_message(b"", 0.0)
    link = FramedStream(max_message=LIMIT)
    half = bytes(MAX_UNACKNOWLEDGED_OCTETS // 2)
    assert [link.send_message(half, 0.0) for _ in range(3)] == [True, True, False]


STATES: dict[str, Callable[[FramedStream], object]] = {
    "idle": lambda link: None,
    "unacknowledged": lambda link: link.send_message(b"a", 0.0),
    "failing": lambda link: _fail(link),
    "in a frame": lambda link: link.receive_data(b"\x80\0\0", 0.0),
    "closed": lambda link: link.connection_lost("over"),
}


def _fail(link: FramedStream) -> None:
    link.send_message(b"a", 0.0)
    link.handle_timer(1.0)


INPUTS: dict[str, Callable[[FramedStream], object]] = {
    "message": lambda link: link.send_message(b"b", 2.0),
    "data": lambda link: receive(link, DataFrame(0, b"x"), 2.0),
    "ack": lambda link: receive(link, AckFrame(0, 0), 2.0),
    "rubbish": lambda link: link.receive_data(b"rubbish", 2.0),
    "end": lambda link: link.receive_eof(2.0),
    "timer": lambda link: link.handle_timer(2.0),
    "early timer": lambda link: link.handle_timer(-1.0),
    "lost": lambda link: link.connection_lost("lost"),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("given_input", INPUTS)
def test_each_input_in_each_state_leaves_a_link_that_ends(state: str, given_input: str) -> None:
    link = FramedStream(max_message=LIMIT)
    STATES[state](link)
    events(link)
    if (state, given_input) == ("closed", "message"):
        with pytest.raises(StateError):
            INPUTS[given_input](link)
    else:
        INPUTS[given_input](link)
    if state == "closed":
        assert (events(link), sent(link), link.get_timer()) == ([], [], None)
    for _ in range(2):
        if (timer := link.get_timer()) is not None:
            link.handle_timer(timer)
    assert link.get_timer() is None


@given(st.lists(st.tuples(st.binary(max_size=20), st.floats(0, 20)), max_size=40))
def test_any_octets_raise_nothing(parts: list[tuple[bytes, float]]) -> None:
    link = FramedStream(max_message=LIMIT)
    now = 0.0
    for octets, after in parts:
        now += after
        link.receive_data(b"\x80" + octets[:1] if len(octets) % 2 else octets, now)
        link.handle_timer(now)
        sent(link, now)
        events(link)
