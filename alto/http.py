"""HTTP as values: what a server is asked, what it answers, and the answers that go on (RFC 7285 section 8.3)."""

from typing import Protocol, TypeAlias

from attrs import frozen

Headers: TypeAlias = tuple[tuple[str, str], ...]


def _first(headers: Headers, name: str) -> str | None:
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)


@frozen
class Request:
    """An HTTP request with its whole body."""

    method: str
    target: str
    """A path with its query for a server; the absolute URI in what a client sends."""
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of the header `name`, in whatever case; None when there is none."""
        return _first(self.headers, name)


@frozen
class Response:
    """An HTTP response with its whole body."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of the header `name`, in whatever case; None when there is none."""
        return _first(self.headers, name)


class Stream(Protocol):
    """A response whose body goes on after its head, such as an update stream (RFC 8895)."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def is_finished(self) -> bool:
        """Nothing more will come once `data_to_send` has been emptied."""

    def data_to_send(self, now: float) -> bytes:
        """What is to be written next; empty when there is nothing yet."""

    def disconnect(self, now: float) -> None:
        """The client is gone; harmless when repeated."""


class Pending(Protocol):
    """A response that is not there yet, such as a long poll (RFC 9569)."""

    @property
    def response(self) -> Response | None: ...
    def disconnect(self, now: float) -> None:
        """The client is gone; harmless when repeated."""


Answer: TypeAlias = Response | Stream | Pending
