"""Who has read what, and where it went: what an account may ask of its objects (RFC 7069 section 6.2.2).

"The server SHOULD be able to decide on time bounds for which this information is stored and specify the corresponding
time frame in the response." Reads are counted by hours, objects and tokens, and a token is a hash of its cti: who was
given it is known to whoever minted it, and to nobody who sees the log.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Protocol, TypeAlias, TypeVar

import attrs

from decade.errors import DecodeError
from decade.names import Name

PERIOD = 3600
"""Seconds whose reads are counted together: enough to account by, too few to follow a reader by."""
MAX_ENTRIES = 16384
"""Counts of reads of one account, and as many objects sent to servers; the oldest go first. Some 6 MiB in memory."""
MAX_TOKENS_SEEN = 64
"""Tokens that are told of one object, those used last: with more a description of it would be more log than object."""
NO_TOKEN = b""
"""Stands for the token of a read that needed none."""
_HASH = 16
_TIME = 8
_MAX_TIME = 2**63 - 1
_VALUE = 32

Key: TypeAlias = tuple[int, bytes, bytes]
"""Where an entry is in its log: a time, the value of a name, and a token or the identifier of a server."""


def hash_of_token(cti: bytes | None) -> bytes:
    """What stands for a token in a log: half of the SHA-256 of its cti, which cannot be guessed; NO_TOKEN for None."""
    return NO_TOKEN if cti is None else sha256(cti).digest()[:_HASH]


@attrs.frozen
class Reads:
    """Reads of an object of an account with a token, in the PERIOD that starts at a time.

    `octets`: that were sent. `last`: when the last one was, in seconds since 1970.
    """

    period: int
    name: Name
    token: bytes
    reads: int
    octets: int
    last: int

    @property
    def key(self) -> Key:
        """Where it is in the log."""
        return self.period, self.name.value, self.token

    def and_then(self, later: Reads) -> Reads:
        """With reads of the same that came later."""
        reads, octets = self.reads + later.reads, self.octets + later.octets
        return Reads(self.period, self.name, self.token, reads, octets, max(self.last, later.last))


@attrs.frozen
class Sent:
    """An object that went to a server at a time."""

    time: int
    name: Name
    server: str

    @property
    def key(self) -> Key:
        """Where it is in the log."""
        return self.time, self.name.value, self.server.encode()


@attrs.frozen
class Seen:
    """A token with which an object was read, how often, and when last."""

    token: bytes
    reads: int
    last: int


class Journal(Protocol):
    """The logs of all accounts. What is added need not survive a power cut; every method may be called at any time.

    Raises StoreError when the medium fails, from the methods that return something.
    """

    @property
    def waits(self) -> bool:
        """Whether the methods that return something take time."""

    def add_read(self, account: str, reads: Reads) -> None:
        """Objects were read. It takes no time."""

    def add_sent(self, account: str, sent: Sent) -> None:
        """An object went to a server. It takes no time."""

    def reads(self, account: str, frame: tuple[int, int], after: Key | None, count: int) -> Sequence[Reads]:
        """The first entries behind a key that have a read in a time frame, both ends included, in the order of keys."""

    def sent(self, account: str, frame: tuple[int, int], after: Key | None, count: int) -> Sequence[Sent]:
        """Likewise what went to servers."""

    def seen(self, account: str, name: Name, since: int, count: int) -> Sequence[Seen]:
        """The tokens with which an object was read since a time, the last first."""

    def whole_from(self, account: str) -> int:
        """The time from which on nothing is missing."""

    def forget(self, before: int) -> None:
        """Forget what ended before a time. It takes no time."""


@attrs.define
class _Logs:
    """Of one account. Keys are in the order in which they came, which is that of time."""

    reads: OrderedDict[Key, Reads] = attrs.Factory(OrderedDict)
    sent: OrderedDict[Key, Sent] = attrs.Factory(OrderedDict)
    whole_from: int = 0


class MemoryJournal:
    """A `Journal` in memory."""

    waits = False

    def __init__(self) -> None:
        self._logs: dict[str, _Logs] = {}

    def add_read(self, account: str, reads: Reads) -> None:
        """Objects were read."""
        logs = self._logs.setdefault(account, _Logs())
        before = logs.reads.get(reads.key)
        logs.reads[reads.key] = reads if before is None else before.and_then(reads)
        if len(logs.reads) > MAX_ENTRIES:
            _, gone = logs.reads.popitem(last=False)
            logs.whole_from = max(logs.whole_from, gone.last + 1)

    def add_sent(self, account: str, sent: Sent) -> None:
        """An object went to a server."""
        logs = self._logs.setdefault(account, _Logs())
        logs.sent[sent.key] = sent
        if len(logs.sent) > MAX_ENTRIES:
            _, gone = logs.sent.popitem(last=False)
            logs.whole_from = max(logs.whole_from, gone.time + 1)

    def reads(self, account: str, frame: tuple[int, int], after: Key | None, count: int) -> Sequence[Reads]:
        """The entries with a read in a time frame."""
        start, end = frame
        found = (entry for entry in self._of(account).reads.values() if entry.last >= start and entry.period <= end)
        return _page(found, after, count)

    def sent(self, account: str, frame: tuple[int, int], after: Key | None, count: int) -> Sequence[Sent]:
        """What went to servers in a time frame."""
        start, end = frame
        return _page((entry for entry in self._of(account).sent.values() if start <= entry.time <= end), after, count)

    def seen(self, account: str, name: Name, since: int, count: int) -> Sequence[Seen]:
        """The tokens with which an object was read."""
        found = (entry for entry in self._of(account).reads.values() if entry.name == name and entry.last >= since)
        return last_seen(found, count)

    def whole_from(self, account: str) -> int:
        """The time from which on nothing is missing."""
        return self._of(account).whole_from

    def forget(self, before: int) -> None:
        """Forget what ended before a time."""
        for account, logs in list(self._logs.items()):
            for key in [key for key, entry in logs.reads.items() if entry.last < before]:
                del logs.reads[key]
            for key in [key for key, entry in logs.sent.items() if entry.time < before]:
                del logs.sent[key]
            if not logs.reads and not logs.sent and logs.whole_from <= before:
                del self._logs[account]

    def _of(self, account: str) -> _Logs:
        return self._logs.get(account, _Logs())


_NOWHERE: Key = (-1, b"", b"")
_Entry = TypeVar("_Entry", Reads, Sent)


def _page(found: Iterable[_Entry], after: Key | None, count: int) -> list[_Entry]:
    start = after or _NOWHERE
    return sorted((entry for entry in found if entry.key > start), key=lambda entry: entry.key)[:count]


def last_seen(found: Iterable[Reads], count: int) -> list[Seen]:
    """The tokens of these entries, those used last first."""
    seen: dict[bytes, Seen] = {}
    for entry in found:
        before = seen.get(entry.token, Seen(entry.token, 0, 0))
        seen[entry.token] = Seen(entry.token, before.reads + entry.reads, max(before.last, entry.last))
    return sorted(seen.values(), key=lambda token: (-token.last, token.token))[:count]


def write_key(key: Key) -> bytes:
    """A key as the cursor of a page."""
    return key[0].to_bytes(_TIME) + key[1] + key[2]


def read_key(cursor: bytes) -> Key:
    """The key of a cursor. Raises DecodeError."""
    time = int.from_bytes(cursor[:_TIME])
    if len(cursor) < _TIME + _VALUE or time > _MAX_TIME:
        raise DecodeError("this cursor was not given by the log")
    return time, cursor[_TIME : _TIME + _VALUE], cursor[_TIME + _VALUE :]


def one_read(name: Name, token: bytes, octets: int, wall: int) -> Reads:
    """An object was read once at a time."""
    return Reads(wall - wall % PERIOD, name, token, 1, octets, wall)
