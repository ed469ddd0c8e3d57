"""Processes of this command line that end with this one, whatever ends it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from interop._lifetime import with_us
from interop.cli._errors import FailureError

Fields: TypeAlias = dict[str, Any]
_Result = TypeVar("_Result")
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
    """Any number of child processes. Leaving the `async with` ends them; a child that ends earlier is a failure.

    The first one is what the others talk to, and ends last, so that they can say goodbye.
    """

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
        await _end(self._children[1:])
        await _end(self._children[:1])
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        if self._ended.done():
            self._ended.exception()  # it was told already, or no longer matters
        self._ended.cancel()

    async def start(self, name: str, take: Callable[[Fields], None], command: str, *words: str) -> Child:
        """Start a command of `ietf-p2p` with `--json`; `take` is given every object that it prints."""
        log = self._folder / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "interop",
                command,
                "--json",
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=_MAX_LINE,
                preexec_fn=with_us(),
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


async def _end(children: list[Child]) -> None:
    """Ask the processes to end, and kill those that do not."""
    ending = {asyncio.create_task(child.process.wait()): child for child in children}
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.process.terminate()
    late = (await asyncio.wait(ending, timeout=_GRACE))[1] if ending else set()
    for task in late:
        with contextlib.suppress(ProcessLookupError):
            ending[task].process.kill()
        await task
