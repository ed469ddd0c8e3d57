"""Heads of requests, as a server of ASGI has read them, and what was made of each: the same ones come again."""

from __future__ import annotations

from typing import Any, TypeAlias

from decade.http import Request
from interop._asgi_parts import Scope

MAX_HEADS = 1024
"""Those that came first go first: 16 KiB each at most, as `interop._http_limits` has it."""
Head: TypeAlias = tuple[Any, ...]
"""All of a scope that a request is made of."""
Asked: TypeAlias = tuple[Request, tuple[str, int] | None]
"""A request, and where one with this head comes from; the port may be another one."""


class Heads:
    """The requests that were asked for objects and have a token."""

    def __init__(self) -> None:
        self._asked: dict[Head, Asked] = {}

    def key(self, scope: Scope) -> Head | None:
        """What tells the head of a request from others; None for one that is not remembered."""
        if scope["method"] != "GET" or scope["query_string"]:
            return None
        client = scope["client"]
        host = None if client is None else client[0]
        return scope.get("raw_path") or scope["path"], host, scope["scheme"], *scope["headers"]

    def get(self, head: Head | None) -> Asked | None:
        """What was made of it, if it was not forgotten."""
        return self._asked.get(head) if head is not None else None

    def add(self, head: Head, request: Request, peer: tuple[str, int] | None) -> None:
        """A request was made of a head."""
        if len(self._asked) >= MAX_HEADS:
            del self._asked[next(iter(self._asked))]
        self._asked[head] = request, peer
