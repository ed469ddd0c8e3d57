"""One object of a transfer between servers, as a machine without sockets (PROFILE.md section 11; RFC 7069 section 6.4).

A driver takes an `Exchange`, which is one HTTP request to the remote server, and says what comes of it; the machine
says when to give up, when to try again and where. `Work` is what differs: to fetch and store, or to read and send.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from decade._pace import STALL, STRIDE
from decade.errors import ErrorCode, RefusedError, StoreError
from decade.http import Headers, Request, Response
from decade.lines import Line
from decade.messages import TransferState
from decade.names import Name
from decade.remote import MAX_REDIRECTS, RemoteToken, follow, object_uri
from decade.scheduler import Terms
from decade.transfer_answers import Body, Busy, Changed, Held, Missing, Redirect, Refused, Verdict
from decade.transfer_states import ENDED, ITEM_TABLE, ON_THE_WIRE, ItemEvent, ItemState, Trouble
from decade.transfer_toll import Toll
from decade.waiting import Clock, Steps, Waiting, begin

CONNECT_TIMEOUT = 15.0
"""Seconds for the name, the connection and TLS: three lost packets, each sent again after 1, 2 and 4 s."""
ANSWER_TIMEOUT = 30.0
"""Seconds from the request to the head of the answer: the remote server may read from a slow disk."""
MAX_UNREACHABLE = 4
"""Attempts in a row without a connection: then the server is not there, and nobody waits for the deadline."""
LONGEST_PAUSE = 64.0
"""Seconds between two attempts that nobody has asked for."""
SHORTEST_PAUSE = 1.0
"""Seconds, whatever the remote server asks for: what fails at once must not fail a thousand times a second."""
_JITTER = 0.2


class Work(Protocol):
    """What is done with an object. Methods that are steps may wait, and raise RefusedError and StoreError."""

    @property
    def size(self) -> int | None:
        """Octets of the object, None until they are known."""

    @property
    def done(self) -> int:
        """Octets that are here, or that were sent."""

    @property
    def sends(self) -> int:
        """Octets of the body of the next request."""

    @property
    def method(self) -> str:
        """Of the next request."""

    def headers(self) -> Headers:
        """Of the next request."""

    def start(self, clock: Clock) -> Steps[bool]:
        """Prepare for an attempt; False if the object is where it is to be."""

    def judge(self, answer: Response) -> Verdict:
        """What an answer means."""

    def accept(self, body: Body, clock: Clock) -> Steps[None]:
        """An object comes, or its rest: make room."""

    def write(self, octets: bytes, now: float) -> None:
        """The next octets. Raises RefusedError, StoreError."""

    def check(self) -> bool:
        """Whether all octets are here. Raises RefusedError if they are not those that the name is of."""

    def keep(self, clock: Clock) -> Steps[None]:
        """Store it."""

    def read(self, size: int, now: float) -> bytes:
        """The next octets to send, none at the end. Raises StoreError."""

    def pause(self, now: float) -> None:
        """The attempt is over; another one may follow."""

    def drop(self, now: float) -> None:
        """It will not be done, or begins anew: give everything back. Harmless when repeated."""


@attrs.frozen
class Mandate:
    """What the objects of a transfer have in common. `origin`: the remote server. `ourselves`: our own origin.

    `line`, `terms`: where their octets go by. `wake` tells the driver that one may go on.
    """

    origin: str
    token: RemoteToken | None
    ourselves: str
    random_bytes: Callable[[int], bytes]
    line: Line
    terms: Terms
    wake: Callable[[], object]


class ObjectTransfer:
    """An object on its way from a server to another."""

    def __init__(
        self, name: Name, work: Work, mandate: Mandate, notify: Callable[[ObjectTransfer, float], None]
    ) -> None:
        """`notify` is called after each change of state."""
        self.name = name
        self.state = ItemState.QUEUED
        self.error: ErrorCode | None = None
        self.attempt = 0
        self._work = work
        self._mandate = mandate
        self._notify = notify
        self._target = ""
        self._redirects = 0
        self._failures = 0
        self._unreachable = 0
        self._timer: float | None = None
        self._mark = 0
        self._toll = Toll(mandate.line, mandate.terms, self._resume)

    @property
    def size(self) -> int | None:
        """Octets of the object, None until they are known."""
        return self._work.size

    @property
    def done(self) -> int:
        """Octets that are here, or that were sent."""
        return self._work.done

    @property
    def is_paused(self) -> bool:
        """Whether it waits for its turn on the line."""
        return self._toll.is_paused

    @property
    def transfer_state(self) -> TransferState:
        """Its state as messages have it."""
        return ON_THE_WIRE.get(self.state, TransferState.RUNNING)

    def get_timer(self) -> float | None:
        """When `handle_timer` is to be called."""
        return self._timer

    def handle_timer(self, now: float) -> None:
        """End an exchange that has stalled, or a pause."""
        if self._timer is None or now < self._timer:
            return
        if self.state is ItemState.BACKOFF:
            self._move(ItemEvent.DUE, now)
        else:
            self.lose(Trouble.UNREACHABLE if self.state is ItemState.CONNECT else Trouble.CUT, now)

    def start(self, clock: Clock) -> Steps[Exchange | None]:
        """Make an attempt, when QUEUED; None if there is nothing to ask the remote server."""
        if not self._move(ItemEvent.START, clock.now):
            return None
        attempt = self.attempt
        try:
            is_needed = yield from self._work.start(clock)
        except (RefusedError, StoreError) as error:
            self._fail_in(attempt, error, clock.now)
            return None
        if attempt != self.attempt:
            self._work.drop(clock.now)
            return None
        if not is_needed:
            self._move(ItemEvent.HELD, clock.now)
            return None
        self._target = object_uri(self._mandate.origin, self.name)
        self._redirects = 0
        return self._exchange(clock.now)

    def cancel(self, now: float) -> None:
        """Nobody wants it any more; too late once it is being stored."""
        self._move(ItemEvent.CANCEL, now)

    def expire(self, now: float) -> None:
        """Its deadline is past; too late once it is being stored."""
        if self.state is not ItemState.COMMIT:
            self.fail(RefusedError(ErrorCode.DEADLINE_EXCEEDED, "the deadline of the transfer"), now)

    def fail(self, error: Exception, now: float) -> None:
        """It cannot be done: for the reason that is in the error, if that has one."""
        if ItemEvent.FAIL in ITEM_TABLE[self.state]:
            # What ails our store is not for everybody.
            self.error = error.code if isinstance(error, RefusedError) else ErrorCode.OVERLOADED
            self._move(ItemEvent.FAIL, now)

    def connected(self, now: float) -> None:
        """The connection is there."""
        if self._move(ItemEvent.CONNECTED, now):
            self._unreachable = 0
            self._timer = now + ANSWER_TIMEOUT
            self._notify(self, now)

    def lose(self, trouble: Trouble, now: float) -> None:
        """The exchange came to nothing."""
        if trouble is Trouble.FORBIDDEN:
            self.fail(RefusedError(ErrorCode.REMOTE_UNREACHABLE, "an address that may not be asked"), now)
            return
        self._unreachable += trouble is Trouble.UNREACHABLE
        if self._unreachable >= MAX_UNREACHABLE:
            self.fail(RefusedError(ErrorCode.REMOTE_UNREACHABLE, "no connection"), now)
            return
        self._pause(ItemEvent.CUT, None, now)

    def judge(self, answer: Response, clock: Clock) -> Steps[Exchange | None]:
        """The head of an answer; the exchange to go on with."""
        now = clock.now
        self.connected(now)
        match self._work.judge(answer):
            case Redirect(location):
                return self._redirect(location, now)
            case Missing():
                return self._exchange(now) if self._move(ItemEvent.MISSING, now) else None
            case Body() as body:
                return (yield from self._accept(body, clock))
            case Busy(seconds):
                self._pause(ItemEvent.BUSY, seconds, now)
            case Changed():
                self._work.drop(now)
                self._pause(ItemEvent.BUSY, None, now)
            case Held():
                self._move(ItemEvent.HELD, now)
            case Refused(code):
                self.fail(RefusedError(code, "refused by the remote server"), now)
        return None

    def write(self, octets: bytes, now: float) -> None:
        """Octets of the object came."""
        if self.state is not ItemState.BODY:
            return
        try:
            self._work.write(octets, now)
        except (RefusedError, StoreError) as error:
            self.fail(error, now)
            return
        self._advance(len(octets), now)

    def read(self, size: int, now: float) -> bytes:
        """Octets of the object to send; none at the end."""
        self.connected(now)
        self._move(ItemEvent.ACCEPTED, now)
        if self.state is not ItemState.BODY:
            return b""
        try:
            octets = self._work.read(size, now)
        except (RefusedError, StoreError) as error:
            self.fail(error, now)
            return b""
        self._advance(len(octets), now)
        return octets

    def finish(self, clock: Clock) -> Steps[None]:
        """The answer is whole."""
        if self.state is not ItemState.BODY:
            return
        try:
            if not self._work.check():
                self.lose(Trouble.CUT, clock.now)
                return
            self._move(ItemEvent.WHOLE, clock.now)
            yield from self._work.keep(clock)
        except (RefusedError, StoreError) as error:
            self.fail(error, clock.now)
            return
        self._move(ItemEvent.HELD, clock.now)

    def _accept(self, body: Body, clock: Clock) -> Steps[Exchange | None]:
        if ItemEvent.ACCEPTED not in ITEM_TABLE[self.state]:
            return None
        attempt = self.attempt
        # Our own store may take its time.
        self._timer = None
        try:
            yield from self._work.accept(body, clock)
        except (RefusedError, StoreError) as error:
            self._fail_in(attempt, error, clock.now)
            return None
        if attempt != self.attempt:
            self._work.drop(clock.now)
            return None
        self._move(ItemEvent.ACCEPTED, clock.now)
        self._mark = self.done + STRIDE
        self._timer = clock.now + STALL
        self._notify(self, clock.now)
        return Exchange(self, self._request())

    def _redirect(self, location: str | None, now: float) -> Exchange | None:
        self._redirects += 1
        try:
            if self._redirects > MAX_REDIRECTS:
                raise RefusedError(ErrorCode.LOOP_DETECTED, f"more than {MAX_REDIRECTS} redirects")
            self._target = follow(self._target, location, self._mandate.ourselves)
        except RefusedError as error:
            self.fail(error, now)
            return None
        return self._exchange(now) if self._move(ItemEvent.REDIRECTED, now) else None

    def _exchange(self, now: float) -> Exchange:
        self._timer = now + CONNECT_TIMEOUT
        self._mark = 0
        self._notify(self, now)
        return Exchange(self, self._request(), self._work.sends)

    def _request(self) -> Request:
        token = self._mandate.token
        credential = token.headers(self._target) if token is not None else ()
        return Request(self._work.method, self._target, (*self._work.headers(), *credential))

    def _advance(self, octets: int, now: float) -> None:
        self._move(ItemEvent.BODY, now)
        self._toll.pay(octets, now)
        if self._toll.is_paused:
            # It is not the remote server that is slow.
            self._timer = None
        elif self.done >= self._mark:
            self._mark = self.done + STRIDE
            self._failures = 0
            self._timer = now + STALL

    def _resume(self, now: float, is_there: bool) -> None:
        """The line has let it go on, or is gone."""
        if is_there:
            self._mark = self.done + STRIDE
            self._timer = now + STALL
            self._notify(self, now)
        else:
            self.fail(RefusedError(ErrorCode.CLIENT_NOT_PERMITTED, "its node is gone"), now)
        self._mandate.wake()

    def _pause(self, event: ItemEvent, seconds: float | None, now: float) -> None:
        if self._move(event, now):
            wait = min(2.0**self._failures, LONGEST_PAUSE) if seconds is None else max(seconds, SHORTEST_PAUSE)
            self._failures += 1
            # Servers that were sent away together shall not return together.
            self._timer = now + wait * (1 + _JITTER * (self._mandate.random_bytes(1)[0] / 127.5 - 1))
            self._work.pause(now)
            self._notify(self, now)

    def _fail_in(self, attempt: int, error: Exception, now: float) -> None:
        """An attempt has failed: too late if it was given up meanwhile."""
        self._work.drop(now)
        if attempt == self.attempt:
            self.fail(error, now)

    def _move(self, event: ItemEvent, now: float) -> bool:
        following = ITEM_TABLE[self.state].get(event)
        if following is None:
            return False
        if following is not self.state:
            self.state = following
            self._timer = None
            if following not in (ItemState.REQUEST, ItemState.BODY):
                self.attempt += 1
                self._toll.leave()
            if following in ENDED:
                self._work.drop(now)
            self._notify(self, now)
        return True


class Exchange:
    """A request to the remote server, and what comes of it. When it is no longer open the driver hangs up."""

    def __init__(self, item: ObjectTransfer, request: Request, length: int = 0) -> None:
        """`request`: its target is absolute. `length`: the octets of its body, which `read` has."""
        self.request = request
        self.length = length
        self._item = item
        self._attempt = item.attempt

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self._attempt == self._item.attempt

    @property
    def is_paused(self) -> bool:
        """Whether no more octets are to be received or read now: it waits for its turn on the line."""
        return self.is_open and self._item.is_paused

    def connected(self, now: float) -> None:
        """The connection is there, and the request is about to go."""
        if self.is_open:
            self._item.connected(now)

    def read(self, size: int, now: float) -> bytes:
        """The next octets of the body of the request; none at the end, and none when it is no longer open."""
        return self._item.read(size, now) if self.is_open else b""

    def receive_head(self, answer: Response, now: float) -> Exchange | Waiting[Exchange | None] | None:
        """The head of the answer, without 1xx. What to go on with: the rest of this answer if that is open, another
        exchange, or nothing.
        """
        return begin(self._item.judge(answer, Clock(now))) if self.is_open else None

    def receive_data(self, octets: bytes, now: float) -> None:
        """The next octets of the answer."""
        if self.is_open:
            self._item.write(octets, now)

    def receive_end(self, now: float) -> Waiting[None] | None:
        """The answer is whole."""
        return begin(self._item.finish(Clock(now))) if self.is_open else None

    def fail(self, trouble: Trouble, now: float) -> None:
        """It came to nothing."""
        if self.is_open:
            self._item.lose(trouble, now)
