"""What is sent over links: counted by message code, hashed so that runs can be compared, and followed hop by hop."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import attrs

from reload.contents import MessageCode

INITIAL_TTL = 100
FRAGMENT = 0
"""Stands for the code of a fragment behind the first one, which does not show it."""
ACKNOWLEDGEMENT = 1 << 16
"""Stands for the code of an acknowledgement of a link."""

# Of a forwarding header: ttl, fragment, transaction_id, and the lengths of the three lists.
_HEADER = struct.Struct(">11xBI4xQ4xHHH")
_HEADER_SIZE = 38
_CODE = struct.Struct(">H")
_STAMP = struct.Struct(">QII")
_OFFSET = 0x00FFFFFF
_ERROR = int(MessageCode.ERROR)
# A destination list that is one Resource-ID.
_RESOURCE_SIZE = 19


@attrs.define(eq=False)
class Trace:
    """The way of one request of the workload: which hosts got it with which TTL, and who answered.

    `stale_hops` of its `transmissions` went to hosts that were no longer there.
    """

    source: int
    resource_id: bytes
    code: int
    transmissions: int = 0
    stale_hops: int = 0
    ttls: dict[int, int] = attrs.Factory(dict)
    responder: int | None = None
    transactions: list[int] = attrs.Factory(list)

    @property
    def hops(self) -> int | None:
        """Links that the request has crossed to who answered it; None before it is answered."""
        if self.responder is None:
            return None
        return INITIAL_TTL - self.ttls[self.responder] + 1 if self.responder in self.ttls else 0


@attrs.define
class Tally:
    """Messages, and their octets, by message code; every hop counts."""

    messages: Counter[int] = attrs.Factory(Counter)
    octets: Counter[int] = attrs.Factory(Counter)

    def count(self, code: int, size: int) -> None:
        """Count a message."""
        self.messages[code] += 1
        self.octets[code] += size


Tap: TypeAlias = Callable[[int, int, int, bytes], None]
"""Called with the time in microseconds, the numbers of two hosts, and the octets of each message that is sent."""


class Traffic:
    """Sees every message that a host sends over a link, before the link may lose it."""

    def __init__(self) -> None:
        self.maintenance = Tally()
        self.workload = Tally()
        self.taps: list[Tap] = []
        self._expected: dict[tuple[int, bytes], Trace] = {}
        self._followed: dict[int, Trace] = {}
        self._hash = hashlib.sha256()
        self.answered: Callable[[Trace], None] = lambda trace: None
        """Called when a request that is followed gets its first answer, by who gives it."""

    @property
    def digest(self) -> str:
        """A hash over all that was sent, with times and places."""
        return self._hash.hexdigest()

    def reset(self) -> None:
        """Count from here on."""
        self.maintenance, self.workload = Tally(), Tally()

    def follow(self, trace: Trace) -> None:
        """Follow the request for this resource that this source sends next, and count it as workload."""
        self._expected[trace.source, trace.resource_id] = trace

    def forget(self, trace: Trace) -> None:
        """It is over."""
        self._expected.pop((trace.source, trace.resource_id), None)
        for transaction in trace.transactions:
            del self._followed[transaction]

    def see(
        self,
        at_us: int,
        source: int,
        destination: int,
        octets: bytes,
        *,
        is_stale: bool,
        is_acknowledgement: bool = False,
    ) -> None:
        """A message is sent, or an acknowledgement of a link; `is_stale`: to a host that is not there."""
        self._hash.update(_STAMP.pack(at_us, source, destination))
        self._hash.update(octets)
        if is_acknowledgement:
            self.maintenance.count(ACKNOWLEDGEMENT, len(octets))
            return
        for tap in self.taps:
            tap(at_us, source, destination, octets)
        ttl, fragment, transaction, vias, destinations, options = _HEADER.unpack_from(octets)
        code = FRAGMENT
        if not fragment & _OFFSET:
            (code,) = _CODE.unpack_from(octets, _HEADER_SIZE + vias + destinations + options)
        trace = self._followed.get(transaction)
        if trace is None and destinations == _RESOURCE_SIZE and not vias:
            trace = self._first(source, octets[_HEADER_SIZE + 3 : _HEADER_SIZE + _RESOURCE_SIZE], code, transaction)
        if trace is None:
            self.maintenance.count(code, len(octets))
            return
        self.workload.count(code, len(octets))
        if code == trace.code:
            trace.transmissions += 1
            trace.stale_hops += is_stale
            trace.ttls[destination] = ttl
        elif trace.responder is None and code in (trace.code + 1, _ERROR):
            trace.responder = source
            self.answered(trace)

    def _first(self, source: int, resource_id: bytes, code: int, transaction: int) -> Trace | None:
        """The trace that begins with this message, if any."""
        trace = self._expected.get((source, resource_id))
        if trace is None or code != trace.code:
            return None
        del self._expected[source, resource_id]
        self._followed[transaction] = trace
        trace.transactions.append(transaction)
        return trace
