"""Answers that wait for a medium: for the disk, or for a ledger that servers share.

The steps of a request are a generator: it yields what takes time, as a function that a driver calls where it may block,
and goes on with what came of it. A port says by `waits` whether its methods take time; those that take none are called
at once, so that a server in memory never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

_T = TypeVar("_T")


@attrs.frozen
class Resumed:
    """What came of a call, and the time now."""

    value: Any
    now: float


Steps: TypeAlias = Generator[Callable[[], Any], Resumed, _T]


@attrs.define
class Clock:
    """The time of a request, which goes on while it waits; others act meanwhile."""

    now: float
    has_waited: bool = attrs.field(default=False, init=False)

    def wait(self, waits: bool, call: Callable[[], _T]) -> Steps[_T]:
        """What a call returns, which is made at once unless it takes time. Raises what the call does."""
        if not waits:
            return call()
        resumed = yield call
        self.now = resumed.now
        self.has_waited = True
        value: _T = resumed.value
        return value


class Waiting(Generic[_T]):
    """An answer that is not there yet. Whoever gets one calls `run` where it may block, in any thread, and `resume` in
    the thread of the server, in this order, once, whatever has become of the client meanwhile.
    """

    def __init__(self, steps: Steps[_T], call: Callable[[], Any]) -> None:
        """For `begin`."""
        self._steps = steps
        self._call = call
        self._value: Any = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Do what takes time; what it raises is kept for `resume`."""
        try:
            self._value = self._call()
        except Exception as error:  # noqa: BLE001 - the steps are told
            self._error = error

    def resume(self, now: float) -> _T | Waiting[_T]:
        """The answer, or the next wait."""
        try:
            if self._error is not None:
                call = self._steps.throw(self._error)
            else:
                call = self._steps.send(Resumed(self._value, now))
        except StopIteration as end:
            answer: _T = end.value
            return answer
        return Waiting(self._steps, call)


def begin(steps: Steps[_T]) -> _T | Waiting[_T]:
    """The answer of these steps, or the first wait."""
    try:
        call = next(steps)
    except StopIteration as end:
        answer: _T = end.value
        return answer
    return Waiting(steps, call)


def settle(answer: _T | Waiting[_T], now: float) -> _T:
    """Wait on the spot, for drivers that have nothing else to do."""
    while isinstance(answer, Waiting):
        answer.run()
        answer = answer.resume(now)
    return answer
