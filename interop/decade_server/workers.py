"""Processes that serve one socket together: each is a copy of this one from before it has begun anything."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

from interop._lifetime import with_us
from interop.cli._progress import note

_STARTED = signal.SIGRTMIN
"""A worker tells that it listens; signals of this kind are queued."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, _STARTED)
Serve = Callable[[Callable[[], None]], int]


def run_workers(count: int, serve: Serve, started: Callable[[], None]) -> int:
    """Run `serve(started)` in as many processes until they are told to end, and return the exit status.

    Each worker calls its own `started` when it listens; when all have, `started` is called here. SIGHUP is passed on.
    A worker that ends without being told is replaced, unless it could not even begin to listen: then all end.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        return _Workers(count, serve, started).run()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


class _Workers:
    def __init__(self, count: int, serve: Serve, started: Callable[[], None]) -> None:
        self._count = count
        self._serve = serve
        self._started: Callable[[], None] | None = started
        self._bind = with_us()
        self._running: set[int] = set()
        self._listening: set[int] = set()
        self._is_ending = False
        self._status = 0

    def run(self) -> int:
        for _ in range(self._count):
            self._fork()
        while self._running:
            told = signal.sigwaitinfo(_SIGNALS)
            if told.si_signo == signal.SIGCHLD:
                self._reap()
            elif told.si_signo == _STARTED:
                self._listen(told.si_pid)
            elif told.si_signo == signal.SIGHUP:
                self._tell(signal.SIGHUP)
            else:
                self._end()
        return self._status

    def _fork(self) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._running.add(pid)
            return
        status = 1
        try:
            self._bind()
            # A reload that comes before it listens is not for it: it has just read the configuration.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            status = self._serve(lambda: os.kill(parent, _STARTED))
        except Exception:  # noqa: BLE001 - nobody above this process's start is to see it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _listen(self, pid: int) -> None:
        self._listening.add(pid)
        if self._started is not None and len(self._listening) == self._count:
            self._started()
            self._started = None

    def _reap(self) -> None:
        """Workers have ended."""
        while self._running:
            pid, code = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._running.discard(pid)
            has_listened = pid in self._listening
            self._listening.discard(pid)
            if self._is_ending:
                continue
            if has_listened:
                note(f"a worker has ended with status {os.waitstatus_to_exitcode(code)}; another one takes its place")
                self._fork()
            else:
                self._status = max(1, os.waitstatus_to_exitcode(code))
                self._end()

    def _end(self) -> None:
        self._is_ending = True
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for pid in self._running:
            os.kill(pid, number)
