"""`ietf-p2p decade demo`: what DECADE is for, with a real file, two servers and the clients of two protocols."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from decade.client import MAX_OBJECT
from decade.client_exchange import FailedError
from interop.cli._errors import FailureError, MistakeError, reason, run
from interop.cli._options import JSON
from interop.cli._progress import emit, note, octets
from interop.decade_figure7 import Figure7Error
from interop.demo_media import DemoMediaError, demo_media

LEAST = 10**6
"""Octets of the file: fewer are at the other server before anybody waits for them."""


@click.command(
    epilog="Without --file it makes a film: H.264 and AAC, encoded on the spot.\n\n"
    "Example:\n\n\b\n  ietf-p2p decade demo --seconds 10"
)
@click.option("--file", type=click.Path(path_type=Path), help="The file to deliver.  [default: a film]")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=4.0,
    show_default=True,
    help="How long the first server needs to send the file.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="demo-out",
    show_default=True,
    help="Where the film is kept, and everything else is while it goes on.",
)
@JSON
def command(file: Path | None, seconds: float, folder: Path, as_json: bool) -> int:
    """Store a file at a server, have it delivered to another one, and serve clients of PPSPP and BitTorrent there.

    They read while it is still being delivered, and later ones when the first server and the source are gone. Who has
    no right to read is refused, and two accounts get what their weights say. Exit status 1 unless all of it goes so.
    """
    if importlib.util.find_spec("libtorrent") is None:
        raise MistakeError("the client of BitTorrent is libtorrent: pip install 'ietf-p2p[demo]'")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        film = _film(folder) if file is None else _checked(file)
        work = Path(tempfile.mkdtemp(prefix="run-", dir=folder.resolve()))
    except OSError as error:
        raise MistakeError(f"{error.filename or folder}: {reason(error)}") from error
    try:
        return _play(film, work, seconds, as_json=as_json)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _checked(file: Path) -> Path:
    size = os.stat(file).st_size
    if not file.is_file() or not LEAST <= size <= MAX_OBJECT:
        raise MistakeError(f"{file}: a file is due of {octets(LEAST)} to {octets(MAX_OBJECT)}")
    return file.resolve()


def _film(folder: Path) -> Path:
    if not (folder / "demo.mp4").exists():
        note("making a film for the demo (H.264 and AAC), once ...")
    try:
        return demo_media(folder).resolve()
    except DemoMediaError as error:
        raise FailureError(str(error)) from error


def _play(film: Path, work: Path, seconds: float, *, as_json: bool) -> int:
    # Imported here, so that `--help` need not wait for the libraries.
    from interop.decade_figure7.story import play

    started, steps = time.monotonic(), 0

    def tell(step: str, text: str, **fields: Any) -> None:
        nonlocal steps
        steps += 1
        passed = time.monotonic() - started
        if as_json:
            emit(step, seconds=round(passed, 3), **fields)
        else:
            click.echo(f"{passed:6.1f} s  {text}")

    async def all_of_it() -> int:
        size = await play(film, work, seconds=seconds, tell=tell)
        passed = time.monotonic() - started
        if as_json:
            emit("demo", octets=size, steps=steps, seconds=round(passed, 3))
        else:
            click.echo(f"All as it should be: {octets(size)}, {steps} steps in {passed:.1f} s.")
        return 0

    try:
        return run(all_of_it())
    except (Figure7Error, FailedError) as error:
        raise FailureError(str(error)) from error
