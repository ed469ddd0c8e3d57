"""The logs of an account as messages: who has read what, and where it went (RFC 7069 section 6.2.2)."""

from __future__ import annotations

import base64
import binascii
from functools import partial
from urllib.parse import parse_qsl

import attrs

from decade.errors import DecodeError
from decade.journal import (
    MAX_TOKENS_SEEN,
    Journal,
    Key,
    Reads,
    Sent,
    hash_of_token,
    one_read,
    read_key,
    write_key,
)
from decade.messages import Accessed, AccessLog, DistributionLog, SentToClient, SentToServer, TimeFrame, TokenSeen
from decade.names import Name
from decade.waiting import Clock, Steps

LOG_PAGE = 512
"""Entries of a page with 100 octets each: a message has 64 KiB at most."""
SERVER_PAGE = 24
"""Servers of a page: the identifier of one may have 2,048 octets."""
_SERVERS, _CLIENTS = b"s", b"c"
_MAX_DIGITS = 15


@attrs.frozen
class Query:
    """What is asked of a log: from when, to when, and behind which entry; None for all."""

    start: int | None = None
    end: int | None = None
    cursor: bytes = b""


def read_query(text: str) -> Query:
    """The query of a URI, such as "from=1800000000&to=1800003600&cursor=AAAA". Raises DecodeError."""
    try:
        fields = dict(parse_qsl(text, strict_parsing=bool(text), max_num_fields=8, errors="strict"))
        cursor = fields.get("cursor", "")
        octets = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise DecodeError(f"no query of a log: {exc}"[:100]) from exc
    start, end = _read_time(fields.get("from")), _read_time(fields.get("to"))
    if start is not None and end is not None and start > end:
        raise DecodeError("a time frame that ends before it starts")
    return Query(start, end, octets)


def _read_time(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise DecodeError(f"{text!r:.40} is no time")
    return int(text)


class Logs:
    """What a server keeps of reads and transfers, and for how long."""

    def __init__(self, journal: Journal, retention: int) -> None:
        """`retention`: seconds."""
        self._journal = journal
        self._retention = retention

    def add_read(self, account: str, name: Name, cti: bytes | None, octets: int, wall: int) -> None:
        """An object was read, or a part of it; `cti` is None if that needed no token."""
        self._journal.add_read(account, one_read(name, hash_of_token(cti), octets, wall))

    def add_sent(self, account: str, name: Name, server: str, wall: int) -> None:
        """An object went to a server."""
        self._journal.add_sent(account, Sent(wall, name, server))

    def forget(self, wall: int) -> None:
        """Forget what is older than it may be."""
        self._journal.forget(wall - self._retention)

    def seen(self, account: str, name: Name, wall: int, clock: Clock) -> Steps[tuple[TokenSeen, ...]]:
        """The tokens that have read an object, the last first. Raises StoreError."""
        ask = partial(self._journal.seen, account, name, wall - self._retention, MAX_TOKENS_SEEN)
        found = yield from clock.wait(self._journal.waits, ask)
        return tuple(TokenSeen(token=seen.token, reads=seen.reads) for seen in found)

    def access(self, account: str, query: Query, wall: int, clock: Clock) -> Steps[AccessLog]:
        """A page of who has read what. Raises DecodeError for a cursor that is none, StoreError."""
        after = read_key(query.cursor) if query.cursor else None
        frame = yield from self._frame(account, query, wall, clock)
        entries, following = yield from self._reads(account, frame, after, clock)
        cursor = None if following is None else write_key(following)
        return AccessLog(frame=frame, entries=tuple(map(_accessed, entries)), cursor=cursor)

    def distribution(self, account: str, query: Query, wall: int, clock: Clock) -> Steps[DistributionLog]:
        """A page of where objects went: first servers, then clients. Raises as `access`."""
        kind, key = query.cursor[:1], query.cursor[1:]
        if kind not in (b"", _SERVERS, _CLIENTS):
            raise DecodeError("this cursor was not given by the log")
        after = read_key(key) if key else None
        frame = yield from self._frame(account, query, wall, clock)
        if kind != _CLIENTS:
            ask = partial(self._journal.sent, account, _span(frame), after, SERVER_PAGE)
            sent = yield from clock.wait(self._journal.waits, ask)
            behind = _CLIENTS if len(sent) < SERVER_PAGE else _SERVERS + write_key(sent[-1].key)
            servers = tuple(SentToServer(name=one.name, server=one.server, time=one.time) for one in sent)
            return DistributionLog(frame=frame, servers=servers, clients=(), cursor=behind)
        entries, following = yield from self._reads(account, frame, after, clock)
        clients = tuple(SentToClient(name=one.name, client=_client(one), time=one.last) for one in entries)
        cursor = None if following is None else _CLIENTS + write_key(following)
        return DistributionLog(frame=frame, servers=(), clients=clients, cursor=cursor)

    def _frame(self, account: str, query: Query, wall: int, clock: Clock) -> Steps[TimeFrame]:
        """The part of the time that is asked for of which the log has everything."""
        whole_from = yield from clock.wait(self._journal.waits, partial(self._journal.whole_from, account))
        start = max(query.start or 0, whole_from, wall - self._retention, 0)
        end = wall if query.end is None else min(query.end, wall)
        return TimeFrame(start=start, end=max(start, end))

    def _reads(
        self, account: str, frame: TimeFrame, after: Key | None, clock: Clock
    ) -> Steps[tuple[list[Reads], Key | None]]:
        ask = partial(self._journal.reads, account, _span(frame), after, LOG_PAGE + 1)
        found = yield from clock.wait(self._journal.waits, ask)
        page = list(found[:LOG_PAGE])
        return page, page[-1].key if len(found) > LOG_PAGE else None


def _span(frame: TimeFrame) -> tuple[int, int]:
    return frame.start, frame.end


def _accessed(entry: Reads) -> Accessed:
    return Accessed(name=entry.name, token=entry.token, reads=entry.reads, octets=entry.octets, last_read=entry.last)


def _client(entry: Reads) -> str:
    """Who a client is, is not known here: whoever was given this token."""
    return f"cti:{entry.token.hex()}" if entry.token else "anybody"
