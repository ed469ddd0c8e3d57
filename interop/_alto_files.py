"""Reading files of ALTO data: each mistake is one sentence that names the file, and the line where there is one."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from alto._json import Json, JsonError, loads
from alto.errors import ConfigurationError

_CHUNK = 128
"""Rows taken at a time: more of them take longer each, as they leave the processor's cache."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong when a file is read into a ConfigurationError."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 at octet {error.start}") from error
    except csv.Error as error:
        raise ConfigurationError(f"{path}: {error}") from error


def header(path: Path, due: Sequence[str]) -> list[str]:
    """The names in the first line of a CSV file; those that are due have to be there, in any case."""
    with path.open(encoding="utf-8-sig", newline="") as text:
        return _header(path, next(csv.reader(text, strict=True), []), due)


def rows(path: Path, due: Sequence[str]) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The columns of a CSV file, and its rows with their line numbers."""
    # A spreadsheet may put a byte order mark in front.
    reader = csv.reader(path.read_text("utf-8-sig").splitlines(), strict=True)
    columns = _header(path, next(reader, []), due)

    def lines() -> Iterator[tuple[int, list[str]]]:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(columns):
                raise ConfigurationError(
                    f"{path}, line {reader.line_num}: {len(columns)} cells are due, there are {len(row)}"
                )
            yield reader.line_num, [cell.strip() for cell in row]

    return columns, lines()


def _header(path: Path, first: Sequence[str], due: Sequence[str]) -> list[str]:
    known = {name.lower(): name for name in due}
    columns = [known.get(name.strip().lower(), name.strip()) for name in first]
    if not set(due) <= set(columns):
        raise ConfigurationError(f"{path}, line 1: the columns {' and '.join(due)} are due, not {columns}")
    if len(set(columns)) != len(columns):
        raise ConfigurationError(f"{path}, line 1: a column is there twice")
    return columns


class UnevenError(ValueError):
    """A CSV file with blank lines, or with rows of another length than its first."""


def chunks(path: Path, due: Sequence[str]) -> Iterator[tuple[list[str], list[tuple[str, ...]]]]:
    """The columns of a CSV file as `rows` has them, with the cells of each for some rows at a time.

    That is several times as fast, and nothing is stripped. Raises UnevenError for what has to be read by `rows`.
    """
    with path.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, strict=True)
        columns = _header(path, next(reader, []), due)
        while chunk := list(islice(reader, _CHUNK)):
            try:
                cells = list(zip(*chunk, strict=True))
            except ValueError as error:
                raise UnevenError from error
            if len(cells) != len(columns):
                raise UnevenError
            yield columns, cells


def member(path: Path, name: str) -> Any:
    """The object `name` of a JSON file that is what an ALTO server answers with."""
    try:
        tree: Json = loads(path.read_bytes())
    except JsonError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get(name), dict):
        raise ConfigurationError(f"{path}: an object with the member {name!r} is due, as ALTO servers answer it")
    return tree[name]
