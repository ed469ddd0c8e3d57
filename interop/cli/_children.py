"""Processes of this command line that end with this one, whatever ends it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from interop.cli._errors import FailureError

Fields: TypeAlias = dict[str, Any]
_Result = TypeVar("_Result")
# prctl(2): the signal that the kernel sends a process when its parent ends, even by kill -9.
_PR_SET_PDEATHSIG = 1
# A line of a child's output is a JSON object about at most some thousand peers.
_MAX_LINE = 1024 * 1024
# Seconds that a child may take to leave the swarm before it is killed.
_GRACE = 5.0


class Child:
    """One process: `ietf-p2p` with some words and `--json`, whose output lines are given to a callback."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self._log = log

    def last_words(self) -> str:
        """The last line that it wrote to stderr."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no word of why"


class Children:
    """Any number of child processes. Leaving the `async with` ends them; a child that ends earlier is a failure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []
        self._readers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        ending = [asyncio.create_task(child.process.wait()) for child in self._children]
        if ending:
            _, late = await asyncio.wait(ending, timeout=_GRACE)
            for child in self._children if late else ():
                with contextlib.suppress(ProcessLookupError):
                    child.process.kill()
            await asyncio.gather(*ending)
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        if self._ended.done():
            self._ended.exception()  # it was told already, or no longer matters
        self._ended.cancel()

    async def start(self, name: str, take: Callable[[Fields], None], *words: str) -> Child:
        """Start `ietf-p2p` with `words` and `--json`; `take` is given every object that it prints."""
        log = self._folder / f"{name.replace(' ', '-')}.log"
        parent = os.getpid()
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "interop",
                *words,
                "--json",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=_MAX_LINE,
                preexec_fn=lambda: _die_with(parent),
            )
        child = Child(name, process, log)
        self._children.append(child)
        self._readers.append(asyncio.create_task(self._read(child, take)))
        return child

    async def _read(self, child: Child, take: Callable[[Fields], None]) -> None:
        assert child.process.stdout is not None
        async for line in child.process.stdout:
            take(json.loads(line))
        status = await child.process.wait()
        if not self._ended.done():
            self._ended.set_exception(
                FailureError(f"the {child.name} ended with status {status}: {child.last_words()}")
            )

    async def until(self, work: Awaitable[_Result]) -> _Result:
        """Wait for `work`; raises FailureError when a child ends before."""
        task = asyncio.ensure_future(work)
        try:
            waiting: set[asyncio.Future[Any]] = {task, self._ended, *self._readers}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                for reader in self._readers:
                    if reader.done():
                        reader.result()  # raises what a line that is not ours made it raise
                await self._ended
        except BaseException:
            task.cancel()
            raise
        return task.result()


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with(parent: int) -> None:
    """In the child, before it becomes another program: ask to be ended with the parent, unless it has ended by now."""
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
