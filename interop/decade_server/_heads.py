"""Heads of requests, as a server of ASGI has read them, and what was made of each: the same ones come again."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, TypeAlias

from decade.http import Headers, Request, Response
from interop._asgi_parts import Message, Scope, encoded

MAX_HEADS = 1024
"""Those that came first go first: 16 KiB each at most, as `interop._http_limits` has it."""
Head: TypeAlias = tuple[Any, ...]
"""All of a scope that a request is made of; or the octets, the host of the client and the scheme."""
HEAD = "decade.head"
"""In a scope: the octets of a request that is nothing else than its head, from an HTTP server that remembers them."""


class Asked:
    """A request, and where one with this head comes from; the port may be another one."""

    __slots__ = ("_fields", "_headers", "_octets", "_rendered", "_start", "_told", "head", "peer", "request")

    def __init__(self, request: Request, peer: tuple[str, int] | None) -> None:
        self.request = request
        self.peer = peer
        self.head: Headers | None = None
        """The header of the answer instead of which a web server in front was told to send the object."""
        self._told: Response | None = None
        self._headers: Headers | None = None
        self._start: Message = {}
        self._rendered: Headers | None = None
        self._fields: list[tuple[bytes, bytes]] | None = None
        self._octets = b""

    def tell(self, answer: Response, told: Response) -> None:
        """A web server in front was told this instead of an answer."""
        self.head, self._told = answer.headers, told

    def start(self, answer: Response) -> Message:
        """The begin of an answer like the last one, which mostly has the same header."""
        if self._headers is not answer.headers:
            self._headers = answer.headers
            said = self._told or answer
            self._start = {"type": "http.response.start", "status": said.status, "headers": encoded(said.headers)}
        return self._start

    def octets(self, answer: Response, fields: list[tuple[bytes, bytes]]) -> bytes:
        """The same by HTTP/1.1, behind `fields`, which mostly are those of before."""
        if self._rendered is not answer.headers or self._fields is not fields:
            start = self.start(answer)
            self._rendered, self._fields = answer.headers, fields
            status = HTTPStatus(start["status"])
            lines = [name + b": " + value for name, value in (*fields, *start["headers"])]
            self._octets = b"\r\n".join((b"HTTP/1.1 %d %b" % (status, status.phrase.encode()), *lines, b"", b""))
        return self._octets


class Heads:
    """What was asked last by GET, without a query."""

    def __init__(self) -> None:
        self._asked: dict[Head, Asked] = {}

    def key(self, scope: Scope) -> Head | None:
        """What tells the head of a request from others; None for one that is not remembered."""
        if scope["method"] != "GET" or scope.get("query_string"):
            return None
        client = scope.get("client")
        host = None if client is None else client[0]
        octets = scope.get(HEAD)
        if octets is not None:
            return octets, host, scope["scheme"]
        return scope.get("raw_path") or scope["path"], host, scope.get("scheme"), *scope["headers"]

    def get(self, head: Head | None) -> Asked | None:
        """What was made of it, if it was not forgotten."""
        return self._asked.get(head) if head is not None else None

    def add(self, head: Head, asked: Asked) -> None:
        """A request was made of a head."""
        self._asked.pop(head, None)
        if len(self._asked) >= MAX_HEADS:
            del self._asked[next(iter(self._asked))]
        self._asked[head] = asked
