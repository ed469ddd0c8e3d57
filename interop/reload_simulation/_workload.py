"""What users do: they store values and look them up; every answer is compared with what was really stored."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs

from interop.reload_simulation._host import Host
from interop.reload_simulation._overlay import SimulatedOverlay
from interop.reload_simulation._security import VALUES, place_of
from interop.reload_simulation._traffic import Trace
from reload.contents import MessageCode
from reload.operations import Fetch, Fetched, NewValue, Store, Stored, Wanted
from reload.storage_messages import DataValue, SingleSpecifier

ATTEMPTS = 3
"""Times that a user tries; within each, the node retransmits for 15 s."""
PAUSE = 1.0
"""Seconds between two attempts."""
LIFETIME = 86400
SIZE = 100
"""Octets of a value."""
PLACES = VALUES.max_node_multiple


@attrs.define(eq=False)
class Entry:
    """A value of the overlay. Versions count from 1; `begun` was the last to be stored, `stored` the last that is."""

    resource_id: bytes
    writer: int
    place: int
    begun: int = 0
    stored: int = 0

    def octets(self, version: int) -> bytes:
        """A version of it."""
        return b"%d %d %d" % (self.writer, self.place, version) + b" " * (SIZE - 24)

    def is_right(self, octets: bytes, since: int) -> bool:
        """Whether it is a version of this value that is not older than version `since`."""
        words = octets.split()
        return words[:2] == [b"%d" % self.writer, b"%d" % self.place] and since <= int(words[2]) <= self.begun


@attrs.define(eq=False)
class Operation:
    """A lookup or a Store, and what came of it after some attempts. Times are seconds."""

    at: float
    is_lookup: bool
    attempts: int = 0
    is_right: bool = False
    seconds: float = 0.0
    hops: int | None = None
    """Of the request that was answered last; None when the peer itself was responsible."""
    transmissions: int = 0
    stale_hops: int = 0
    misplaced: int = 0
    """Answers by a peer that was not the responsible one then."""
    failures: list[str] = attrs.Factory(list)


class Workload:
    """Lookups and Stores by random peers at random times."""

    def __init__(self, overlay: SimulatedOverlay) -> None:
        self.entries: list[Entry] = []
        self.done: list[Operation] = []
        """Operations that have come to an end, those of `fill` and of newcomers too."""
        self.under_way = 0
        self._overlay = overlay
        self._random = random.Random(f"{overlay.scenario.seed}/workload")
        self._places: dict[int, int] = {}
        self._known: dict[int, list[Entry]] = {}
        self._misplaced: dict[Trace, Operation] = {}
        self._is_on = False
        overlay.traffic.answered = self._answered
        overlay.on_gone.append(self._gone)

    def _gone(self, host: Host) -> None:
        self._known.pop(host.number, None)

    # -- when ----------------------------------------------------------------------------------------------------

    def fill(self, seconds: float) -> None:
        """Each peer stores a value, at some time within so many seconds; those that join later do so at once."""
        for host in list(self._overlay):
            self._later(self._random.uniform(0, seconds), self.store_new, host)
        self._overlay.on_joined.append(self.store_new)

    def start(self) -> None:
        """Begin with lookups and with Stores of new versions."""
        self._is_on = True
        scenario = self._overlay.scenario
        for rate, what in ((scenario.lookups, self.look_up), (scenario.stores, self.store_again)):
            if rate:
                self._later(self._random.expovariate(rate), self._tick, rate, what)

    def stop(self) -> None:
        """Begin nothing more."""
        self._is_on = False

    def _tick(self, rate: float, what: Callable[[], None]) -> None:
        if self._is_on:
            what()
            self._later(self._random.expovariate(rate), self._tick, rate, what)

    def _later(self, seconds: float, what: Callable[..., None], *args: Any) -> None:
        engine = self._overlay.engine
        engine.post(engine.now_us + int(seconds * 1e6), what, *args)

    # -- what ----------------------------------------------------------------------------------------------------

    def store_new(self, host: Host) -> None:
        """A peer stores the first version of another value."""
        place = self._places.get(host.number, 0) + 1
        if host.is_up and place <= PLACES:
            self._places[host.number] = place
            entry = Entry(place_of(host.node_id, place), host.number, place)
            self.entries.append(entry)
            self._known.setdefault(host.number, []).append(entry)
            self._store(host, entry)

    def store_again(self) -> None:
        """A peer stores a new version of a value of its own."""
        host = self._overlay.any_peer(self._random)
        self.store_version(host)

    def store_version(self, host: Host) -> None:
        """This peer stores a new version of a value of its own, unless one is under way."""
        own = [entry for entry in self._known.get(host.number, ()) if entry.stored == entry.begun]
        if own:
            self._store(host, self._random.choice(own))

    def look_up(self) -> None:
        """A peer looks up any value that was ever stored."""
        if self.entries:
            entry = self._random.choice(self.entries)
            if entry.stored:
                self.look_up_at(self._overlay.any_peer(self._random), entry)

    def look_up_at(self, host: Host, entry: Entry) -> Operation:
        """A peer looks up this value; what is returned is filled in as time passes."""
        operation = Operation(self._overlay.now, is_lookup=True)
        since = entry.stored
        request = Fetch(entry.resource_id, (Wanted(VALUES.id, SingleSpecifier()),))

        def judge(result: Any) -> str:
            if not isinstance(result, Fetched):
                return f"{result.reason or result.error}"
            values = [each.data.value for each in result.kinds[VALUES.id].values]
            if not any(isinstance(value, DataValue) and value.exists for value in values):
                return "there is no value"
            octets = values[0].value if isinstance(values[0], DataValue) else b""
            return "" if entry.is_right(octets, since) else "it is not what was stored last"

        self.under_way += 1
        self._attempt(host, operation, request, MessageCode.FETCH_REQ, judge, lambda: None)
        return operation

    def _store(self, host: Host, entry: Entry) -> None:
        entry.begun += 1
        version = entry.begun
        new = NewValue(VALUES.id, DataValue(True, entry.octets(version)), LIFETIME)

        def judge(result: Any) -> str:
            return "" if isinstance(result, Stored) else f"{result.reason or result.error}"

        def succeeded() -> None:
            entry.stored = version

        operation = Operation(self._overlay.now, is_lookup=False)
        self.under_way += 1
        request = Store(entry.resource_id, (new,))
        self._attempt(host, operation, request, MessageCode.STORE_REQ, judge, succeeded)

    def _attempt(
        self,
        host: Host,
        operation: Operation,
        request: Fetch | Store,
        code: int,
        judge: Callable[[Any], str],
        succeeded: Callable[[], None],
    ) -> None:
        if not host.is_up:
            self.under_way -= 1
            return
        trace = Trace(host.number, request.resource_id, code)
        traffic = self._overlay.traffic
        traffic.follow(trace)
        self._misplaced[trace] = operation

        def then(result: Any) -> None:
            traffic.forget(trace)
            del self._misplaced[trace]
            if result is None:
                self.under_way -= 1
                return
            operation.attempts += 1
            operation.transmissions += trace.transmissions
            operation.stale_hops += trace.stale_hops
            failure = judge(result)
            if not failure:
                operation.is_right = True
                operation.hops = trace.hops
                succeeded()
            else:
                operation.failures.append(failure)
                if operation.attempts < ATTEMPTS:
                    self._later(PAUSE, self._attempt, host, operation, request, code, judge, succeeded)
                    return
            operation.seconds = self._overlay.now - operation.at
            self.under_way -= 1
            self.done.append(operation)

        host.perform(request, then)

    def _answered(self, trace: Trace) -> None:
        owner = self._overlay.ring.owner(trace.resource_id)
        if owner not in self._overlay or self._overlay[owner].number != trace.responder:
            self._misplaced[trace].misplaced += 1
