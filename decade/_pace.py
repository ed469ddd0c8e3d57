"""Uploads that stall are ended: whoever sends an octet at a time would keep a slot and storage for days."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from decade.errors import ErrorCode
from decade.http import Response, Upload, problem_response
from decade.lines import Line
from decade.problem import Problem
from decade.scheduler import Terms
from decade.waiting import Waiting

STALL = 30.0
"""Seconds for each STRIDE octets."""
STRIDE = 16 * 1024
"""Octets: the least rate is 546 octets/s, a tenth of the slowest line that anybody stores objects over."""


class Bounded(Upload, Protocol):
    """An upload that says when it began, how far it is, and how it competes for the line, if it does."""

    began: float

    @property
    def terms(self) -> Terms | None:
        """How it competes for the line; None: it does not wait for it."""

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""

    @property
    def received(self) -> int:
        """Octets that came."""


class Pace:
    """The uploads that are waited for, the one that is to be ended first in front. None that waits for the line is."""

    def __init__(self, line: Line) -> None:
        """`line`: what the uploads come over."""
        self.line = line
        self._deadlines: OrderedDict[PacedUpload, float] = OrderedDict()

    def __len__(self) -> int:
        """Uploads that are waited for."""
        return len(self._deadlines)

    def watch(self, upload: Bounded) -> PacedUpload:
        """The same upload, ended when it stalls."""
        paced = PacedUpload(self, upload)
        self.touch(paced, upload.began)
        return paced

    def touch(self, upload: PacedUpload, now: float) -> None:
        """An upload gets on."""
        self._deadlines[upload] = now + STALL
        self._deadlines.move_to_end(upload)

    def suspend(self, upload: PacedUpload) -> None:
        """An upload waits for the line: it is not its client that is slow."""
        self._deadlines.pop(upload, None)

    def leave(self, upload: PacedUpload) -> None:
        """An upload has ended; harmless when repeated."""
        self._deadlines.pop(upload, None)
        self.line.withdraw(upload)

    def get_timer(self) -> float | None:
        """When the first one is to be ended."""
        return next(iter(self._deadlines.values()), None)

    def handle_timer(self, now: float) -> None:
        """End those that have stalled."""
        while (deadline := self.get_timer()) is not None and deadline <= now:
            next(iter(self._deadlines)).expire(now)


class PacedUpload:
    """An upload whose time is bounded. When it was ended, `feed` and `finish` answer that it was."""

    def __init__(self, pace: Pace, upload: Bounded) -> None:
        self._pace = pace
        self._upload = upload
        self._mark = STRIDE
        self._owed = 0
        self._has_expired = False

    @property
    def terms(self) -> Terms:
        """How it competes for the line, if `take` says that it has to."""
        assert self._upload.terms is not None
        return self._upload.terms

    def take(self, octets: int, now: float) -> int:
        """How many octets that came are paid for at once; none: it waits for its turn."""
        if self._upload.terms is None or not self._upload.is_open:
            return octets
        taken = self._pace.line.take(self, octets, now)
        if not taken:
            self._owed = octets
            self._pace.suspend(self)
        return taken

    def go_on(self, octets: int, now: float) -> None:
        """Its turn has come for so many octets that waited."""
        self._owed -= octets
        if self._owed <= 0 and self._upload.is_open:
            self._pace.touch(self, now)

    def feed(self, octets: bytes, now: float) -> Response | None:
        """The next part. An answer ends it. Raises StateError when it has ended."""
        if self._has_expired:
            return _timeout()
        answer = self._upload.feed(octets, now)
        if not self._upload.is_open:
            self._pace.leave(self)
        elif self._upload.received >= self._mark:
            self._mark = self._upload.received + STRIDE
            self._pace.touch(self, now)
        return answer

    def finish(self, now: float) -> Response | Waiting[Response]:
        """The body is whole: the client is not waited for any longer. Raises StateError when it has ended."""
        if self._has_expired:
            return _timeout()
        self._pace.leave(self)
        return self._upload.finish(now)

    def abort(self, now: float) -> None:
        """The rest will not come: nothing is kept. Harmless when it has ended."""
        self._upload.abort(now)
        self._pace.leave(self)

    def expire(self, now: float) -> None:
        """It has stalled: end it."""
        self._has_expired = True
        self.abort(now)


def _timeout() -> Response:
    problem = Problem(code=ErrorCode.DEADLINE_EXCEEDED, title="the body came too slowly")
    return problem_response(problem, status=408, headers=(("Connection", "close"),))
