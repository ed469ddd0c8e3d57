"""How much a node sends and receives, as it tells for diagnostics (RFC 7851 section 5.3)."""

from __future__ import annotations

from reload.contents import MessageCode
from reload.diagnostic_information import MessagesSentRcvd

PERIOD = 5.0
"""Seconds between two calculations of an average."""
ALPHA = 0.8
"""The weight of the last period."""
MAX_PERIODS = 64
"""Periods without traffic that are calculated one by one: after so many the average is nothing."""


class Average:
    """The exponentially weighted average of octets per second. It needs no timer: periods end when it is looked at."""

    __slots__ = ("_average", "_octets", "_since")

    def __init__(self, now: float) -> None:
        self._average: float | None = None
        self._octets = 0
        self._since = now

    def add(self, octets: int, now: float) -> None:
        """So many more octets."""
        if now - self._since >= PERIOD:
            self._end_periods(now)
        self._octets += octets

    def value(self, now: float) -> int:
        """Of the periods that have ended; of what there is of the first one, until it has."""
        self._end_periods(now)
        average = self._average
        if average is None:
            average = self._octets / max(now - self._since, 1.0)
        return min(round(average), 0xFFFFFFFF)

    def _end_periods(self, now: float) -> None:
        ended = int((now - self._since) / PERIOD)
        for _ in range(min(ended, MAX_PERIODS)):
            present = self._octets / PERIOD
            self._average = present if self._average is None else ALPHA * present + (1 - ALPHA) * self._average
            self._octets = 0
        self._since += max(ended, 0) * PERIOD


class Traffic:
    """The messages of a node by their code, with those that it forwards, and the averages of their octets."""

    __slots__ = ("_messages", "received", "sent")

    def __init__(self, now: float) -> None:
        self.sent = Average(now)
        self.received = Average(now)
        self._messages: dict[int, list[int]] = {}

    def on_sent(self, message_code: int | None, octets: int, now: float) -> None:
        """A message was sent; a fragment but the first has no code."""
        self.sent.add(octets, now)
        self._count(message_code, 0)

    def on_received(self, message_code: int | None, octets: int, now: float) -> None:
        """A message has come."""
        self.received.add(octets, now)
        self._count(message_code, 1)

    def messages(self) -> tuple[MessagesSentRcvd, ...]:
        """How many were sent and received, by their codes in ascending order."""
        return tuple([MessagesSentRcvd(code, *self._messages[code]) for code in sorted(self._messages)])

    def _count(self, message_code: int | None, column: int) -> None:
        counts = self._messages.get(message_code) if message_code is not None else None
        if counts is None:
            # Codes that nobody has defined are not counted: peers could make up 65,536 of them.
            if message_code not in _CODES:
                return
            counts = self._messages.setdefault(message_code, [0, 0])
        counts[column] += 1


_CODES = frozenset(map(int, MessageCode))
