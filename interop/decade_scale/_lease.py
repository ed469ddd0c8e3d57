"""A worker among those that share a Redis, and the octets that it has reserved there.

A worker that has not said for LEASE that it lives is buried: what it has reserved is free. When it is not known whether
a command was done, the worker goes on under another name with what it knows that it has reserved: a command that comes
late finds the old name gone. So what is reserved is never less than what uploads in progress need, and an upload whose
reservation has lapsed cannot be stored.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from decade.errors import StateError, StoreError
from interop.decade_scale._engine import Argument, Engine, UnsureError, pairs

logger = logging.getLogger(__name__)
LEASE = 30.0
"""Seconds: longer than any pause of a healthy process, and short beside an operator's patience for a full account."""
MAX_TRIED = 16
"""Names that a worker may have taken without knowing: one that it took longer ago was not used and is buried."""


class Lease:
    """The name of a worker, and its reservations. Its methods may be called from any thread."""

    def __init__(self, engine: Engine, *, seconds: float = LEASE) -> None:
        """Join the workers. Raises StoreError."""
        self._engine = engine
        self._lease_ms = round(seconds * 1000)
        self.name = secrets.token_hex(8)
        self._tried: list[str] = []
        self._reserved: Counter[str] = Counter()
        self._forfeited: Counter[tuple[tuple[str, ...], int]] = Counter()
        self._has_lapsed = self._is_unsure = self._is_moving = False
        self._busy = 0
        self._changed = threading.Condition()
        self._is_closed = threading.Event()
        self._beat("join")
        self._thread = threading.Thread(target=self._keep_alive, args=(seconds / 5,), name="decade-worker", daemon=True)
        self._thread.start()

    def reserve(self, nodes: tuple[str, ...], bounds: Sequence[Argument], octets: int) -> Any:
        """What the script says: all reserved, or what is short or outdated. `bounds`: a limit and a version for each.

        Raises StoreError, with nothing reserved.
        """
        for _ in range(2):
            with self._using() as name:
                reply = self._run("reserve", name, octets, *nodes, *bounds)
                if reply[0] == b"done":
                    with self._changed:
                        self._reserved.update(dict.fromkeys(nodes, octets))
            if reply[0] != b"buried":
                return reply
            self._move()
        raise StoreError("this worker was taken for dead twice in a row")

    def release(self, nodes: tuple[str, ...], octets: int) -> None:
        """What was reserved is free, now or as soon as the server answers again. Raises StateError if it was not."""
        with self._changed:
            if self._forfeited[nodes, octets]:
                self._forfeited[nodes, octets] -= 1
                return
        is_told = False
        try:
            with self._using() as name:
                if not self._forget(nodes, octets):
                    return
                is_told = True
                self._run("release", name, octets, *nodes)
        except StoreError as exc:
            if not is_told:
                self._forget(nodes, octets)
            with self._changed:
                self._is_unsure = True
            logger.warning("octets that were reserved are free a while later: %s", exc)

    def store(self, nodes: tuple[str, ...], octets: int, *arguments: Argument) -> Any:
        """Run the script that turns a reservation into what is stored: what it says, unless the reservation has lapsed.

        It stays reserved if the object is not new. Raises StoreError; the caller releases it then, whether the script
        was done or not.
        """
        with self._using() as name:
            try:
                reply = self._run("put", name, *arguments)
            except UnsureError:
                with self._changed:
                    if self._forget(nodes, octets):
                        self._forfeited[nodes, octets] += 1
                raise
            if reply[0] == b"new":
                self._forget(nodes, octets)
            if reply[0] != b"buried":
                return reply
        raise StoreError("what was reserved has lapsed: this worker was taken for dead")

    def close(self) -> None:
        """Leave the workers: nothing is reserved any more."""
        self._is_closed.set()
        self._thread.join()
        try:
            self._engine.run("bury", self.name)
        except StoreError as exc:
            logger.warning("what this worker has reserved is free when its lease ends: %s", exc)

    @contextmanager
    def _using(self) -> Iterator[str]:
        """The name, which does not change meanwhile."""
        if self._is_unsure:
            self._move()
        with self._changed:
            self._changed.wait_for(lambda: not self._is_moving)
            self._busy += 1
        try:
            yield self.name
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _run(self, script: str, *arguments: Argument) -> Any:
        try:
            return self._engine.run(script, *arguments)
        except UnsureError:
            with self._changed:
                self._is_unsure = True
            raise

    def _forget(self, nodes: tuple[str, ...], octets: int) -> bool:
        """Whether so much was reserved, which is no more. Raises StateError if it was not, and has not lapsed."""
        with self._changed:
            if any(self._reserved[node] < octets for node in nodes):
                if self._has_lapsed:
                    return False
                raise StateError("a node does not hold what is to be taken from it")
            self._reserved.subtract(dict.fromkeys(nodes, octets))
            self._reserved += Counter()
            return True

    def _move(self) -> None:
        """Go on under another name. Raises StoreError."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_moving)
            self._is_moving = True
            self._changed.wait_for(lambda: not self._busy)
        try:
            nodes, new = list(self._reserved), secrets.token_hex(8)
            numbers = [self._reserved[node] for node in nodes]
            old = [self.name, *self._tried]
            try:
                kept = self._engine.run("renew", new, len(old), *old, *pairs(nodes, numbers))
            except UnsureError:
                # It may have become its name all the same.
                self._tried = [*self._tried, new][-MAX_TRIED:]
                raise
            if kept != numbers:
                self._has_lapsed = True
                logger.warning("this worker was taken for dead: its uploads in progress will fail")
            self._reserved = Counter(dict(zip(nodes, kept, strict=True)))
            self.name, self._tried = new, []
            self._is_unsure = False
        finally:
            with self._changed:
                self._is_moving = False
                self._changed.notify_all()

    def _beat(self, how: str) -> bool:
        return bool(self._engine.run("beat", self.name, self._lease_ms, how))

    def _keep_alive(self, pause: float) -> None:
        while not self._is_closed.wait(pause):
            try:
                if self._is_unsure or not self._beat("stay"):
                    self._move()
            except StoreError as exc:
                logger.warning("this worker cannot say that it lives: %s", exc)
