"""The transfers of a server: who ordered them, which object is next, when they are forgotten (RFC 7069 section 6.4).

They are in memory: a restart forgets them, and whoever ordered one orders it again. An object that had arrived stays.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from math import inf

import attrs

from decade._core import Core
from decade.arrivals import Arrival
from decade.authz import Permission
from decade.errors import Dimension, ErrorCode, RefusedError, StoreError
from decade.messages import Direction, Item, TransferRequest, TransferState, TransferStatus
from decade.ports import TokenKey
from decade.remote import read_remote, read_remote_token
from decade.slots import Slot
from decade.transfer import Exchange, Mandate, ObjectTransfer
from decade.transfer_pull import Pull
from decade.transfer_push import Push
from decade.transfer_states import ENDED, RUNNING, ItemState
from decade.transfer_work import Errand, read_errand
from decade.waiting import Clock, Waiting, begin

MAX_TRANSFERS = 64
"""Transfers of an account that have not ended. Each may have 256 objects."""
MAX_OBJECTS = 4096
"""Objects of an account in them, at 1 KiB or so each."""
MAX_REMEMBERED = 64
"""Transfers of an account that have ended and can be asked about; the one that ended first goes first."""
REMEMBERED = 3600.0
"""Seconds that a transfer can be asked about when it has ended, and that its idempotency key is known."""
ID_SIZE = 16
_SLACK = 256
"""Entries of heaps that are no longer true, besides as many as are: then they are made anew."""
_RETRY = 1.0
"""Seconds until another look for a connection that an account may have."""


class Transfer:
    """Objects that one request has ordered."""

    def __init__(self, identifier: bytes, request: TransferRequest, errand: Errand, origin: str) -> None:
        """For `Transfers.order`. `origin`: the remote server."""
        self.id = identifier
        self.origin = origin
        self.request = request
        self.errand = errand
        self.items: tuple[ObjectTransfer, ...] = ()

    @property
    def account(self) -> str:
        """Who has ordered it, and pays."""
        return self.errand.permission.account

    @property
    def has_ended(self) -> bool:
        """Whether every object has ended."""
        return all(item.state in ENDED for item in self.items)

    @property
    def state(self) -> TransferState:
        """Of the whole: it goes on while an object does, and then is as the worst of them."""
        states = {item.transfer_state for item in self.items}
        if states == {TransferState.QUEUED}:
            return TransferState.QUEUED
        if not self.has_ended:
            return TransferState.RUNNING
        return max(states)

    def status(self) -> TransferStatus:
        """How far it is."""
        sizes = [item.size for item in self.items]
        return TransferStatus(
            id=self.id,
            state=self.state,
            items=tuple(Item(name=i.name, state=i.transfer_state, octets=i.done, error=i.error) for i in self.items),
            done=sum(item.done for item in self.items),
            total=None if None in sizes else sum(size or 0 for size in sizes),
        )


@attrs.define(eq=False)
class _Account:
    """The transfers of an account. `waiting`: a heap of (urgency, order, object)."""

    waiting: list[tuple[tuple[int, int], int, ObjectTransfer]] = attrs.Factory(list)
    running: int = 0
    open: dict[bytes, Transfer] = attrs.Factory(dict)
    ended: deque[Transfer] = attrs.Factory(deque)
    keys: dict[bytes, Transfer] = attrs.Factory(dict)

    @property
    def objects(self) -> int:
        """Objects of transfers that have not ended."""
        return sum(len(transfer.items) for transfer in self.open.values())


class Transfers:
    """The transfers of all accounts. A driver takes exchanges from `next_request` while there are any."""

    def __init__(self, core: Core, parallel: int, random_bytes: Callable[[int], bytes]) -> None:
        """`parallel`: objects that are under way at a time."""
        self._core = core
        self._parallel = parallel
        self._random_bytes = random_bytes
        self._accounts: dict[str, _Account] = {}
        self._transfers: dict[bytes, Transfer] = {}
        self._transfer_of: dict[ObjectTransfer, Transfer] = {}
        self._slots: dict[ObjectTransfer, Slot] = {}
        # What is pulled can be waited for from now on, before anybody knows how large it is.
        self._arrivals: dict[ObjectTransfer, Arrival] = {}
        self._timers: list[tuple[float, int, ObjectTransfer]] = []
        self._armed: dict[ObjectTransfer, float] = {}
        self._deadlines: list[tuple[float, int, Transfer]] = []
        self._ended: OrderedDict[bytes, float] = OrderedDict()
        self._order = 0
        self._retry_at: float | None = None
        self.wake: Callable[[], object] = _nobody
        """Called when there is something for the driver to do before `get_timer`; the driver sets it."""

    @property
    def running(self) -> int:
        """Objects that are under way."""
        return len(self._slots)

    def order(self, permission: Permission, request: TransferRequest, now: float, wall: int) -> Transfer:
        """A transfer that its token permits; the one that is known by this idempotency key, if there is one.

        Raises RefusedError with nothing ordered, and DecodeError for attributes that are none.
        """
        self._forget(now)
        known = self._known(permission.account, request)
        if known is not None:
            return known
        errand = read_errand(self._core, permission, request, now, wall)
        ourselves = self._core.settings.server
        origin = read_remote(request.remote, ourselves)
        token = None if request.token is None else read_remote_token(request.token, origin)
        account = self._accounts.setdefault(permission.account, _Account())
        _check_limit("transfers", MAX_TRANSFERS, len(account.open), 1)
        _check_limit("objects", MAX_OBJECTS, account.objects, len(errand.names))
        transfer = Transfer(self._random_bytes(ID_SIZE), request, errand, origin)
        is_pull = request.direction is Direction.PULL
        work, line = (Pull, self._core.uploads) if is_pull else (Push, self._core.downloads)
        mandate = Mandate(origin, token, ourselves, self._random_bytes, line, errand.terms, lambda: self.wake())
        transfer.items = tuple(
            ObjectTransfer(name, work(self._core, errand, name), mandate, self._changed) for name in errand.names
        )
        self._enter(account, transfer)
        self.wake()
        return transfer

    def find(self, identifier: bytes, now: float) -> Transfer | None:
        """A transfer that goes on, or has ended not long ago."""
        self._forget(now)
        return self._transfers.get(identifier)

    def cancel(self, transfer: Transfer, now: float) -> None:
        """Nobody wants it any more: what is not being stored ends."""
        self._stop(transfer, [item.cancel for item in transfer.items], now)
        self.wake()

    def next_request(self, now: float) -> Exchange | Waiting[Exchange | None] | None:
        """What to ask a remote server next, None for nothing now. When what it waits for turns out to be None there may
        still be more.
        """
        self._retry_at = None
        while (item := self._next(now)) is not None:
            exchange = begin(item.start(Clock(now)))
            if exchange is not None:
                return exchange
        return None

    def get_timer(self) -> float | None:
        """When `handle_timer` is to be called, and then `next_request`."""
        times = [heap[0][0] for heap in (self._timers, self._deadlines) if heap]
        if self._retry_at is not None:
            times.append(self._retry_at)
        return min(times, default=None)

    def handle_timer(self, now: float) -> None:
        """End what has stalled or is past its deadline; exchanges that it closes are no longer open."""
        while self._deadlines and self._deadlines[0][0] <= now:
            transfer = heappop(self._deadlines)[2]
            self._stop(transfer, [item.expire for item in transfer.items], now)
        while self._timers and self._timers[0][0] <= now:
            time, _, item = heappop(self._timers)
            if self._armed.get(item) == time:
                del self._armed[item]
                item.handle_timer(now)
                self._arm(item)
        if self._retry_at is not None and self._retry_at <= now:
            self._retry_at = None
        self._forget(now)

    def _known(self, account: str, request: TransferRequest) -> Transfer | None:
        mine = self._accounts.get(account)
        key = request.idempotency_key
        known = mine.keys.get(key) if mine is not None and key is not None else None
        if known is not None and known.request != request:
            raise RefusedError(ErrorCode.CONFLICT, "the idempotency key is that of another transfer")
        return known

    def _enter(self, account: _Account, transfer: Transfer) -> None:
        self._transfers[transfer.id] = transfer
        account.open[transfer.id] = transfer
        key = transfer.request.idempotency_key
        if key is not None:
            account.keys[key] = transfer
        self._order += 1
        heappush(self._deadlines, (transfer.errand.deadline, self._order, transfer))
        for item in transfer.items:
            self._transfer_of[item] = transfer
            if transfer.request.direction is Direction.PULL:
                self._arrivals[item] = self._core.objects.arrivals.begin(transfer.account, item.name)
            self._order += 1
            heappush(account.waiting, (transfer.errand.urgency, self._order, item))

    def _next(self, now: float) -> ObjectTransfer | None:
        """The next object, with a connection for it: of the account that has fewest under way for its weight."""
        if len(self._slots) >= self._parallel:
            return None
        if self._core.gate.is_overloaded():
            self._retry_at = now + _RETRY
            return None
        # Nobody's slow remote servers keep all others waiting.
        most = max(1, self._parallel // 2)
        candidates = [a for a in self._accounts.items() if a[1].waiting and a[1].running < most]
        for _, account in sorted(candidates, key=lambda entry: entry[1].running / self._weight(entry[0])):
            item = self._next_of(account, now)
            if item is not None:
                return item
        return None

    def _next_of(self, account: _Account, now: float) -> ObjectTransfer | None:
        # A token that has all the connections that it may have does not stop the others.
        full: set[TokenKey] = set()
        skipped = []
        found = None
        while account.waiting and found is None:
            entry = heappop(account.waiting)
            item = entry[2]
            if item.state is not ItemState.QUEUED:
                continue
            key = self._transfer_of[item].errand.permission.token.ledger_key
            if key not in full and self._connect(item, now):
                found = item
            elif item.state is ItemState.QUEUED:
                full.add(key)
                skipped.append(entry)
        for entry in skipped:
            heappush(account.waiting, entry)
            self._retry_at = now + _RETRY
        return found

    def _weight(self, account: str) -> int:
        policy = self._core.tree.policy((account,))
        return 1 if policy is None else policy.weight

    def _connect(self, item: ObjectTransfer, now: float) -> bool:
        """Take a connection for an object; one of an account that is no more fails."""
        permission = self._transfer_of[item].errand.permission
        own = tuple((level.ledger_key, level.policy.connections) for level in permission.token.levels)
        core = self._core
        try:
            limits = core.tree.connection_limits(permission.path)
        except RefusedError as error:
            item.fail(error, now)
            return False
        try:
            self._slots[item] = core.gate.slots.open((*limits, *own))
        except (RefusedError, StoreError):
            return False
        self._accounts[permission.account].running += 1
        return True

    def _changed(self, item: ObjectTransfer, now: float) -> None:
        """An object has another state, or another timer."""
        transfer = self._transfer_of[item]
        account = self._accounts[transfer.account]
        slot = self._slots.get(item)
        if slot is not None and item.state not in RUNNING:
            del self._slots[item]
            account.running -= 1
            if self._core.gate.slots.is_open(slot):
                self._core.gate.slots.close(slot)
        if item.state is ItemState.QUEUED:
            self._order += 1
            heappush(account.waiting, (transfer.errand.urgency, self._order, item))
        self._arm(item)
        if item.state in ENDED:
            self._tell(item, transfer, now)
            if transfer.id in account.open and transfer.has_ended:
                self._end(account, transfer, now)

    def _tell(self, item: ObjectTransfer, transfer: Transfer, now: float) -> None:
        """An object has ended: readers may wait for it, and clients may ask where it went."""
        is_done = item.state is ItemState.DONE
        arrival = self._arrivals.pop(item, None)
        if arrival is not None:
            failure = None if item.error is None else RefusedError(item.error, "it could not be fetched")
            arrival.end(failure, is_stored=is_done)
        elif is_done and self._core.logs is not None:
            self._core.logs.add_sent(transfer.account, item.name, transfer.origin, self._core.wall(now))

    def _end(self, account: _Account, transfer: Transfer, now: float) -> None:
        del account.open[transfer.id]
        for item in transfer.items:
            del self._transfer_of[item]
        account.ended.append(transfer)
        self._ended[transfer.id] = now
        if len(account.ended) > MAX_REMEMBERED:
            self._forget_first(account)
        if len(self._deadlines) > 2 * len(self._transfers) + _SLACK:
            self._deadlines = [entry for entry in self._deadlines if not entry[2].has_ended]
            heapify(self._deadlines)

    def _arm(self, item: ObjectTransfer) -> None:
        timer = item.get_timer()
        if timer is None:
            self._armed.pop(item, None)
        elif timer < self._armed.get(item, inf):
            self._order += 1
            self._armed[item] = timer
            heappush(self._timers, (timer, self._order, item))
        if len(self._timers) > 2 * len(self._armed) + _SLACK:
            self._timers = [entry for entry in self._timers if self._armed.get(entry[2]) == entry[0]]
            heapify(self._timers)

    def _stop(self, transfer: Transfer, stops: Iterable[Callable[[float], None]], now: float) -> None:
        for stop in stops:
            stop(now)
        account = self._accounts.get(transfer.account)
        if account is not None:
            account.waiting = [entry for entry in account.waiting if entry[2].state is ItemState.QUEUED]
            heapify(account.waiting)

    def _forget(self, now: float) -> None:
        while self._ended:
            identifier, time = next(iter(self._ended.items()))
            if time + REMEMBERED > now:
                return
            self._forget_first(self._accounts[self._transfers[identifier].account])

    def _forget_first(self, account: _Account) -> None:
        transfer = account.ended.popleft()
        del self._transfers[transfer.id], self._ended[transfer.id]
        key = transfer.request.idempotency_key
        if key is not None:
            del account.keys[key]
        if not (account.open or account.ended):
            del self._accounts[transfer.account]


def _nobody() -> None:
    """There is no driver yet."""


def _check_limit(what: str, limit: int, used: int, more: int) -> None:
    if used + more > limit:
        reason = f"an account may have {limit} {what} on their way"
        raise RefusedError(ErrorCode.RATE_LIMITED, reason, dimension=Dimension.OBJECTS, limit=limit, used=used)
