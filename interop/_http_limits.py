"""What uvicorn leaves without limit: the wait for a request and for its answer to be read, and header fields.

It leaves the Host field to others, too, and what a target in absolute form says of the host.
"""

import asyncio
import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT = 10.0
"""Seconds from opening a connection, or from the last answer, to the end of the next request's head."""
WRITE_TIMEOUT = 30.0
"""Seconds in which who gets an answer has to read so much of it that more can be written."""
MAX_HEAD = 16 * 2**10
"""Octets of the head of a request, or of its header fields and trailers: a long bearer token has 4 KiB."""

_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]*|\[[0-9A-Fa-fv:.]+\])(?::[0-9]*)?")

_ABSOLUTE = re.compile(rb"https?://(?P<authority>[^/?#]*)(?P<path>.*)", re.IGNORECASE | re.DOTALL)


class LimitedHttpProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 with an end to its patience: who goes beyond the limits above is hung up on."""

    max_request = 2 * 2**20
    """Octets of a request with all that frames it: twice what `interop.asgi` reads of a body."""
    write_timeout: float | None = None
    """Another time than WRITE_TIMEOUT."""
    _head_by: float | None = None
    """When a head has to be there that is awaited."""
    _write_by: float | None = None
    """When what is to be sent has to have got on."""
    _timer: asyncio.TimerHandle | None = None
    """Runs until the first of both times at most, and may find later ones then: most requests are in time, and cost no
    timer."""
    _timer_at = 0.0
    _is_in_body = False
    """Whether the head of a request is whole, and its body is not: it may be answered by then."""
    _octets = 0
    """Of this request so far, or up to one read fewer where it came in one with the request before."""
    _fields = 0
    """Octets of its header fields and trailers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._head_by = self._write_by = None
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._write_by = self._watch(self.write_timeout or WRITE_TIMEOUT)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._write_by = None
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._octets += len(data)
        super().data_received(data)
        limit = self.max_request if self._is_in_body or self._head_by is None else MAX_HEAD
        if self._octets > limit or self._fields > MAX_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self._fields = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += len(name) + len(value)
        if self._fields <= MAX_HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_by = None
        self._is_in_body = True
        self._check_host()
        self._take_authority()
        super().on_headers_complete()

    def _check_host(self) -> None:
        """RFC 9112 section 3.2: to any other number of Host fields than one, "A server MUST respond with a 400"."""
        hosts = [value for name, value in self.headers if name == b"host"]
        is_needed = self.parser.get_http_version() == "1.1"
        if len(hosts) > 1 or (is_needed and not hosts) or (hosts and _HOST.fullmatch(hosts[0]) is None):
            raise ValueError("not one Host field")  # to the parser, which takes it for a malformed request

    def _take_authority(self) -> None:
        """RFC 9112 section 3.2.2: of a target in absolute form the host counts, and "MUST ignore the received Host"."""
        found = _ABSOLUTE.fullmatch(self.url)
        if found is None:
            return
        authority = found["authority"]
        if not authority or _HOST.fullmatch(authority) is None:
            raise ValueError("no host in the target")
        self.headers[:] = [(b"host", authority), *(pair for pair in self.headers if pair[0] != b"host")]
        # The parser of URLs has no path where there is none, and "/" is meant.
        self.url = found["path"] if found["path"].startswith(b"/") else b"/" + found["path"]

    def on_message_complete(self) -> None:
        self._octets = 0
        self._is_in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._await_head()

    def _await_head(self) -> None:
        self._head_by = self._watch(HEAD_TIMEOUT)

    def _watch(self, seconds: float) -> float:
        """See to it that the times are looked at then, and say when that is."""
        at = self.loop.time() + seconds
        if self._timer is None or at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_at = self.loop.call_at(at, self._look), at
        return at

    def _look(self) -> None:
        self._timer = None
        first = min((at for at in (self._head_by, self._write_by) if at is not None), default=None)
        if first is None:
            return
        left = first - self.loop.time()
        if left > 0:
            self._watch(left)
        else:
            self.transport.abort()
