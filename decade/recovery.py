"""What is to be done after a crash, from the names in an index and the names of files.

An object's file is durable under its name before its row is written, and its row is gone before its file is. So a file
without a row was never answered for, or is deleted already; a row without a file has lost it outside of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import attrs


@attrs.frozen
class DropRows:
    """Every row of this name goes: there is no file to serve."""

    name: str


@attrs.frozen
class RemoveFile:
    """The file goes: nobody was told that it is stored, and no account pays for it."""

    name: str


RecoveryAction: TypeAlias = DropRows | RemoveFile


def recover(index_rows: Iterable[str], file_names: Iterable[str]) -> Iterator[RecoveryAction]:
    """Compare the names in an index, one for each row, with the names of files, each of them once; both ascending.

    It keeps one name of each in memory, whatever their number.
    """
    files = iter(file_names)
    file = next(files, None)
    last = None
    for row in index_rows:
        if row == last:
            continue
        while file is not None and file < row:
            yield RemoveFile(file)
            file = next(files, None)
        if row == file:
            file = next(files, None)
        else:
            yield DropRows(row)
        last = row
    if file is not None:
        yield RemoveFile(file)
        yield from map(RemoveFile, files)
