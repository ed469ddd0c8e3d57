"""The HTTP request and response as values: what the tracker and its client say to whatever carries HTTP."""

from attrs import frozen


def _first(headers: tuple[tuple[str, str], ...], name: str) -> str | None:
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)


@frozen
class Request:
    """An HTTP request with its whole body."""

    method: str
    target: str
    """A path with its query for a server; the absolute URI of the tracker in what a client sends."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of the header `name`, in whatever case; None when there is none."""
        return _first(self.headers, name)


@frozen
class Response:
    """An HTTP response with its whole body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of the header `name`, in whatever case; None when there is none."""
        return _first(self.headers, name)
