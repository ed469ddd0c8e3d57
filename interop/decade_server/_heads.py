"""Heads of requests, as a server of ASGI has read them, and what was made of each: the same ones come again."""

from __future__ import annotations

from typing import Any, TypeAlias

from decade.http import Headers, Request, Response
from interop._asgi_parts import Message, Scope, encoded

MAX_HEADS = 1024
"""Those that came first go first: 16 KiB each at most, as `interop._http_limits` has it."""
Head: TypeAlias = tuple[Any, ...]
"""All of a scope that a request is made of."""


class Asked:
    """A request, and where one with this head comes from; the port may be another one."""

    __slots__ = ("_headers", "_start", "_told", "head", "peer", "request")

    def __init__(self, request: Request, peer: tuple[str, int] | None) -> None:
        self.request = request
        self.peer = peer
        self.head: Headers | None = None
        """The header of the answer instead of which a web server in front was told to send the object."""
        self._told: Response | None = None
        self._headers: Headers | None = None
        self._start: Message = {}

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
