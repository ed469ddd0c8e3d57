"""Sending an object of an account to a remote server (RFC 7069 section 6.4): a HEAD asks whether it has the object, and
a PUT brings it if not. The octets that go count as those of a download do.
"""

from __future__ import annotations

from functools import partial

from decade._core import Core
from decade.errors import ErrorCode, RefusedError, StoreError
from decade.http import Headers, Response, write_attrs
from decade.names import Name
from decade.ports import Reader, Use
from decade.transfer_answers import Body, Held, Missing, Redirect, Verdict, judge_head, judge_put
from decade.transfer_work import Errand
from decade.uses import TokenUse, UseState, hold_use, is_counted
from decade.waiting import Clock, Steps


class Push:
    """An object that is sent."""

    def __init__(self, core: Core, errand: Errand, name: Name) -> None:
        """Nothing is held until there is a place for it among those under way."""
        self._core = core
        self._errand = errand
        self._name = name
        self.size: int | None = None
        self.method = "HEAD"
        self._sent = 0
        self._offset = 0
        self._is_held = False
        self._reader: Reader | None = None
        self._use: TokenUse | None = None

    @property
    def done(self) -> int:
        """Octets that were sent, or all that the remote server has."""
        return self.size or 0 if self._is_held else self._offset

    @property
    def sends(self) -> int:
        """Octets of the body of the next request."""
        return self.size or 0 if self.method == "PUT" else 0

    def headers(self) -> Headers:
        """The attributes of the request for the remote server: ours stay here (RFC 7069 section 6.2.3)."""
        if self.method == "HEAD":
            return ()
        kind = self._errand.media_type
        fields: Headers = () if kind is None else (("Content-Type", kind),)
        return (("Content-Length", str(self.sends)), *fields, *write_attrs(self._errand.expires))

    def start(self, clock: Clock) -> Steps[bool]:
        """Open the object, and hold its size of the amount of the token."""
        core = self._core
        permission = self._errand.renewed(core)
        row = core.objects.get(permission.account, self._name, core.wall(clock.now))
        self.size, self.method, self._offset, self._sent = row.size, "HEAD", 0, 0
        waits = core.ledger.waits and is_counted(permission.token)
        hold = partial(hold_use, core.ledger, permission.token, Use(0, row.size, 0))
        use = yield from clock.wait(waits, hold)
        try:
            self._reader = yield from core.objects.open(row, clock)
        except BaseException:
            use.give_back()
            raise
        self._use = use
        return True

    def judge(self, answer: Response) -> Verdict:
        """What an answer means."""
        verdict = judge_head(answer) if self.method == "HEAD" else judge_put(answer)
        if isinstance(verdict, Missing):
            self.method = "PUT"
        elif isinstance(verdict, Redirect):
            self._offset = 0
        elif isinstance(verdict, Held):
            self._is_held = True
        return verdict

    def read(self, size: int, now: float) -> bytes:
        """The next octets. Raises StoreError."""
        if self._reader is None or self.size is None:
            raise StoreError("the object is not open")
        octets = self._reader.read(self._offset, min(size, self.size - self._offset))
        self._offset += len(octets)
        self._sent += len(octets)
        self._core.traffic.add_sent(self._errand.permission.path, len(octets), now)
        return octets

    def accept(self, body: Body, clock: Clock) -> Steps[None]:
        """Who is sent an object sends none. Raises RefusedError."""
        raise RefusedError(ErrorCode.REMOTE_REFUSED, "an object in the answer to a PUT")

    def write(self, octets: bytes, now: float) -> None:
        """As `accept`."""
        raise RefusedError(ErrorCode.REMOTE_REFUSED, "an object in the answer to a PUT")

    def check(self) -> bool:
        """Nothing came."""
        return False

    def keep(self, clock: Clock) -> Steps[None]:
        """As `accept`."""
        raise RefusedError(ErrorCode.REMOTE_REFUSED, "an object in the answer to a PUT")

    def pause(self, now: float) -> None:
        """The next attempt begins anew."""
        self.drop(now)

    def drop(self, now: float) -> None:
        """Close the object, and settle what was sent; harmless when repeated."""
        self._offset = 0
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._use is not None and self._use.state is UseState.HELD:
            self._use.spend()
            # A redirect may have made an object go twice: the token pays for once.
            self._use.settle(amount=min(self._sent, self.size or 0), storage=0)
