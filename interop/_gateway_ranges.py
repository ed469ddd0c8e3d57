"""Which octets a request asks for, and on which condition (RFC 9110 sections 13 and 14)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import attrs
from werkzeug.http import parse_etags

MAX_RANGES = 16
"""Ranges of one request: section 14.2 lets a server refuse many small ones, which cost it more than they bring."""

_RANGE = re.compile(r"(?:([0-9]{1,40})-([0-9]{0,40})|-([0-9]{1,40}))")
"""The digits are limited since Python's conversion is."""

Span: TypeAlias = tuple[int, int]
"""The first octet, and the one behind the last."""


@attrs.frozen
class Selection:
    """What to answer: the status, and the octets of the body in ascending order."""

    status: int
    spans: tuple[Span, ...] = ()


def is_fresh(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the client has the content already: If-None-Match, compared weakly (section 13.1.2)."""
    value = headers.get("if-none-match")
    return value is not None and bool(parse_etags(value).contains_weak(etag))


def is_refused(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the client wants other content than this: If-Match, compared strongly (section 13.1.1)."""
    value = headers.get("if-match")
    return value is not None and etag not in parse_etags(value)


def select(method: str, headers: Mapping[str, str], etag: str, size: int) -> Selection:
    """The octets of content of `size` octets that a request asks for; `etag` is its strong entity tag, unquoted."""
    whole = Selection(200, ((0, size),))
    value = headers.get("range")
    # Only GET has ranges (section 14.2). There is no Last-Modified, so no date in If-Range is that of the content.
    if method != "GET" or value is None or headers.get("if-range", f'"{etag}"').strip() != f'"{etag}"':
        return whole
    found = _ranges(value, size)
    if found is None:
        return whole
    if len(found) > MAX_RANGES:
        return Selection(416)
    spans = _merged(found)
    return Selection(206, spans) if spans else Selection(416)


def _ranges(value: str, size: int) -> list[Span] | None:
    """The ranges of the content that a Range field names, empty where it has none; None for no field of octets.

    In any order (section 14.2: "SHOULD list those ranges in ascending order", and need not), the list with empty
    elements as section 5.6.1 has it.
    """
    unit, _, listed = value.partition("=")
    items = [item.strip(" \t") for item in listed.split(",") if item.strip(" \t")]
    if unit.strip(" \t").lower() != "bytes" or not items:
        return None
    found = []
    for item in items:
        match = _RANGE.fullmatch(item)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if suffix is not None:
            found.append((max(0, size - int(suffix)), size))
        elif last and int(last) < int(first):
            return None
        else:
            found.append((int(first), min(int(last) + 1, size) if last else size))
    return found


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Those that are not empty, ascending, those that overlap or touch as one."""
    merged: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


class Multipart:
    """The framing of multipart/byteranges (section 14.6)."""

    def __init__(self, spans: Sequence[Span], content_type: str, size: int) -> None:
        self._boundary = secrets.token_hex(16)
        self._heads = [
            f"\r\n--{self._boundary}\r\nContent-Type: {content_type}\r\n"
            f"Content-Range: {content_range(span, size)}\r\n\r\n".encode()
            for span in spans
        ]
        self.tail = f"\r\n--{self._boundary}--\r\n".encode()
        self.length = sum(len(head) for head in self._heads) + sum(b - a for a, b in spans) + len(self.tail)
        self.content_type = f"multipart/byteranges; boundary={self._boundary}"

    def head(self, number: int) -> bytes:
        """What comes before a part's octets."""
        return self._heads[number]


def content_range(span: Span, size: int) -> str:
    """The field value for these octets (section 14.4)."""
    return f"bytes {span[0]}-{span[1] - 1}/{size}"
