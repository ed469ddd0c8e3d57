"""A peer's side of PPSTP (RFC 7846): what to ask the tracker, and when; no socket, no clock.

The application says which swarms it is in, and in which mode. The client registers, repeats what got no valid answer,
asks for peers, reports, and registers anew at a tracker that has forgotten it. One request is under way at a time, so
that they take effect in order.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from itertools import islice

from attrs import define, frozen

from ppsp.errors import DecodeError, StateError
from ppsp.tracker.events import AddressSeen, Event, Joined, Left, PeersFound, Refused, RequestLost
from ppsp.tracker.http import Request, Response
from ppsp.tracker.messages import (
    MEDIA_TYPE,
    Action,
    ConnectRequest,
    ErrorCode,
    FindRequest,
    PeerAddr,
    PeerMode,
    PeerNum,
    RequestMessage,
    ResponseMessage,
    ResponseType,
    StatReportRequest,
    StreamStats,
    SwarmAction,
    encode,
)
from ppsp.tracker.parse import parse_response

MAX_RESPONSE = 2**20
"""Octets of a response worth reading: the longest that this package's tracker sends are some 600,000."""
MAX_RETRY_AFTER = 300.0
"""Seconds. A tracker may ask for patience, and not for ever."""
_MAX_SWARMS = 200
"""Swarms in one request, which keeps it below 48 KiB for IDs of 64 characters: a tracker limits a request."""
_TRY_AGAIN = frozenset({ErrorCode.INTERNAL_SERVER_ERROR, ErrorCode.SERVICE_UNAVAILABLE})
_HEADERS = (("Content-Type", MEDIA_TYPE), ("Accept", MEDIA_TYPE))


@frozen
class ClientTiming:
    """Seconds, all of them this implementation's: the RFC leaves them open (sections 2.2 and 4.3)."""

    first_find: float = 2.0
    """From joining to the first FIND; each gap after it is twice as long, since a new swarm's peers come early."""
    find: float = 30.0
    """The longest gap between two FINDs."""
    report: float = 60.0
    """Between two STAT_REPORTs: a third of the tracker's track timer."""
    first_retry: float = 1.0
    """From a failure to the repetition; each gap after it is twice as long."""
    retry: float = 30.0
    """The longest gap between two repetitions."""
    repetitions: int = 4
    """How often one transaction is repeated before the client thinks again what it wants to ask."""


@define(eq=False)
class _Swarm:
    wanted: PeerMode | None
    """None: to be left."""
    joined: PeerMode | None = None
    """The mode that the tracker has confirmed; None: not in the swarm as far as we know."""
    asked: PeerMode | None = None
    """The mode of a JOIN that was sent and not answered: it may have been carried out all the same."""
    is_announced: bool = True
    """Whether the tracker has our present addresses."""
    try_at: float = 0.0
    """When a refused swarm action may be tried again."""
    find_at: float | None = None
    find_gap: float = 0.0
    stat: StreamStats | None = None
    reports: int = 0
    """How many reports have named this swarm."""

    @property
    def is_pending(self) -> bool:
        return self.wanted is None or self.wanted is not self.joined or not self.is_announced


