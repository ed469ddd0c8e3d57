"""A thread that does jobs in their order: those that come while others are on their way to the disk go together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

MAX_BATCH = 256
"""Jobs in one transaction: the first of them waits for the last, some 20 ms on a slow disk."""

_Job = TypeVar("_Job")


class Committer(Generic[_Job]):
    """Gives jobs to a function that does many of them at a time."""

    def __init__(self, settle: Callable[[Sequence[_Job]], Sequence[object]]) -> None:
        """`settle`: does jobs; for each its result, or the exception of one that has changed nothing."""
        self._settle = settle
        self._queue: queue.SimpleQueue[tuple[_Job, Future[object]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="decade-committer", daemon=True)
        self._thread.start()

    def submit(self, job: _Job) -> Future[object]:
        """Do a job; the future has its result when it is durable, or its exception. It must not be cancelled."""
        future: Future[object] = Future()
        self._queue.put((job, future))
        return future

    def do(self, job: _Job) -> object:
        """Do a job, and wait for it. Raises what its result is."""
        return self.submit(job).result()

    def close(self) -> None:
        """Do what was submitted, and end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            is_last = False
            while len(batch) < MAX_BATCH:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    is_last = True
                    break
                batch.append(following)
            try:
                results = self._settle([job for job, _ in batch])
            except Exception as failure:  # noqa: BLE001 - told to everyone who waits
                results = [failure] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
            if is_last:
                return
