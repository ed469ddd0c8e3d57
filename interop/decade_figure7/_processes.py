"""The programs of the scenario: each a process of its own, and none outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from interop._lifetime import with_us
from interop.decade_figure7 import Figure7Error

Fields: TypeAlias = dict[str, Any]
OURS = (sys.executable, "-m", "interop")
"""How our own command line is run."""
GRACE = 10.0
"""Seconds that a program gets to end when it is told to."""
PATIENCE = 90.0
"""Seconds without the line that is waited for: longer than anything here takes on a machine that is busy."""
_MAX_LINE = 2**20


class Program:
    """A program that runs on and prints JSON lines."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    async def event(self, kind: str) -> Fields:
        """The next line of this kind. Raises Figure7Error when it ends before, or says nothing for long."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                async for line in self._process.stdout:
                    fields: Fields = json.loads(line)
                    if fields["event"] == kind:
                        return fields
                await self._process.wait()
        except TimeoutError as error:
            raise Figure7Error(f"{self.name} does not say {kind!r}: {_last(self._log)}") from error
        raise Figure7Error(f"{self.name} ended with status {self._process.returncode}: {_last(self._log)}")

    def tell_end(self) -> None:
        """Ask it to end; harmless when it has."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    async def kill(self) -> None:
        """End it at once, as a machine that fails does; harmless when it has."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def end(self) -> None:
        """Have it end, and wait for that."""
        self.tell_end()
        try:
            await asyncio.wait_for(self._process.wait(), GRACE)
        except TimeoutError:
            await self.kill()


class Programs:
    """All of them; leaving the `async with` ends those that are left."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where they write their stderr."""
        self._folder = folder
        self._programs: list[Program] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(program.end() for program in self._programs))

    async def start(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> Program:
        """Start one. `environment`: besides ours."""
        log = self._folder / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *map(str, command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=_MAX_LINE,
                env={**os.environ, **(environment or {})},
                preexec_fn=with_us(),
            )
        program = Program(name, process, log)
        self._programs.append(program)
        return program

    async def run(self, name: str, command: Sequence[str | Path]) -> None:
        """Run one to its end. Raises Figure7Error unless it succeeds."""
        program = await self.start(name, command)
        # What it prints is nothing to wait for.
        await program._process.communicate()
        status = program._process.returncode
        if status:
            raise Figure7Error(f"{name} ended with status {status}: {_last(program._log)}")


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no word of why"
