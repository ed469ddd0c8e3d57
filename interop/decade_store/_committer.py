"""The thread that does the jobs of a store: those that come while others are on their way to the disk go together."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future

from interop.decade_store.settling import Job, Result, Settler

MAX_BATCH = 256
"""Jobs in one transaction: the first of them waits for the last, some 20 ms on a slow disk."""


class Committer:
    """Gives jobs to a `Settler`, in the order in which they came."""

    def __init__(self, settler: Settler) -> None:
        self._settler = settler
        self._queue: queue.SimpleQueue[tuple[Job, Future[Result]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="decade-committer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Future[Result]:
        """Do a job; the future has its result when it is durable, or the StoreError. It must not be cancelled."""
        future: Future[Result] = Future()
        self._queue.put((job, future))
        return future

    def do(self, job: Job) -> Result:
        """Do a job, and wait for it. Raises StoreError."""
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
                results = self._settler.settle([job for job, _ in batch])
            except Exception as failure:  # noqa: BLE001 - told to everyone who waits
                results = [failure] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
            if is_last:
                return
