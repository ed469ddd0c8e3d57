"""Server-sent events: `text/event-stream` written and read (WHATWG HTML section 9.2, RFC 8895 sections 3.4 and 9.5)."""

import re
from collections import deque
from collections.abc import Iterator

from attrs import frozen

from alto.errors import ConfigurationError

MAX_LINE = 4096
"""Octets of a line of JSON that is written, where its strings allow that: readers often hold a line at a time."""
PIECE = 2**17
"""Octets of an event that are made at a time: a millisecond or two in which nobody else is served."""
MAX_EVENT = 64 * 2**20
"""Octets of an event that is read. RFC 8895 section 9.5 speaks of tens of megabytes for a full cost map."""
MAX_NAME = 4096
"""Octets of the name of an event that are kept: a media type and an ID."""
COMMENT = b":\n\n"
"""Nothing, to keep a connection alive (RFC 8895 section 6.8)."""

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|,', re.DOTALL)


@frozen
class ServerSentEvent:
    """One event. `data` is not decoded: JSON says itself whether its octets are UTF-8."""

    event: str
    """What kind of event it is; empty where the stream does not say."""
    data: bytes
    """The data lines, joined by LF."""
    id: str | None = None
    """The `id` field of this event, which update streams do not use (RFC 8895 section 5.1)."""


@frozen
class EventTooLong:
    """The stream has an event of more octets than are kept; nothing of what follows is read."""

    limit: int


class EventStreamReader:
    """Reads an event stream that comes in pieces of any size. It holds one event, and those not yet fetched."""

    def __init__(self, *, max_event: int = MAX_EVENT) -> None:
        self._max_event = max_event
        self._events: deque[ServerSentEvent | EventTooLong] = deque()
        self._start: bytes | None = b""  # what may be a byte order mark; None once that is known
        self._skips_lf = False  # a CR ended the last piece: a LF that comes first belongs to it
        self._is_dead = False
        self._line = bytearray()
        self._forget()

    def _forget(self) -> None:
        self._name = ""
        self._id: str | None = None
        self._data = bytearray()
        self._has_data = False

    def receive_data(self, data: bytes, now: float) -> None:
        """Octets of the stream. Never raises because of what they are."""
        if self._is_dead or not data:
            return
        if self._start is not None:
            data = self._start + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._start = data
                return
            self._start = None
            data = data.removeprefix(_BOM)
        if self._skips_lf and data:
            self._skips_lf = False
            data = data.removeprefix(b"\n")
        if data.endswith(b"\r"):
            self._skips_lf = True
        *lines, rest = _LINE_END.split(data)
        for line in lines:
            if self._line:
                self._line += line
                line = bytes(self._line)
                self._line.clear()
            if not self._read(line):
                return
        self._line += rest
        self._fits()

    def receive_eof(self, now: float) -> None:
        """The stream has ended; an event without its blank line is none."""
        self._is_dead = True
        self._line.clear()
        self._forget()

    def next_event(self) -> ServerSentEvent | EventTooLong | None:
        """The next event, each once; None when there is none yet."""
        return self._events.popleft() if self._events else None

    def _read(self, line: bytes) -> bool:
        """Take a line; False where the reading ends with it."""
        if not line:
            if self._has_data:
                self._events.append(ServerSentEvent(self._name, bytes(self._data), self._id))
            self._forget()
            return True
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            if self._has_data:
                self._data += b"\n"
            self._data += value
            self._has_data = True
        elif name == b"event":
            self._name = value[:MAX_NAME].decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value[:MAX_NAME].decode("utf-8", "replace")
        return self._fits()

    def _fits(self) -> bool:
        if len(self._data) + len(self._line) <= self._max_event:
            return True
        self._is_dead = True
        self._events.append(EventTooLong(self._max_event))
        self._line.clear()
        self._forget()
        return False


def encode_event(event: str, data: bytes) -> bytes:
    """One event. Each line of `data`, whatever ends it, becomes one of the stream. Raises ConfigurationError."""
    return encode_name(event) + encode_data(data)


def encode_name(event: str) -> bytes:
    """The line that begins an event. Raises ConfigurationError for a name of more than one line."""
    if "\n" in event or "\r" in event:
        raise ConfigurationError(f"the name of an event is one line: {event!r:.200}")
    return f"event: {event}\n".encode()


def encode_data(data: bytes) -> bytes:
    """The lines that complete an event."""
    return b"data: " + _LINE_END.sub(b"\ndata: ", data) + b"\n\n"


class JsonLines:
    """The lines that complete an event of a JSON text, or of a message of several, in lines of about `width` octets.

    A reader joins them by LF, which means nothing between two tokens and would change a string (RFC 8895 section 9.5):
    lines end behind a comma that is in no string, also where that makes one longer than `width`.

    Iterating gives pieces of some PIECE octets. They are made when they are first asked for, as all of a large map at
    once would take long, and kept for whoever asks next.
    """

    def __init__(self, text: bytes, *, width: int = MAX_LINE) -> None:
        self.octets = len(text)
        """Of the text; the lines have a few more."""
        self._pieces: list[bytes] = []
        self._lines: Iterator[bytes] | None = _lines(text, width)

    def __iter__(self) -> Iterator[bytes]:
        at = 0
        while at < len(self._pieces) or self._make():
            yield self._pieces[at]
            at += 1

    def _make(self) -> bool:
        """Make the next piece; False where there is none."""
        if self._lines is None:
            return False
        made: list[bytes] = []
        octets = 0
        for line in self._lines:
            made += (b"data: ", line, b"\n")
            octets += len(line)
            if octets >= PIECE:
                break
        else:
            self._lines = None
            made.append(b"\n")
        self._pieces.append(b"".join(made))
        return True


def encode_json(text: bytes, *, width: int = MAX_LINE) -> bytes:
    """All of JsonLines."""
    return b"".join(JsonLines(text, width=width))


def _lines(text: bytes, width: int) -> Iterator[bytes]:
    # Most texts are one line, which is found out fast.
    for line in _LINE_END.split(text) if b"\n" in text or b"\r" in text else (text,):
        start = 0
        while len(line) - start > width:
            end = _break(line, start, width)
            yield line[start:end]
            start = end
        yield line[start:]


def _break(text: bytes, start: int, width: int) -> int:
    """Where the line that begins at `start`, outside strings, is to end."""
    window = text[start : start + width]
    if b"\\" not in window:
        comma = window.rfind(b",")
        while comma >= 0:
            if window.count(b'"', 0, comma) % 2 == 0:
                return start + comma + 1
            begin = window.rfind(b'"', 0, comma)  # of the string that it is in
            comma = window.rfind(b",", 0, begin)
    found = len(text)
    for token in _TOKEN.finditer(text, start):
        if text[token.start()] != ord(","):
            continue
        if token.end() - start > width:
            return token.end() if found == len(text) else found
        found = token.end()
    return found
