"""The registrations of trackers that share a Redis or Valkey: a `ppsp.tracker.Registry`.

A request reads its peer's record with the version of it, decides, and writes in one script that does nothing if another
tracker was faster. Timers run by the clock of the Redis server, and any tracker removes the peers whose time is up.
Nothing has to be durable: after a Redis that has lost everything, peers register anew, as after a tracker that was
restarted.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from attrs import define, evolve

from interop._redis import Argument, FailedError, SharedRedis
from interop.tracker_store.records import read, write
from ppsp.tracker import (
    PEER_TABLE,
    ConnectRequest,
    FindRequest,
    Membership,
    PeerInput,
    PeerMode,
    PeerState,
    RegisteredPeer,
    RequestMessage,
    StatReportRequest,
    StoreUnavailableError,
    StreamStats,
    SwarmCount,
    Timer,
    TrackerState,
)

CANDIDATES = 100
"""Peers of a swarm that a list is chosen from: more than three times the longest list."""
MAX_READ = 20_000
"""Peers of whom the record that was read last is kept as it was understood, of some 2 KiB each."""
REAP_INTERVAL = 2.0
"""Seconds between two looks for peers whose time is up; who asks about one never sees it, however long it takes."""
REAP_COUNT = 200
"""Peers removed by one script, which others wait for: some milliseconds."""
ANSWER_LIFETIME_MS = 60_000
"""For which an answer is remembered: longer than our client waits before a repetition (30 s)."""
MAX_ANSWER = 16 * 2**10
"""Octets of an answer that is remembered: one for each peer. What makes a longer one is carried out again."""

_SCRIPTS = files("interop.tracker_store") / "lua"

logger = logging.getLogger(__name__)


class StoreError(Exception):
    """The store cannot be used; the text says why, in one line."""


@define
class _Unit:
    """The request under way."""

    message: RequestMessage
    key: bytes
    version: bytes
    record: bytes
    """As it was read; empty where there was none, like the version."""
    before: dict[str, PeerMode]
    peer: RegisteredPeer | None
    remembered: bytes
    new_swarms: set[str]
    sample: dict[str, list[bytes]]
    """Records of peers in the one swarm that a request is about, read with the rest: one wait fewer."""
    touched: bool = False


class RedisRegistry:
    """The registrations at one server, for one thread. `url`: redis://, rediss:// or unix://, as redis-py reads it.

    `prefix`: of all keys. `track_timer` in seconds. `epoch` is the Unix time at `now == 0`. Raises StoreError for a
    URL that is none. A registration appears whole or not at all, so no init timer runs.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "ppsp",
        user: str | None = None,
        password: str | None = None,
        track_timer: float = 180.0,
        epoch: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            self._redis = SharedRedis(url, _SCRIPTS, prefix=prefix, user=user, password=password, clock=clock)
        except ValueError as error:
            raise StoreError(str(error).replace("\n", " ")) from error
        self._timer_ms = round(track_timer * 1000)
        self._epoch = epoch
        self._reap_at = float("-inf")
        self._unit: _Unit | None = None
        self._counts = (0, 0, 0)
        # Records change less often than they are listed; nobody changes what `members` returns.
        self._read_member = lru_cache(MAX_READ)(read)

    def check(self) -> None:
        """Raises StoreError if the server cannot be reached, or does not let us in."""
        try:
            self._redis.call(self._redis.client.ping)
        except FailedError as error:
            raise StoreError(str(error)) from error

    @property
    def peer_count(self) -> int:
        """How many peers are registered."""
        return self._current()[0]

    @property
    def swarm_count(self) -> int:
        """How many swarms have a peer."""
        return self._current()[1]

    @property
    def memberships(self) -> int:
        """How many, over all peers."""
        return self._current()[2]

    @property
    def state(self) -> TrackerState:
        """STARTED while a peer is registered."""
        return TrackerState.STARTED if self.peer_count else TrackerState.INIT

    def _current(self) -> tuple[int, int, int]:
        """Peers, swarms, memberships: as they were at `begin`, and else as they are."""
        if self._unit is None:
            self._counts = tuple(self._run("begin", "", 0)[3:6])
        return self._counts

    def begin(self, message: RequestMessage, key: bytes, now: float) -> bytes | None:
        """A request comes; what answered it before, if that still counts."""
        swarms = _swarms(message)
        number = CANDIDATES if len(swarms) == 1 else 0
        version, record, remembered, *counts, exist, sample = self._run("begin", message.peer_id, number, *swarms)
        self._counts = tuple(counts)
        peer = read(record) if record else None
        self._unit = _Unit(
            message,
            key,
            version or b"",
            record or b"",
            {swarm_id: one.peer_mode for swarm_id, one in peer.swarms.items()} if peer else {},
            peer,
            remembered or b"",
            {swarm_id for swarm_id, there in zip(swarms, exist, strict=True) if not there},
            {swarms[0]: sample} if number else {},
        )
        stands_for = key + _basis(peer)
        return remembered[len(stands_for) :] if remembered and remembered.startswith(stands_for) else None

    def commit(self, body: bytes | None, now: float) -> bool:
        """Write what was done since `begin`, in one script; False where another tracker has changed the peer."""
        unit, self._unit = self._unit, None
        if unit is None:
            return True
        peer = None if unit.peer is None or unit.peer.state is PeerState.TERMINATE else unit.peer
        record = b"" if peer is None else write(peer).encode()
        answer = b""
        if body is not None and len(body) <= MAX_ANSWER and not isinstance(unit.message, FindRequest):
            answer = unit.key + _basis(peer) + body
        if record == unit.record and not answer:
            if not record or not unit.touched:
                return True
            return bool(self._run("touch", unit.message.peer_id, unit.version, self._timer_ms))
        now_in = {swarm_id: one.peer_mode for swarm_id, one in peer.swarms.items()} if peer else {}
        joins = [
            item
            for swarm_id, mode in now_in.items()
            if unit.before.get(swarm_id) is not mode
            for item in (swarm_id, mode[0])
        ]
        return bool(
            self._run(
                "commit",
                unit.message.peer_id,
                unit.version,
                self._timer_ms,
                secrets.token_bytes(8),
                record,
                answer,
                ANSWER_LIFETIME_MS,
                len(joins) // 2,
                *joins,
                *(unit.before.keys() - now_in.keys()),
            )
        )

    def peer(self, peer_id: str) -> RegisteredPeer | None:
        """The registration of a peer: that of the request under way, or as it is."""
        unit = self._unit
        if unit is not None and unit.message.peer_id == peer_id:
            return None if unit.peer is None or unit.peer.state is PeerState.TERMINATE else unit.peer
        record = self._run("begin", peer_id, 0)[1]
        return read(record) if record else None

    def has_swarm(self, swarm_id: str) -> bool:
        """Whether a swarm of the request under way has a peer."""
        return self._unit is not None and swarm_id not in self._unit.new_swarms

    def members(self, swarm_id: str) -> Sequence[RegisteredPeer]:
        """Peers of a swarm: all, or a random sample of so many."""
        found = self._unit.sample.get(swarm_id) if self._unit is not None else None
        records = self._run("sample", swarm_id, CANDIDATES) if found is None else found
        return [self._read_member(record) for record in records]

    def connect(self, peer_id: str, now: float) -> RegisteredPeer:
        """The registration of the peer whose CONNECT is under way."""
        unit = self._opened()
        if unit.peer is None:
            unit.peer = RegisteredPeer(peer_id, secrets.randbits(48) + 1, self._epoch + now)
        self.step(unit.peer, PeerInput.CONNECT, now)
        return unit.peer

    def step(self, peer: RegisteredPeer, what: PeerInput, now: float) -> None:
        """Follow the arrow of figure 5 that `what` stands for."""
        transition = PEER_TABLE[peer.state][what]
        peer.state = transition.state
        self._opened().touched |= transition.timer is Timer.TRACK

    def join(self, peer: RegisteredPeer, swarm_id: str, peer_mode: PeerMode) -> None:
        """Enter the peer into the swarm, or change its mode."""
        peer.changes += 1
        peer.swarms.setdefault(swarm_id, Membership(peer_mode)).peer_mode = peer_mode

    def record(self, peer: RegisteredPeer, stat: StreamStats) -> None:
        """Keep what the peer reports of a swarm it is in."""
        peer.swarms[stat.swarm_id].stat = evolve(stat)

    def leave(self, peer: RegisteredPeer, swarm_id: str) -> None:
        """Take the peer out of a swarm it is in."""
        peer.changes += 1
        del peer.swarms[swarm_id]

    def largest(self, count: int) -> list[SwarmCount]:
        """At most `count` swarms with the most peers, the largest first."""
        return [
            SwarmCount(swarm_id.decode(), peers, seeders) for swarm_id, peers, seeders in self._run("largest", count)
        ]

    def get_timer(self) -> float | None:
        """When to look for peers whose time is up: regularly, since other trackers bring some."""
        return self._reap_at

    def handle_timer(self, now: float) -> None:
        """Remove peers whose time is up. Where the store cannot be reached, later."""
        self._unit = None  # of a request that ended in an error
        if now < self._reap_at:
            return
        self._reap_at = now + REAP_INTERVAL
        try:
            if self._run("reap", REAP_COUNT) == REAP_COUNT:
                self._reap_at = now
        except StoreUnavailableError as error:
            logger.info("no peers are removed for now: %s", error)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _opened(self) -> _Unit:
        assert self._unit is not None, "between begin and commit"
        return self._unit

    def _run(self, name: str, *arguments: Argument) -> Any:
        """What a script answers. Raises StoreUnavailableError; the script may have been done even so."""
        try:
            return self._redis.run(name, *arguments)
        except FailedError as error:
            raise StoreUnavailableError(str(error)) from error


def _basis(peer: RegisteredPeer | None) -> bytes:
    """What an answer rests on: the registration, and how often its swarms have changed."""
    return b"%d.%d:" % (peer.number, peer.changes) if peer else b"0.0:"


def _swarms(message: RequestMessage) -> list[str]:
    match message:
        case ConnectRequest():
            return [action.swarm_id for action in message.swarm_action]
        case FindRequest():
            return [message.swarm_id]
        case StatReportRequest():
            return []