class TrackerClient:
    """One peer at one tracker. `tracker` is the URI that requests are posted to.

    `peer_addr` is where other peers reach this one: UDP addresses, the best first or with priorities. Whoever carries
    the requests calls `next_request` when `get_timer` says so and after each verb, and answers each request with
    either `receive_response` or `request_failed`. A SEEDER waits for others to come (section 1.2.1), unless it
    `seeks_as_seeder`, since its NAT lets nobody in whom it has not written to. Raises ValueError for a peer ID that no
    message can carry.
    """

    def __init__(
        self,
        peer_id: str,
        tracker: str,
        *,
        peer_addr: Sequence[PeerAddr] = (),
        peer_num: PeerNum | None = None,
        seeks_as_seeder: bool = False,
        timing: ClientTiming | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        StatReportRequest("-", peer_id)  # raises ValueError for an ID that no message can carry
        self.peer_id = peer_id
        self.tracker = tracker
        self._peer_addr = tuple(peer_addr)
        self._peer_num = peer_num
        self._seeks_as_seeder = seeks_as_seeder
        self._timing = timing or ClientTiming()
        self._random_bytes = random_bytes
        self._swarms: dict[str, _Swarm] = {}
        self._events: deque[Event] = deque()
        self._message: RequestMessage | None = None
        self._under_way = False
        self._repetitions = 0
        self._failures = 0
        self._not_before = 0.0
        self._report_at = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do: every swarm is left, and no answer is awaited."""
        return not self._swarms and not self._under_way

    def join(self, swarm_id: str, peer_mode: PeerMode) -> None:
        """Be in a swarm in this mode; for one that we are in already, change the mode (LEECH to SEEDER).

        Raises ValueError for a swarm ID that no message can carry.
        """
        swarm = self._swarms.get(swarm_id)
        if swarm is None:
            SwarmAction(swarm_id, Action.JOIN, peer_mode)
            self._swarms[swarm_id] = _Swarm(peer_mode)
        else:
            swarm.wanted = peer_mode
            swarm.try_at = 0.0

    def leave(self, swarm_id: str) -> None:
        """Leave a swarm. Raises StateError when it was never joined."""
        swarm = self._swarm(swarm_id)
        swarm.wanted = None
        swarm.try_at = 0.0
        if swarm.joined is None and swarm.asked is None:
            self._gone(swarm_id)
        if not self._under_way:
            # Nobody waits out a long pause in order to leave: think again, and at once.
            self._message = None
            self._not_before = 0.0

    def leave_all(self) -> None:
        """Leave every swarm."""
        for swarm_id in tuple(self._swarms):
            self.leave(swarm_id)

    def announce(self, peer_addr: Sequence[PeerAddr]) -> None:
        """Be at these addresses from now on; the tracker hears of it by joining every swarm again (section 4.1.1)."""
        self._peer_addr = tuple(peer_addr)
        for swarm in self._swarms.values():
            swarm.is_announced = False

    def peer_mode(self, swarm_id: str) -> PeerMode | None:
        """The mode that the tracker has us in the swarm with, as far as we know; None when it has not."""
        swarm = self._swarms.get(swarm_id)
        return swarm.joined if swarm else None

    def find(self, swarm_id: str) -> None:
        """Ask for peers at the next opportunity, once for a SEEDER. Raises StateError when it was never joined."""
        self._swarm(swarm_id).find_at = 0.0

    def report(self, stat: StreamStats) -> None:
        """What STAT_REPORTs say of a swarm from now on; zeros before. Raises StateError when it was never joined."""
        self._swarm(stat.swarm_id).stat = stat

    def _swarm(self, swarm_id: str) -> _Swarm:
        try:
            return self._swarms[swarm_id]
        except KeyError:
            raise StateError(f"not in swarm {swarm_id[:60]}") from None

    def next_event(self) -> Event | None:
        """The oldest event that was not fetched yet."""
        return self._events.popleft() if self._events else None

    def get_timer(self) -> float | None:
        """When `next_request` will have one; in the past for at once, None while an answer is awaited or never."""
        if self._under_way:
            return None
        due = [0.0] if self._message else list(self._due())
        return max(self._not_before, min(due)) if due else None

    def _due(self) -> Iterator[float]:
        for swarm in self._swarms.values():
            if swarm.is_pending:
                yield swarm.try_at
            elif swarm.find_at is not None:
                yield swarm.find_at
        if any(swarm.joined for swarm in self._swarms.values()):
            yield self._report_at

    def next_request(self, now: float) -> Request | None:
        """The request to send now, if there is one; None too while the answer to the last one is awaited."""
        if self._under_way or now < self._not_before:
            return None
        if self._message is None:
            self._message = self._plan(now)
            self._repetitions = 0
        if self._message is None:
            return None
        self._under_way = True
        return Request("POST", self.tracker, _HEADERS, encode(self._message))

    def request_failed(self, reason: str, now: float) -> None:
        """The request that is under way got no response. Raises StateError when none is."""
        self._answered()
        self._repeat(reason, now)

    def receive_response(self, response: Response, now: float) -> None:
        """The response to the request that is under way. Raises StateError when none is.

        The body decides, whatever the HTTP status. An invalid one means the same request again (section 4.3).
        """
        message = self._answered()
        try:
            answer = parse_response(response.body).message
        except DecodeError as error:
            # A proxy that knows no PPSTP may say how long the tracker is away (RFC 9110 section 10.2.3).
            self._repeat(f"HTTP status {response.status}: {error}", now, _retry_after(response))
            return
        failed = answer.response_type is ResponseType.FAILED
        # A tracker that could not read the transaction ID sends none back, and means the one request under way.
        if answer.transaction_id != message.transaction_id and not (failed and not answer.transaction_id):
            self._repeat("a response with another transaction_id", now)
        elif failed:
            self._failed(message, answer.error_code, response, now)
        else:
            self._succeeded(message, answer, now)

    def _answered(self) -> RequestMessage:
        if self._message is None or not self._under_way:
            raise StateError("no request is under way")
        self._under_way = False
        return self._message

    def _plan(self, now: float) -> RequestMessage | None:
        """The next thing to ask: swarm actions first, then a report, then peers."""
        transaction_id = self._random_bytes(12).hex()
        actions = tuple(islice(self._actions(now), _MAX_SWARMS))
        if actions:
            for action in actions:
                if action.action is Action.JOIN:
                    self._swarms[action.swarm_id].asked = action.peer_mode
            return ConnectRequest(transaction_id, self.peer_id, actions, self._peer_num, self._peer_addr)
        joined = {swarm_id: swarm for swarm_id, swarm in self._swarms.items() if swarm.joined}
        if joined and now >= self._report_at:
            return StatReportRequest(transaction_id, self.peer_id, tuple(self._statistics(joined)))
        for swarm_id, swarm in joined.items():
            if swarm.find_at is not None and now >= swarm.find_at:
                return FindRequest(transaction_id, self.peer_id, swarm_id, self._peer_num)
        return None

    def _statistics(self, joined: dict[str, _Swarm]) -> Iterator[StreamStats]:
        """Statistics of every swarm, or of those least often reported: the answer shows which the tracker has lost."""
        for swarm_id, swarm in sorted(joined.items(), key=lambda item: item[1].reports)[:_MAX_SWARMS]:
            swarm.reports += 1
            yield swarm.stat or StreamStats(swarm_id)

    def _actions(self, now: float) -> Iterator[SwarmAction]:
        """Swarm actions that go into one CONNECT: combinations that table 6 lists, as far as it goes."""
        pending = {key: swarm for key, swarm in self._swarms.items() if swarm.is_pending and now >= swarm.try_at}
        for key, swarm in pending.items():
            if swarm.wanted is PeerMode.SEEDER:
                yield SwarmAction(key, Action.JOIN, PeerMode.SEEDER)
        if any(swarm.wanted is PeerMode.SEEDER for swarm in pending.values()):
            return
        joining = next((key for key, swarm in pending.items() if swarm.wanted is PeerMode.LEECH), None)
        leaving = [(key, swarm.joined or swarm.asked) for key, swarm in pending.items() if swarm.wanted is None]
        seeded = [key for key, mode in leaving if mode is PeerMode.SEEDER]
        leeched = [key for key, mode in leaving if mode is PeerMode.LEECH]
        # A LEECH joins one swarm a request; to leave one in the same, it has to be sure of being registered.
        if joining is not None:
            yield SwarmAction(joining, Action.JOIN, PeerMode.LEECH)
            leeched, seeded = [key for key in leeched if self._swarms[key].joined], []
        if seeded:
            yield from (SwarmAction(key, Action.LEAVE, PeerMode.SEEDER) for key in seeded)
        elif leeched:
            yield SwarmAction(leeched[0], Action.LEAVE, PeerMode.LEECH)

    def _succeeded(self, message: RequestMessage, answer: ResponseMessage, now: float) -> None:
        self._message = None
        self._failures = 0
        self._not_before = 0.0
        if answer.peer_addr is not None:
            self._events.append(AddressSeen(answer.peer_addr))
        match message:
            case ConnectRequest():
                self._connected(message, answer, now)
            case FindRequest():
                self._schedule_find(message.swarm_id, now)
            case StatReportRequest():
                self._report_at = now + self._jitter(self._timing.report)
                self._forgotten({one.swarm_id for one in answer.swarm_result if one.result is ResponseType.FAILED})
        self._list_peers(message, answer)

    def _connected(self, message: ConnectRequest, answer: ResponseMessage, now: float) -> None:
        failed = {one.swarm_id for one in answer.swarm_result if one.result is ResponseType.FAILED}
        if not any(swarm.joined for swarm in self._swarms.values()):
            self._report_at = now + self._jitter(self._timing.report)
        for action in message.swarm_action:
            swarm = self._swarms[action.swarm_id]
            if action.action is Action.LEAVE:
                self._gone(action.swarm_id)
                continue
            swarm.asked = None
            if action.swarm_id in failed:
                swarm.try_at = now + self._jitter(self._timing.retry)
                self._events.append(Refused((action.swarm_id,), ErrorCode.NO_ERROR))
            else:
                swarm.joined = action.peer_mode
                swarm.is_announced = message.peer_addr == self._peer_addr
                swarm.find_gap = self._timing.first_find / 2
                self._schedule_find(action.swarm_id, now)
                self._events.append(Joined(action.swarm_id, action.peer_mode))

    def _gone(self, swarm_id: str) -> None:
        """The tracker does not have us in the swarm any more; forget it too, unless it is wanted again by now."""
        swarm = self._swarms[swarm_id]
        swarm.joined = swarm.asked = None
        if swarm.wanted is None:
            del self._swarms[swarm_id]
            self._events.append(Left(swarm_id))

    def _schedule_find(self, swarm_id: str, now: float) -> None:
        """A LEECH asks again, later and later, and so does a SEEDER that seeks."""
        swarm = self._swarms[swarm_id]
        swarm.find_gap = min(swarm.find_gap * 2, self._timing.find)
        asks = swarm.joined is PeerMode.LEECH or self._seeks_as_seeder
        swarm.find_at = now + self._jitter(swarm.find_gap) if asks else None

    def _list_peers(self, message: RequestMessage, answer: ResponseMessage) -> None:
        for result in answer.swarm_result:
            swarm = self._swarms.get(result.swarm_id)
            if isinstance(message, StatReportRequest) or swarm is None or not swarm.joined or not result.peer_group:
                continue
            # The RFC's own example lists the peer that asked; a tracker may pass on whatever it was told.
            peers = tuple(
                peer for peer in result.peer_group if peer.peer_id != self.peer_id and peer.peer_addr.is_unicast
            )
            if peers:
                self._events.append(PeersFound(result.swarm_id, peers))

    def _failed(self, message: RequestMessage, error_code: int, response: Response, now: float) -> None:
        """An error: try again what may succeed as it is, and else register anew what the tracker does not know."""
        swarm_ids = _swarm_ids(message)
        self._events.append(Refused(swarm_ids, error_code))
        if error_code in _TRY_AGAIN:
            self._back_off(now, _retry_after(response))
            return
        self._message = None
        self._back_off(now, 0.0)
        # Either the tracker lost our registration (it was restarted, or we were silent for too long), or the request
        # cost us the registration (section 2.3.2, B), or it has us in other swarms all the same. Start again with those
        # that are wanted; those that are not may still have to be left.
        for swarm_id, swarm in tuple(self._swarms.items()):
            if swarm.wanted is None and swarm_id not in swarm_ids:
                swarm.asked = swarm.joined or swarm.asked
                swarm.joined = None
            else:
                self._gone(swarm_id)

    def _forgotten(self, swarm_ids: set[str]) -> None:
        for swarm_id in swarm_ids & self._swarms.keys():
            self._gone(swarm_id)

    def _repeat(self, reason: str, now: float, least: float = 0.0) -> None:
        """The same transaction again, in `least` seconds or later (section 4.3)."""
        self._events.append(RequestLost(reason))
        self._back_off(now, least)

    def _back_off(self, now: float, least: float) -> None:
        gap = min(self._timing.first_retry * 2.0 ** min(self._failures, 30), self._timing.retry)
        self._failures += 1
        self._not_before = now + max(self._jitter(gap), least)
        self._repetitions += 1
        if self._repetitions > self._timing.repetitions:
            self._message = None

    def _jitter(self, seconds: float) -> float:
        """From 90 to 110 percent, so that peers do not all ask at once what they asked at once before."""
        return seconds * (0.9 + 0.2 * self._random_bytes(1)[0] / 255)


def _swarm_ids(message: RequestMessage) -> tuple[str, ...]:
    match message:
        case ConnectRequest():
            return tuple(action.swarm_id for action in message.swarm_action)
        case FindRequest():
            return (message.swarm_id,)
        case StatReportRequest():
            return tuple(stat.swarm_id for stat in message.stat)


def _retry_after(response: Response) -> float:
    """Seconds, which a date stands for too (RFC 9110 section 10.2.3): by the clock of who wrote it."""
    value = response.header("Retry-After") or ""
    if value.isascii() and value.isdigit() and len(value) < 10:
        return min(float(value), MAX_RETRY_AFTER)
    try:
        until, now = (parsedate_to_datetime(date) for date in (value, response.header("Date") or ""))
        return min(max(0.0, (until - now).total_seconds()), MAX_RETRY_AFTER)
    except (ValueError, TypeError, OverflowError):
        return 0.0
