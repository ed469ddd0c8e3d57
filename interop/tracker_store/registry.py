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

from interop._redis import Argument, Call, FailedError, SharedRedis
from interop.tracker_store.records import read
from interop.tracker_store.transaction import RedisTransaction, named
from ppsp.tracker import Asked, Limits, RegisteredPeer, StoreUnavailableError, SwarmCount, TrackerState

CANDIDATES = 100
"""Peers of a swarm that a list is chosen from: more than three times the longest list."""
MAX_CANDIDATES = 500
"""Peers that all lists of one answer are chosen from, which has at most 290."""
LEAST_CANDIDATES = 30
"""Peers of a swarm that a list is chosen from where an answer has many: one more than the longest list, since the peer
that asks may be among them. Swarms named last may have no list then, as they have none beyond 290 peers."""
MAX_READ = 20_000
"""Peers of whom the record that was read last is kept as it was understood, of some 2 KiB each."""
REAP_INTERVAL = 2.0
"""Seconds between two looks for peers whose time is up; who asks about one never sees it, however long it takes."""
REAP_COUNT = 200
"""Peers removed by one script, which others wait for: some milliseconds."""
_SCRIPTS = files("interop.tracker_store") / "lua"

logger = logging.getLogger(__name__)


class StoreError(Exception):
    """The store cannot be used; the text says why, in one line."""


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
        self._nonce_key = b""
        # Records change less often than they are listed; nobody changes what `members` returns.
        self._read_member = lru_cache(MAX_READ)(read)

    def check(self) -> None:
        """Raises StoreError if the server cannot be reached, or does not let us in."""
        try:
            self._redis.call(self._redis.client.ping)
        except FailedError as error:
            raise StoreError(str(error)) from error

    def nonce_key(self) -> bytes:
        """A secret of all trackers that share this store, under which their Digest nonces are good at each of them.

        Raises StoreError.
        """
        client, name = self._redis.client, self._redis.base + b"nonce-key"
        try:
            self._redis.call(lambda: client.set(name, secrets.token_bytes(32), nx=True))
            found: bytes | None = self._redis.call(lambda: client.get(name))
        except FailedError as error:
            raise StoreError(str(error)) from error
        if found is None:
            raise StoreError("redis does not keep what it is given")
        self._nonce_key = found
        return found

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

    def _current(self) -> list[int]:
        """Peers, swarms, memberships."""
        counts: list[int] = self._run("begin", "", "", 0, 0, 0)[4:7]
        return counts

    def begin(self, asked: Sequence[Asked], now: float) -> list[RedisTransaction | StoreUnavailableError]:
        """Requests come, each of another peer: one wait for all of them."""
        swarms: list[list[str]] = []
        calls: list[Call] = []
        for one in asked:
            listed, others = named(one.message)
            swarms.append(listed + others)
            each = min(CANDIDATES, max(LEAST_CANDIDATES, MAX_CANDIDATES // max(1, len(listed))))
            numbers = each, MAX_CANDIDATES, len(listed)
            calls.append(("begin", [one.message.peer_id, one.host or "", *numbers, *listed, *others]))
        return [
            StoreUnavailableError(str(answer)) if isinstance(answer, FailedError) else self._begun(one, names, answer)
            for one, names, answer in zip(asked, swarms, self._run_all(calls), strict=True)
        ]

    def _begun(self, asked: Asked, swarms: list[str], answer: list[Any]) -> RedisTransaction | StoreUnavailableError:
        """A record that a tracker of another version wrote costs its own peer alone, until its time is up."""
        try:
            return RedisTransaction(asked, swarms, answer, self._read_member, self._epoch)
        except (LookupError, TypeError, ValueError) as error:
            logger.warning("a record that cannot be read: %r", error)
            return StoreUnavailableError(f"a record that cannot be read: {error!r}")

    def commit(
        self, done: Sequence[tuple[RedisTransaction, bytes | None]], most: Limits, now: float
    ) -> list[bool | StoreUnavailableError]:
        """Write what was done, one script for each; False where another tracker has changed the peer."""
        calls = [transaction.write(body, most, self._timer_ms) for transaction, body in done]
        answers = iter(self._run_all([call for call in calls if call is not None]))
        found: list[bool | StoreUnavailableError] = []
        for call in calls:
            answer = 1 if call is None else next(answers)
            found.append(StoreUnavailableError(str(answer)) if isinstance(answer, FailedError) else bool(answer))
        return found

    def peer(self, peer_id: str) -> RegisteredPeer | None:
        """The registration of a peer."""
        version, listed, rest, *_ = self._run("begin", peer_id, "", 0, 0, 0)
        return read(listed, rest) if version else None

    def members(self, swarm_id: str) -> Sequence[RegisteredPeer]:
        """Peers of a swarm, without their swarms: all, or a random sample of so many."""
        return [self._read_member(record) for record in self._run("sample", swarm_id, CANDIDATES)]

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
        if now < self._reap_at:
            return
        self._reap_at = now + REAP_INTERVAL
        try:
            # A Redis that has lost everything is given the key back, for trackers that start later.
            if self._run("reap", REAP_COUNT, self._nonce_key) == REAP_COUNT:
                self._reap_at = now
        except StoreUnavailableError as error:
            logger.info("no peers are removed for now: %s", error)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _run(self, name: str, *arguments: Argument) -> Any:
        """What a script answers. Raises StoreUnavailableError; the script may have been done even so."""
        try:
            return self._redis.run(name, *arguments)
        except FailedError as error:
            raise StoreUnavailableError(str(error)) from error

    def _run_all(self, calls: Sequence[Call]) -> list[Any]:
        """What scripts answer, or a FailedError for one of them. Raises StoreUnavailableError for all."""
        if not calls:
            return []
        try:
            return self._redis.run_all(calls)
        except FailedError as error:
            raise StoreUnavailableError(str(error)) from error
