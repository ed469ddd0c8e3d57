"""What the answer of a remote server means for a transfer, by its status and header alone (PROFILE.md section 11).

The remote server is believed in nothing: it may be any HTTP server, or somebody who wishes us ill.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import attrs

from decade.errors import ErrorCode
from decade.http import Response

MAX_WAIT = 600.0
"""Seconds that a remote server may make us wait at most: whoever asks for more is asked again then."""
_MAX_DIGITS = 19
_READ_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WRITE_REDIRECTS = frozenset({307, 308})
_BUSY = frozenset({429, 500, 502, 503, 504})
_CHANGED = frozenset({412, 416})
_HELD = frozenset({201, 204})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{0,128}"')


@attrs.frozen
class Redirect:
    """It is elsewhere. `location`: as it came."""

    location: str | None


@attrs.frozen
class Busy:
    """Later, and if it is known, in so many seconds."""

    seconds: float | None


@attrs.frozen
class Body:
    """The object comes, from an offset on. `size`: of the whole. `etag`: what a later part must match."""

    size: int
    offset: int
    etag: str | None


@attrs.frozen
class Changed:
    """What came so far is of no use: begin again."""


@attrs.frozen
class Held:
    """The remote server has the object."""


@attrs.frozen
class Missing:
    """It has not said that it has the object: send it."""


@attrs.frozen
class Refused:
    """It will not do it, whenever it is asked."""

    code: ErrorCode


Verdict: TypeAlias = Redirect | Busy | Body | Changed | Held | Missing | Refused


def judge_get(answer: Response, received: int, size: int | None) -> Verdict:
    """The answer to a GET. `received`: octets that are here, `size`: what was announced before, None for nothing."""
    status = answer.status
    if status in _READ_REDIRECTS:
        return Redirect(answer.header("Location"))
    if status in _BUSY:
        return Busy(_retry_after(answer))
    if status in _CHANGED and received:
        return Changed()
    if status not in (200, 206):
        return Refused(ErrorCode.REMOTE_REFUSED)
    if (answer.header("Content-Encoding") or "identity").strip().lower() != "identity":
        return Refused(ErrorCode.REMOTE_MISMATCH)
    body = _part(answer) if status == 206 else _whole(answer)
    if body is None or body.offset > received:
        return Refused(ErrorCode.REMOTE_REFUSED)
    if size is not None and body.size != size:
        return Refused(ErrorCode.REMOTE_MISMATCH)
    return body


def judge_head(answer: Response) -> Verdict:
    """The answer to the HEAD before a PUT. A token for PUT alone cannot ask: that is no reason not to store."""
    status = answer.status
    if status in _READ_REDIRECTS:
        return Redirect(answer.header("Location"))
    if status in _BUSY:
        return Busy(_retry_after(answer))
    return Held() if status == 200 else Missing()


def judge_put(answer: Response) -> Verdict:
    """The answer to a PUT."""
    status = answer.status
    if status in _WRITE_REDIRECTS:
        return Redirect(answer.header("Location"))
    if status in _BUSY:
        return Busy(_retry_after(answer))
    # 200 (OK) is what servers say that know nothing of this profile.
    if status in _HELD or status == 200:
        return Held()
    return Refused(ErrorCode.REMOTE_REFUSED)


def _whole(answer: Response) -> Body | None:
    size = _number(answer.header("Content-Length"))
    return None if size is None else Body(size, 0, _etag(answer))


def _part(answer: Response) -> Body | None:
    """To the end: nobody has asked for less."""
    found = _CONTENT_RANGE.fullmatch((answer.header("Content-Range") or "").strip())
    if found is None:
        return None
    first, last, size = map(int, found.groups())
    length = _number(answer.header("Content-Length"))
    is_sound = first <= last == size - 1 and length in (None, size - first)
    return Body(size, first, _etag(answer)) if is_sound else None


def _number(field: str | None) -> int | None:
    text = (field or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else None


def _etag(answer: Response) -> str | None:
    field = (answer.header("ETag") or "").strip()
    return field if _STRONG_TAG.fullmatch(field) else None


def _retry_after(answer: Response) -> float | None:
    """In seconds; a date is as good as nothing, for the clocks are not the same."""
    seconds = _number(answer.header("Retry-After"))
    return None if seconds is None else min(float(seconds), MAX_WAIT)
