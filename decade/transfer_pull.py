"""Fetching an object from a remote server and storing it (RFC 7069 section 6.4).

The octets are paid for as those of an upload are: storage and the amount of the token are held before any come, and
given back unless the object is stored. A cut leaves what came, with its hash, for the next attempt.
"""

from __future__ import annotations

from functools import partial

from decade._core import Core
from decade.errors import ErrorCode, RefusedError
from decade.http import Headers, Response
from decade.names import Name
from decade.objects import Incoming
from decade.ports import Row, Use
from decade.transfer_answers import Body, Changed, Verdict, judge_get
from decade.transfer_work import Errand
from decade.uses import TokenUse, UseState, hold_use, is_counted
from decade.waiting import Clock, Steps


class Pull:
    """An object that is fetched."""

    method = "GET"
    sends = 0

    def __init__(self, core: Core, errand: Errand, name: Name) -> None:
        """Nothing is held until its octets are about to come."""
        self._core = core
        self._errand = errand
        self._name = name
        self.size: int | None = None
        self.done = 0
        self._row: Row | None = None
        self._incoming: Incoming | None = None
        self._use: TokenUse | None = None
        self._etag: str | None = None
        self._skip = 0

    def headers(self) -> Headers:
        """The octets as they are named, from where the last attempt was cut."""
        fields: Headers = (("Accept-Encoding", "identity"),)
        if self.done:
            fields = (*fields, ("Range", f"bytes={self.done}-"))
            if self._etag is not None:
                fields = (*fields, ("If-Match", self._etag))
        return fields

    def start(self, clock: Clock) -> Steps[bool]:
        """Whether the account has not got the object meanwhile; if it has, the attributes are merged."""
        errand, core = self._errand, self._core
        permission = errand.renewed(core)
        held = core.objects.find(permission.account, self._name, core.wall(clock.now))
        if held is None or not permission.holds(held):
            return True
        if errand.expires is not None or errand.media_type is not None:
            yield from core.objects.merge(held, errand.expires, errand.media_type, clock)
        self.drop(clock.now)
        self.size = self.done = held.size
        return False

    def judge(self, answer: Response) -> Verdict:
        """What an answer means."""
        verdict = judge_get(answer, self.done, self.size)
        if isinstance(verdict, Changed):
            self.size = None
        return verdict

    def accept(self, body: Body, clock: Clock) -> Steps[None]:
        """Hold storage and the amount of the token, before the first octet."""
        self._etag = body.etag
        # What is here already, and comes again, is skipped.
        self._skip = self.done - body.offset
        if self._incoming is not None:
            return
        core, errand = self._core, self._errand
        permission = errand.renewed(core)
        wall = core.wall(clock.now)
        expires = core.objects.expiry(permission, errand.expires, wall)
        row = permission.row(self._name, body.size, wall, expires, errand.media_type)
        self._row = row
        incoming = yield from core.objects.receive(row, clock)
        waits = core.ledger.waits and is_counted(permission.token)
        hold = partial(hold_use, core.ledger, permission.token, Use(0, body.size, body.size))
        try:
            self._use = yield from clock.wait(waits, hold)
        except BaseException:
            incoming.drop()
            raise
        self._incoming, self.size = incoming, body.size

    def write(self, octets: bytes, now: float) -> None:
        """The next octets. Raises RefusedError (REMOTE_MISMATCH) for more than were announced, StoreError."""
        skipped = min(self._skip, len(octets))
        self._skip -= skipped
        octets = octets[skipped:]
        if self._incoming is None or self.size is None or self.done + len(octets) > self.size:
            raise RefusedError(ErrorCode.REMOTE_MISMATCH, "more octets than were announced")
        self._incoming.write(octets)
        self.done += len(octets)
        self._core.traffic.add_received(self._errand.permission.path, len(octets), now)

    def check(self) -> bool:
        """Whether all octets are here. Raises RefusedError (REMOTE_MISMATCH) when they are others."""
        if self._incoming is None or self.done != self.size:
            return False
        try:
            self._incoming.check()
        except RefusedError as error:
            raise RefusedError(ErrorCode.REMOTE_MISMATCH, "the name is not that of these octets") from error
        return True

    def keep(self, clock: Clock) -> Steps[None]:
        """Store it."""
        errand = self._errand
        assert self._incoming is not None
        permission = errand.renewed(self._core)
        if self._row is not None:
            self._core.check_held(permission, self._row, clock.now)
        is_new = yield from self._incoming.keep(clock, self._core.wall(clock.now))
        self._settle(self.done if is_new else 0)

    def read(self, size: int, now: float) -> bytes:
        """A GET has no body."""
        return b""

    def pause(self, now: float) -> None:
        """What came stays for the next attempt."""

    def drop(self, now: float) -> None:
        """Give back what is held and was not used: what came was moved, whatever it was. Harmless when repeated."""
        if self._incoming is not None:
            self._incoming.drop()
            self._incoming = None
        if self._use is not None and self._use.state is UseState.HELD:
            self._settle(0)
            self.done = 0

    def _settle(self, stored: int) -> None:
        if self._use is not None:
            self._use.spend()
            self._use.settle(amount=self.done, storage=stored)
