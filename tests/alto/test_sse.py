"""alto/sse.py: event streams written and read."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import sse
from alto.errors import ConfigurationError
from alto.sse import EventStreamReader, EventTooLong, JsonLines, ServerSentEvent, encode_data, encode_event, encode_json

lines = st.sampled_from(
    [b"data: a", b"data:b", b"data", b"data:", b"data:  c", b"event: e", b"event", b"id: 7", b"id: \0", b":x", b"", b"",
     b"retry: 1", b"datax: 1", "data: Zürich €".encode(), b"data: \xff\xfe", b" data: x", b"event:x,\xc3\xa9"]
)  # fmt: skip
streams = st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=20).map(
    lambda pairs: b"".join(line + end for line, end in pairs)
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab",\\\n\r: é', max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text('a",\\', max_size=6), inner, max_size=5),
    max_leaves=30,
)


def read(*pieces: bytes, max_event: int = sse.MAX_EVENT) -> list[Any]:
    reader = EventStreamReader(max_event=max_event)
    found: list[Any] = []
    for piece in pieces:
        reader.receive_data(piece, 0.0)
        while (event := reader.next_event()) is not None:
            found.append(event)
    return found


def slow_read(stream: bytes) -> list[ServerSentEvent]:
    """The algorithm of WHATWG HTML section 9.2.6, a line at a time and with no pieces."""
    found = []
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data, name, identity = b"", "", None
    for line in text.split(b"\n")[:-1]:
        if line == b"":
            if data:
                found.append(ServerSentEvent(name, data[:-1], identity))
            data, name, identity = b"", "", None
        elif not line.startswith(b":"):
            field, _, value = line.partition(b":")
            value = value[1:] if value.startswith(b" ") else value
            if field == b"data":
                data += value + b"\n"
            elif field == b"event":
                name = value.decode("utf-8", "replace")
            elif field == b"id" and b"\0" not in value:
                identity = value.decode("utf-8", "replace")
    return found


@given(streams, st.lists(st.integers(0, 300), max_size=8), st.booleans())
def test_any_pieces_of_a_stream_give_the_same_events(stream: bytes, cuts: list[int], has_mark: bool) -> None:
    stream = b"\xef\xbb\xbf" * has_mark + stream
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert read(*pieces) == slow_read(stream)
    assert read(*(bytes([octet]) for octet in stream)) == slow_read(stream)


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_octets_are_read_without_an_exception(pieces: list[bytes]) -> None:
    read(*pieces, max_event=20)


def test_pieces_that_end_inside_a_character_a_crlf_and_a_byte_order_mark() -> None:
    """Trap 13."""
    octets = "€".encode()
    pieces = [b"\xef\xbb", b"\xbfdata: " + octets[:1], octets[1:] + b"\r", b"\ndata: x\r", b"\n\r", b"\ndata: y\n\n"]
    assert read(*pieces) == [ServerSentEvent("", octets + b"\nx"), ServerSentEvent("", b"y")]


def test_the_sample_stream_of_figure_1_of_rfc_8895() -> None:
    stream = (
        b"event: start\nid: 1\ndata: hello there\n\nevent: middle\nid: 2\ndata: let's chat some more ...\n"
        b"data: and more and more and ...\n\nevent: end\nid: 3\ndata: goodbye\n\n"
    )
    assert read(stream) == [
        ServerSentEvent("start", b"hello there", "1"),
        ServerSentEvent("middle", b"let's chat some more ...\nand more and more and ...", "2"),
        ServerSentEvent("end", b"goodbye", "3"),
    ]


def test_comments_unknown_fields_and_an_event_that_is_cut_off_are_none() -> None:
    assert read(b":keep-alive\n\nretry: 5\nnonsense\n\nevent: x\n\ndata: unfinished\n") == []
    reader = EventStreamReader()
    reader.receive_data(b"data: unfinished\n", 0.0)
    reader.receive_eof(1.0)
    reader.receive_data(b"\n", 2.0)
    assert reader.next_event() is None


@pytest.mark.parametrize("stream", [b"data: 1\n" * 20, b":" + b"x" * 100, b"x" * 100, b"data: " + b"x" * 100 + b"\n\n"])
def test_an_event_beyond_the_limit_ends_the_reading(stream: bytes) -> None:
    assert read(b"data: a\n\n", stream, b"\n\ndata: b\n\n", max_event=10) == [
        ServerSentEvent("", b"a"),
        EventTooLong(10),
    ]


def test_a_long_name_is_cut() -> None:
    assert len(read(b"event: " + b"n" * 10_000 + b"\ndata: x\n\n")[0].event) == sse.MAX_NAME


@given(st.binary(max_size=60))
def test_data_of_any_lines_comes_back_with_lf_alone(data: bytes) -> None:
    """Trap 13: a multipart message arrives with bare LF."""
    expected = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert read(encode_event("name,id", data)) == [ServerSentEvent("name,id", expected)]


@given(values, st.integers(1, 60), st.booleans())
def test_json_is_broken_between_tokens_only(value: Any, width: int, is_plain: bool) -> None:
    """RFC 8895 section 9.5: line breaks must not change what is meant."""
    text = json.dumps(value, ensure_ascii=is_plain).encode()
    (event,) = read(encode_json(text, width=width))
    assert json.loads(event.data) == value
    assert event.data.replace(b"\n", b"") == text


@given(values, st.integers(1, 60))
def test_no_line_of_an_event_can_be_taken_for_another_field(value: Any, width: int) -> None:
    """RFC 8895 section 11: nothing in the message is a new line with "event: " or "data: "."""
    text = json.dumps({"a": [value, "event: x", "data: y", ",data: z"]}).encode()
    encoded = encode_json(text, width=width)
    assert all(line.startswith(b"data: ") for line in encoded[:-2].split(b"\n"))
    (event,) = read(encoded)
    assert not any(line.startswith((b"event: ", b"data: ")) for line in event.data.split(b"\n"))


def test_a_large_map_is_sent_in_lines_of_bounded_length() -> None:
    """RFC 8895 section 9.5, third paragraph."""
    tree = {f"PID{at}": {"ipv4": [f"10.{at % 256}.{n}.0/24" for n in range(20)]} for at in range(500)}
    text = json.dumps(tree, separators=(",", ":")).encode()
    encoded = encode_json(text)
    assert max(map(len, encoded.split(b"\n"))) <= sse.MAX_LINE + len(b"data: ")
    assert len(encoded.split(b"\n")) < 1.1 * len(text) / sse.MAX_LINE + 5
    assert json.loads(read(encoded)[0].data) == tree


def test_the_lines_of_a_large_map_are_made_a_piece_at_a_time_and_once_for_all_who_send_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = json.dumps({f"PID{at}": at for at in range(60_000)}).encode()
    breaks: list[int] = []
    real = sse._break
    monkeypatch.setattr(sse, "_break", lambda text, start, width: breaks.append(start) or real(text, start, width))  # type: ignore[func-returns-value]
    lines = JsonLines(text)
    one, other = iter(lines), iter(lines)
    first = next(one)
    assert 0 < len(breaks) < 40
    assert next(other) is first
    whole = first + b"".join(one)
    made = len(breaks)
    assert first + b"".join(other) == whole == b"".join(lines)
    assert len(breaks) == made
    assert lines.octets == len(text)
    (event,) = read(b"event: a\n" + whole)
    assert json.loads(event.data) == json.loads(text)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_white_space_that_ends_a_line_in_json_ends_one_of_the_stream(end: bytes) -> None:
    """RFC 8895 section 11: else what is behind it would be taken for a field."""
    encoded = encode_json(b'{"a":' + end + b"data: 1," + end + b"event: x}")
    assert encoded == b'data: {"a":\ndata: data: 1,\ndata: event: x}\n\n'


def test_a_string_longer_than_a_line_stays_whole() -> None:
    text = json.dumps(["a,b" * 3000, 'x,"y' * 3000, 1]).encode()
    (event,) = read(encode_json(text, width=100))
    assert event.data.count(b"\n") == 2
    assert json.loads(event.data) == json.loads(text)


def test_a_name_of_two_lines_is_refused() -> None:
    for name in ("a\nb", "a\rb"):
        with pytest.raises(ConfigurationError):
            encode_event(name, b"")


def test_data_without_lines_is_one_empty_line() -> None:
    assert encode_data(b"") == b"data: \n\n"
    assert read(b"data\n\n", sse.COMMENT) == [ServerSentEvent("", b"")]
