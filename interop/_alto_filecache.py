"""What files were made into, kept while they are the same, and which files those are."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

_T = TypeVar("_T")

Signature: TypeAlias = tuple[int, int, int] | None
"""What differs when a file does; None for one that is not there."""


def signature(path: Path) -> Signature:
    """Looks at the file system only."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class FileCache:
    """Makes values from files, and makes them again only when a file is another.

    It is for one thread at a time.
    """

    def __init__(self) -> None:
        self._made: dict[object, tuple[Signature, Any]] = {}
        self._seen: dict[Path, Signature] = {}
        self._used: set[object] = set()

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """While all values are asked for: those that are not are forgotten, unless it ends in an exception."""
        before, self._seen, self._used = self._seen, {}, set()
        try:
            yield
        except BaseException:
            # What was not come to may be where the mistake is mended.
            for path in before:
                if path not in self._seen:
                    self.watch(path)
            raise
        self._made = {key: made for key, made in self._made.items() if key in self._used}

    def made(self, path: Path | None, how: object, make: Callable[[], _T]) -> _T:
        """What `make` makes of the file, or of nothing that changes; `how` tells it from all else that is made of it.

        Raises what `make` raises.
        """
        key = (path, how)
        now = None if path is None else self.watch(path)
        self._used.add(key)
        found = self._made.get(key)
        if found is None or found[0] != now:
            found = self._made[key] = (now, make())
        value: _T = found[1]
        return value

    def watch(self, path: Path) -> Signature:
        """Look after a file that is read elsewhere, from now on."""
        now = self._seen[path] = signature(path)
        return now

    def changed(self) -> bool:
        """Whether a file that was asked for is another than when it was."""
        return any(signature(path) != seen for path, seen in self._seen.items())

    def signatures(self) -> dict[Path, Signature]:
        """What the files are now."""
        return {path: signature(path) for path in self._seen}
