"""`ietf-p2p demo`: the whole story in one command, with a real file and every party a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
from rich import box
from rich.console import Console
from rich.table import Table

from interop.cli._children import Children, Fields
from interop.cli._errors import FailureError, MistakeError, reason, run
from interop.cli._options import JSON, rate
from interop.cli._progress import LINE_SECONDS, emit, note, octets, rich_progress
from interop.demo_media import DemoMediaError, demo_media

if TYPE_CHECKING:
    from rich.progress import TaskID

_LOCAL = "127.0.0.1:0"
# Longer than anybody watches: a peer serves on until the last one is complete.
_SEED_SECONDS = "86400"
# A swarm this many times slower than the source alone has failed, and this many seconds for starting.
_PATIENCE = 3
_START_SECONDS = 60
_LOOK_SECONDS = 0.25


@attrs.define
class _Peer:
    """What the demo knows of one peer: the last progress, and in the end its report."""

    number: int
    copy: Path
    done: int = 0
    rate: float = 0.0
    result: Fields | None = None
    identical: bool = False

    @property
    def name(self) -> str:
        return f"peer {self.number}"

    def take(self, event: Fields) -> None:
        if event["event"] == "progress" and self.result is None:
            self.done, self.rate = event["octets"], event["octets_per_second"]
        elif event["event"] == "complete":
            self.result = event
            self.done = event["octets"]


@attrs.frozen
class _Plan:
    """What is streamed to how many, from where at which rate (octets a second), and where the copies are made."""

    file: Path
    size: int
    peers: int
    upload_limit: float
    work: Path
    as_json: bool

    @property
    def seconds_alone(self) -> float:
        """What the source would need for all peers without their help."""
        return self.peers * self.size / self.upload_limit


@attrs.frozen
class _Run:
    """How long the swarm took, and the address of its source."""

    seconds: float
    source: str


@click.command(
    epilog="Without --file it makes a film: H.264 and AAC, encoded on the spot.\n\n"
    "Example:\n\n\b\n  ietf-p2p demo --peers 4 --upload-limit 4M"
)
@click.option("--file", type=click.Path(path_type=Path), help="The file to stream. [default: a film made on the spot]")
@click.option("--peers", type=click.IntRange(1, 50), default=4, show_default=True, help="Peers that fetch it.")
@click.option(
    "--upload-limit",
    type=rate,
    default="4M",
    show_default=True,
    metavar="RATE",
    help="Octets a second that the source sends at most, so that peers must help one another.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="demo-out",
    show_default=True,
    help="Where the film is kept and the copies are made.",
)
@JSON
def command(file: Path | None, peers: int, upload_limit: float, folder: Path, as_json: bool) -> int:
    """Stream a real file through a swarm: one tracker, one source, several peers, each a process of its own.

    Ends with a table of who got how much from whom, and with exit status 1 unless every copy is byte-identical.
    """
    if file is None:
        file = _film(_made(folder))
    elif not file.is_file():
        raise MistakeError(f"{file}: {'not a file' if file.exists() else 'No such file or directory'}")
    size = file.stat().st_size
    if not size:
        raise MistakeError(f"{file}: the file is empty, and RFC 7574 has no swarm for content of no octets")
    work = Path(tempfile.mkdtemp(prefix="run-", dir=_made(folder)))
    try:
        return run(_demo(_Plan(file, size, peers, upload_limit, work, as_json)))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise MistakeError(f"{folder}: {reason(exc)}") from exc
    if not os.access(folder, os.W_OK):
        raise MistakeError(f"{folder}: Permission denied")
    return folder


def _film(folder: Path) -> Path:
    if not (folder / "demo.mp4").exists():
        note("making a film for the demo (H.264 and AAC), once ...")
    try:
        return demo_media(folder)
    except DemoMediaError as exc:
        raise FailureError(str(exc)) from exc
    except OSError as exc:
        raise MistakeError(f"{folder}: {reason(exc)}") from exc


async def _demo(plan: _Plan) -> int:
    suffix = plan.file.suffix
    party = [_Peer(number, plan.work / f"peer-{number}{suffix}") for number in range(1, plan.peers + 1)]
    ran = await _stream(plan, party)
    wanted = await asyncio.to_thread(_digest, plan.file)
    for peer in party:
        peer.identical = await asyncio.to_thread(_digest, peer.copy) == wanted
    _report(plan, party, ran)
    if not all(peer.identical for peer in party):
        raise FailureError("a copy differs from the source's file")
    return 0


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


async def _stream(plan: _Plan, party: list[_Peer]) -> _Run:
    """Run the swarm until every peer has the file; the processes have ended when this returns."""
    async with Children(plan.work) as children:
        url = (await _answer(children, "tracker", "url", "tracker", "--listen", _LOCAL))["url"]
        note(f"tracker: {url}")
        words = ["--tracker", url, "--listen", _LOCAL, "--upload-limit", f"{plan.upload_limit:.0f}"]
        source = await _answer(children, "source", "uri", "seed", *words, "--", str(plan.file))
        note(f"source: {octets(plan.size)} at {octets(plan.upload_limit)}/s on {source['listen']}\n{source['uri']}")
        started = time.monotonic()
        for peer in party:
            words = ["-o", str(peer.copy), "--listen", _LOCAL, "--seed-after", _SEED_SECONDS]
            await children.start(peer.name, peer.take, "fetch", source["uri"], *words)
        patience = _START_SECONDS + _PATIENCE * plan.seconds_alone
        try:
            async with asyncio.timeout(patience):
                await children.until(_watch(plan, party))
        except TimeoutError as exc:
            raise FailureError(f"the swarm is not complete after {patience:.0f} s") from exc
        return _Run(time.monotonic() - started, source["listen"])


async def _answer(children: Children, name: str, key: str, command: str, *words: str) -> Fields:
    """Start a process and wait for the first object with this key that it prints."""
    answer: asyncio.Future[Fields] = asyncio.get_running_loop().create_future()

    def take(event: Fields) -> None:
        if key in event and not answer.done():
            answer.set_result(event)

    await children.start(name, take, command, *words)
    return await children.until(answer)


async def _watch(plan: _Plan, party: list[_Peer]) -> None:
    """Show how far every peer is, until all are complete."""
    with _display(as_json=plan.as_json) as show:
        while not all(peer.result for peer in party):
            show(party, plan.size)
            await asyncio.sleep(_LOOK_SECONDS)
        show(party, plan.size)


@contextlib.contextmanager
def _display(*, as_json: bool) -> Iterator[Callable[[list[_Peer], int], None]]:
    if as_json or not sys.stderr.isatty():
        due = time.monotonic() + LINE_SECONDS

        def show_line(party: list[_Peer], size: int) -> None:
            nonlocal due
            if time.monotonic() >= due:
                due += LINE_SECONDS
                states = (f"{peer.name} {100 * peer.done / size:.0f} % {octets(peer.rate)}/s" for peer in party)
                note("  ".join(states))

        yield show_line
        return
    with rich_progress() as progress:
        tasks: list[TaskID] = []

        def show_bars(party: list[_Peer], size: int) -> None:
            if not tasks:
                tasks.extend(progress.add_task(peer.name, total=size, state="") for peer in party)
            for peer, task in zip(party, tasks, strict=True):
                state = "complete" if peer.result else f"{100 * peer.done / size:.1f} %  {octets(peer.rate)}/s"
                progress.update(task, completed=peer.done, state=state)

        yield show_bars


def _report(plan: _Plan, party: list[_Peer], ran: _Run) -> None:
    if plan.as_json:
        emit(
            "demo",
            octets=plan.size,
            seconds=round(ran.seconds, 3),
            seconds_from_the_source_alone=round(plan.seconds_alone, 3),
            peers=[{"peer": peer.number, **_figures(peer, ran.source)} for peer in party],
        )
        return
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("peer", "seconds", "MB/s", "from source", "from peers", "chunks failed", "identical"):
        table.add_column(title, justify="left" if title == "peer" else "right")
    for peer in party:
        figures = _figures(peer, ran.source)
        table.add_row(
            str(peer.number),
            f"{figures['seconds']:.1f}",
            f"{figures['octets_per_second'] / 1e6:.2f}",
            f"{100 * (1 - figures['share_from_peers']):.0f} %",
            f"{100 * figures['share_from_peers']:.0f} %",
            str(figures["chunks_refused"]),
            "yes" if figures["identical"] else "NO",
        )
    Console().print(table)
    click.echo(
        f"{octets(plan.size)} to {plan.peers} peers in {ran.seconds:.1f} s; "
        f"the source alone, at {octets(plan.upload_limit)}/s, would need {plan.seconds_alone:.1f} s"
    )


def _figures(peer: _Peer, source: str) -> Fields:
    assert peer.result is not None
    given = {one["address"]: one["octets"] for one in peer.result["peers"]}
    received = sum(given.values())
    return {
        "seconds": peer.result["seconds"],
        "octets_per_second": peer.result["octets_per_second"],
        "share_from_peers": round(1 - given.get(source, 0) / received, 4) if received else 0.0,
        "chunks_refused": peer.result["chunks_refused"],
        "identical": peer.identical,
    }
