"""How far the work is: a moving bar on a terminal, a line now and then elsewhere, JSON lines for a program.

Everything for people goes to stderr, so that stdout holds what the command was asked for and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from rich.progress import Progress

# Seconds between two lines where no terminal can redraw one.
LINE_SECONDS = 2.0
# Times a second that a terminal is redrawn.
_FRAMES = 8


@attrs.frozen
class Snapshot:
    """The state of the work: octets `done` of `total` (None: unknown), octets a second, and peers (None: no matter).

    `chunks` are those done, and how many there are in all (None: unknown), where octets cannot tell how far it is.
    """

    done: int
    total: int | None
    rate: float = 0.0
    peers: int | None = None
    chunks: tuple[int, int | None] | None = None

    @property
    def remaining(self) -> float | None:
        """Seconds to go at this rate; None where nobody can say."""
        if self.total is None or self.rate <= 0:
            return None
        return (self.total - self.done) / self.rate


class Display(Protocol):
    """Shows snapshots."""

    def show(self, snapshot: Snapshot) -> None: ...
    def close(self) -> None: ...


def display(title: str, *, as_json: bool = False) -> contextlib.closing[Display]:
    """The display that fits where the output goes; close it before printing anything else."""
    chosen: Display
    if as_json:
        chosen = _Json(title)
    elif sys.stderr.isatty():
        chosen = _Bar(title)
    else:
        chosen = _Lines(title)
    return contextlib.closing(chosen)


def emit(kind: str, **fields: Any) -> None:
    """Print one JSON object on stdout: the line of an event of this kind."""
    print(json.dumps({"event": kind, **fields}), flush=True)


def note(text: str) -> None:
    """A line for the person, on stderr."""
    # In one write: several workers may have something to say.
    print(text + "\n", end="", file=sys.stderr, flush=True)


def octets(count: float) -> str:
    """A number of octets to read: `31.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """A time to read: `1:05`; `-` where nobody can say."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def sentence(title: str, snapshot: Snapshot) -> str:
    """One line that says it all."""
    return f"{title}: {', '.join(_parts(snapshot))}"


def _parts(snapshot: Snapshot) -> list[str]:
    total = snapshot.total
    parts = [f"{100 * snapshot.done / total:.1f} % of {octets(total)}" if total else octets(snapshot.done)]
    if snapshot.chunks is not None and not total:
        done, count = snapshot.chunks
        parts.insert(0, f"{done} chunks" if count is None else f"{100 * done / count:.1f} % of {count} chunks")
    parts.append(f"{octets(snapshot.rate)}/s")
    if snapshot.peers is not None:
        parts.append(f"{snapshot.peers} peer{'' if snapshot.peers == 1 else 's'}")
    if total:
        parts.append(f"ETA {duration(snapshot.remaining)}")
    return parts


class _Lines:
    def __init__(self, title: str) -> None:
        self._title = title
        self._due = time.monotonic() + LINE_SECONDS
        self._told: tuple[int, int | None] | None = None

    def show(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        told = (snapshot.done, snapshot.peers)
        if now >= self._due and told != self._told:
            self._due = now + LINE_SECONDS
            self._told = told
            note(sentence(self._title, snapshot))

    def close(self) -> None:
        pass


class _Json:
    def __init__(self, title: str) -> None:
        self._title = title
        self._due = 0.0

    def show(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + 0.5
            emit(
                "progress",
                doing=self._title,
                octets=snapshot.done,
                total=snapshot.total,
                octets_per_second=round(snapshot.rate),
                peers=snapshot.peers,
                **(
                    {}
                    if snapshot.chunks is None
                    else dict(zip(("chunks", "chunk_count"), snapshot.chunks, strict=True))
                ),
            )

    def close(self) -> None:
        pass


class _Bar:
    """Appears with the first snapshot: work that has nothing to do shows nothing."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._progress: Progress | None = None

    def show(self, snapshot: Snapshot) -> None:
        if self._progress is None:
            self._progress = rich_progress()
            self._task = self._progress.add_task(self._title, total=None, state="")
            self._progress.start()
        state = "  ".join(_parts(snapshot))
        done, total = (snapshot.done, snapshot.total) if snapshot.chunks is None else snapshot.chunks
        self._progress.update(self._task, completed=done, total=total, state=state)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()


def rich_progress() -> Progress:
    """The look of every bar: what it is, the bar, and the field `state`."""
    # Imported here, since it takes a tenth of a second that a pipe need not wait for.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[state]}"),
        console=Console(stderr=True),
        refresh_per_second=_FRAMES,
        expand=True,
    )
