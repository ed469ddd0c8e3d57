"""Objects that accounts are receiving just now, and readers who wait until one is there and verified ("joined")."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

from decade.errors import ErrorCode, RefusedError, StateError
from decade.names import Name
from decade.waiting import Waiting

MAX_JOINED = 128
"""Readers of one account that wait at a time: more than a swarm that wants the same piece."""
JOINED_FOR = 60.0
"""Seconds that a reader waits: proxies and clients give up then."""
RETRY_AFTER = 1.0

Key: TypeAlias = tuple[str, Name]
"""An account and its object."""
_T = TypeVar("_T")


class ArrivingError(RefusedError):
    """An object is not there, or no longer, and is on its way."""

    def __init__(self, code: ErrorCode, key: Key) -> None:
        super().__init__(code, "not here yet")
        self.key = key


class Arrival:
    """An object that an account receives, from a client or from another server, until `end`."""

    def __init__(self, arrivals: Arrivals, key: Key) -> None:
        """For `Arrivals.begin`."""
        self._arrivals = arrivals
        self._key = key
        self._is_over = False

    def end(self, failure: RefusedError | None = None, *, is_stored: bool) -> None:
        """It is stored, or will not be: `failure` is what readers are told. Harmless when repeated."""
        if not self._is_over:
            self._is_over = True
            self._arrivals._end(self._key, failure, is_stored=is_stored)


class Joining(Generic[_T]):
    """An answer that waits for an object. Whoever gets one calls `subscribe`, and then, in the thread of the server,
    `resume` once it was called back, or `cancel`.
    """

    def __init__(
        self, leave: Callable[[], None], again: Callable[[RefusedError | None, float], _T | Waiting[_T]]
    ) -> None:
        """For `Arrivals.join`."""
        self._leave = leave
        self._again = again
        self._callback: Callable[[], None] | None = None
        self._failure: RefusedError | None = None
        self._is_due = False

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when there is something to resume for, which may be now. It calls nothing here."""
        self._callback = callback
        if self._is_due:
            callback()

    def resume(self, now: float) -> _T | Waiting[_T]:
        """The answer, or what to wait for next, maybe another one of these. Raises StateError before its time."""
        if not self._is_due:
            raise StateError("the object is still on its way")
        return self._again(self._failure, now)

    def cancel(self, now: float) -> None:
        """The client is gone. Harmless when repeated."""
        self._callback = None
        self._leave()

    def wake(self, failure: RefusedError | None) -> None:
        """There is something to resume for; for `Arrivals`."""
        self._is_due, self._failure = True, failure
        if self._callback is not None:
            self._callback()


@attrs.frozen(eq=False)
class _Reader:
    key: Key
    deadline: float
    joining: Joining[Any]


class Arrivals:
    """What is being received, and who waits for it."""

    def __init__(self) -> None:
        self._coming: Counter[Key] = Counter()
        self._readers: OrderedDict[object, _Reader] = OrderedDict()
        self._joined: Counter[str] = Counter()

    def __len__(self) -> int:
        """Readers who wait."""
        return len(self._readers)

    def __contains__(self, key: Key) -> bool:
        """Whether an account is receiving an object."""
        return key in self._coming

    def begin(self, account: str, name: Name) -> Arrival:
        """An account receives an object from now on, or will in a moment."""
        key = (account, name)
        self._coming[key] += 1
        return Arrival(self, key)

    def join(
        self, key: Key, now: float, again: Callable[[RefusedError | None, float], _T | Waiting[_T]]
    ) -> Joining[_T]:
        """Wait for an object. `again`: the answer when it is there, or has failed.

        Raises RefusedError (RATE_LIMITED) when too many readers of the account do.
        """
        account = key[0]
        if self._joined[account] >= MAX_JOINED:
            reason = f"{MAX_JOINED} readers wait for objects of this account"
            raise RefusedError(ErrorCode.RATE_LIMITED, reason, retry_after=RETRY_AFTER)
        mark = object()
        joining = Joining(lambda: self._forget(mark), again)
        self._readers[mark] = _Reader(key, now + JOINED_FOR, joining)
        self._joined[account] += 1
        return joining

    def get_timer(self) -> float | None:
        """When the first reader has waited for too long."""
        return next((reader.deadline for reader in self._readers.values()), None)

    def handle_timer(self, now: float) -> None:
        """Tell readers who have waited for too long."""
        late = RefusedError(ErrorCode.DEADLINE_EXCEEDED, "the object has not come in time")
        while (deadline := self.get_timer()) is not None and deadline <= now:
            self._wake(next(iter(self._readers)), late)

    def _end(self, key: Key, failure: RefusedError | None, *, is_stored: bool) -> None:
        self._coming[key] -= 1
        if not self._coming[key]:
            del self._coming[key]
        elif not is_stored:
            return  # it may come from elsewhere
        if not is_stored and failure is None:
            failure = RefusedError(ErrorCode.NOT_FOUND, "not here")
        for mark in [mark for mark, reader in self._readers.items() if reader.key == key]:
            self._wake(mark, failure)

    def _wake(self, mark: object, failure: RefusedError | None) -> None:
        joining = self._readers[mark].joining
        self._forget(mark)
        joining.wake(failure)

    def _forget(self, mark: object) -> None:
        reader = self._readers.pop(mark, None)
        if reader is not None:
            account = reader.key[0]
            self._joined[account] -= 1
            if not self._joined[account]:
                del self._joined[account]
