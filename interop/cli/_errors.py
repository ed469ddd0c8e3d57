"""What a person reads when something went wrong: one line, and the exit status that goes with it.

Exit status 2 is the user's mistake (a wrong word, a missing file, a used port), 1 is a failure of the work itself
(a timeout, a full disk), 128 + n is an end by signal n.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import click

_PROGRAM = "ietf-p2p"


class MistakeError(click.ClickException):
    """The user asked for something that cannot be; exit status 2."""

    exit_code = 2


class FailureError(click.ClickException):
    """The work was possible and did not succeed; exit status 1."""

    exit_code = 1


def one_line(error: click.ClickException) -> str:
    """What to print for `error`: the program's name, the message, and for a wrong word where to read the right ones."""
    text = " ".join(part.strip() for part in error.format_message().splitlines() if part.strip())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text = f"{text.rstrip('.')} ('{error.ctx.command_path} --help' tells more)"
    return f"{_PROGRAM}: {text}"


def reason(error: OSError) -> str:
    """The operating system's words for `error`, without number and path."""
    return error.strerror or str(error) or type(error).__name__


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run a command's coroutine and return the exit status that it returns.

    Ctrl-C cancels it (asyncio's runner does) and ends as `KeyboardInterrupt`; SIGTERM cancels it and gives 143.
    """
    return asyncio.run(_with_sigterm(work))


async def _with_sigterm(work: Coroutine[Any, Any, int]) -> int:
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if terminated:
            return 128 + signal.SIGTERM
        raise
