"""How the commands print: tables that fit a terminal, aligned columns elsewhere, JSON for programs.

Everything that a server has sent goes through `clean`: a terminal does what control characters say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from alto._json import Json

if TYPE_CHECKING:
    from rich.console import Console

Cell = str | tuple[str, str]
"""A text, perhaps with a colour or another style."""

# The longest names that are never folded, whatever the terminal's width.
_NAME = 32
_BLOCKS = " ▏▎▍▌▋▊▉█"


def clean(text: str) -> str:
    """A text without control characters, and whatever else does not print."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)


def is_terminal() -> bool:
    """Whether a person reads this as it comes."""
    return sys.stdout.isatty()


def console() -> Console:
    """Where rich prints to."""
    # Imported here, since it takes a tenth of a second that a pipe need not wait for.
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def width() -> int:
    """The columns of the terminal."""
    return console().width


def line(text: str, style: str = "") -> None:
    """One line of text."""
    if is_terminal():
        console().print(clean(text), style=style or None, soft_wrap=True)
    else:
        click.echo(clean(text))


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: Sequence[int] = (), title: str = ""
) -> None:
    """A table; `right` are the places of columns of numbers. Where a cell has several lines, elsewhere it has one."""
    listed = [list(row) for row in rows]
    if is_terminal():
        _rich_table(headers, listed, right, title)
        return
    if title:
        click.echo(clean(title))
    texts = [list(headers), *([clean(_text(cell).replace("\n", "; ")) for cell in row] for row in listed)]
    widths = [max(len(row[place]) for row in texts) for place in range(len(headers))]
    for row in texts:
        cells = [
            text.rjust(width) if place in right else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def _rich_table(headers: Sequence[str], rows: list[list[Cell]], right: Sequence[int], title: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, header in enumerate(headers):
        # What comes first names the row, and is to be found as it is.
        is_name = place == 0 and all(len(_text(row[0])) <= _NAME for row in rows)
        made.add_column(header, justify="right" if place in right else "left", overflow="fold", no_wrap=is_name)
    for row in rows:
        made.add_row(*(Text(_lines(_text(cell)), style="" if isinstance(cell, str) else cell[1]) for cell in row))
    paper = console()
    if title:
        paper.print(clean(title), style="bold", soft_wrap=True)
    paper.print(made)
    paper.print()


def _lines(text: str) -> str:
    return "\n".join(map(clean, text.split("\n")))


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def number(value: float | None) -> str:
    """A number as people write it; a dash for none."""
    if value is None:
        return "-"
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def value_text(value: Json) -> str:
    """Any JSON value in one line: a text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float | int) and not isinstance(value, bool):
        return number(float(value))
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def bits(rate: float) -> str:
    """Bits a second to read: `10 Gbit/s`."""
    for unit in ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"):
        if abs(rate) < 1000 or unit == "Tbit/s":
            break
        rate /= 1000
    return f"{number(round(rate, 3))} {unit}"


def span(seconds: float) -> str:
    """A length of time in the largest unit that fits: `6 h`, `90 s`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{number(seconds / size)} {unit}"
    return f"{number(seconds)} s"


def local_time(unix: float | None) -> str:
    """A time as the clock on this wall shows it: `Mon 2026-07-20 14:00:00`; a dash where no clock can."""
    try:
        return "-" if unix is None else f"{datetime.fromtimestamp(unix).astimezone():%a %Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return "-"


def bar(share: float, columns: int) -> str:
    """A bar that fills so much of some columns, in eighths of one; never nothing for a share above 0."""
    eighths = round(max(0.0, min(share, 1.0)) * columns * 8)
    if share > 0:
        eighths = max(eighths, 1)
    return "█" * (eighths // 8) + (_BLOCKS[eighths % 8] if eighths % 8 else "")


def as_json(tree: Any) -> None:
    """One JSON value on one line."""
    click.echo(json.dumps(tree))


def counted(count: int, name: str, plural: str = "") -> str:
    """`1 prefix`, `12 prefixes`."""
    return f"{count} {name if count == 1 else plural or name + 's'}"
