"""What uvicorn leaves without limit: the wait for a request and for its answer to be read, and header fields.

It leaves the Host field to others, too.
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


class LimitedHttpProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 with an end to its patience: who goes beyond the limits above is hung up on."""

    max_request = 2 * 2**20
    """Octets of a request with all that frames it: twice what `interop.asgi` reads of a body."""
    _head_timer: asyncio.TimerHandle | None = None
    """Runs while a head is awaited."""
    _write_timer: asyncio.TimerHandle | None = None
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
        self._await_no_head()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._write_timer = self.loop.call_later(WRITE_TIMEOUT, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._octets += len(data)
        super().data_received(data)
        limit = self.max_request if self._is_in_body or self._head_timer is None else MAX_HEAD
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
        self._await_no_head()
        self._is_in_body = True
        self._check_host()
        super().on_headers_complete()

    def _check_host(self) -> None:
        """RFC 9112 section 3.2: to any other number of Host fields than one, "A server MUST respond with a 400"."""
        hosts = [value for name, value in self.headers if name == b"host"]
        is_needed = self.parser.get_http_version() == "1.1"
        if len(hosts) > 1 or (is_needed and not hosts) or (hosts and _HOST.fullmatch(hosts[0]) is None):
            raise ValueError("not one Host field")  # to the parser, which takes it for a malformed request

    def on_message_complete(self) -> None:
        self._octets = 0
        self._is_in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._await_head()

    def _await_head(self) -> None:
        self._await_no_head()
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self.transport.abort)

    def _await_no_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
