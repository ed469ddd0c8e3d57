"""Reading a TOML file key by key: what is missing, of the wrong type or unknown is one sentence that names the key."""

import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

_T = TypeVar("_T")

_NAMES = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    dict: "a table",
    list: "an array",
    datetime: "a date with a time, such as 2026-01-31T00:00:00Z",
}


class TomlError(ValueError):
    """What is wrong with the file, in one sentence that names the file and the key or line."""


def read(path: Path) -> "Table":
    """The outermost table of a file. Raises TomlError."""
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise TomlError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TomlError(f"{path}: not UTF-8 at octet {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise TomlError(f"{path}: {error}") from error
    return Table(tree, path, "")


class Table:
    """A table, whose keys are taken one by one. Each method raises TomlError."""

    def __init__(self, tree: Mapping[str, Any], file: Path, key: str) -> None:
        self._tree = dict(tree)
        self._known: list[str] = []
        self._file = file
        self._key = key

    @property
    def where(self) -> str:
        """The file and the key of this table: how a sentence about it begins."""
        return f"{self._file}: {self._key}" if self._key else str(self._file)

    def wrong(self, text: str, name: str = "") -> TomlError:
        """The error of this table, or of one of its keys."""
        return TomlError(f"{self._file}: {self._join(name)}: {text}" if name or self._key else f"{self._file}: {text}")

    def text(self, name: str) -> str | None:
        return self._take(name, str)

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of strings; none where the key is absent."""
        found: list[Any] = self._take(name, list) or []
        if not all(isinstance(text, str) for text in found):
            raise self.wrong("an array of strings is due", name)
        return tuple(found)

    def flag(self, name: str) -> bool | None:
        return self._take(name, bool)

    def integer(self, name: str, *, least: int) -> int | None:
        found = self._take(name, int)
        if found is not None and found < least:
            raise self.wrong(f"at least {least} is due, not {found}", name)
        return found

    def text_or_integer(self, name: str) -> str | int | None:
        return self.text(name) if isinstance(self._tree.get(name), str) else self._take(name, int)

    def positive(self, name: str) -> float | None:
        found = self._take(name, float)
        if found is not None and not 0 < found < float("inf"):
            raise self.wrong(f"a number above 0 is due, not {found}", name)
        return found

    def moment(self, name: str) -> float | None:
        """A date with a time and a zone, as Unix time."""
        found = self._take(name, datetime)
        if found is not None and found.tzinfo is None:
            raise self.wrong("a time zone is due, such as the Z in 2026-01-31T00:00:00Z", name)
        return None if found is None else found.timestamp()

    def file(self, name: str) -> Path | None:
        """The path of a file, from the folder of the TOML file."""
        found = self._take(name, str)
        return None if found is None else self._file.parent / found

    def plain(self, name: str) -> dict[str, Any] | None:
        """A table as it is."""
        return self._take(name, dict)

    def table(self, name: str) -> "Table | None":
        found = self._take(name, dict)
        return None if found is None else Table(found, self._file, self._join(name))

    def tables(self, name: str) -> dict[str, "Table"]:
        """A table of tables, by their names."""
        outer = self.table(name)
        if outer is None:
            return {}
        return {key: found for key in outer._tree for found in (outer.table(key),) if found is not None}

    def strings(self, name: str) -> dict[str, str]:
        """A table of strings."""
        outer = self.table(name)
        if outer is None:
            return {}
        return {key: found for key in outer._tree for found in (outer.text(key),) if found is not None}

    def due(self, name: str, found: _T | None) -> _T:
        """What was found at `name`, which is not to be left out."""
        if found is None:
            raise self.wrong(f"the key {name!r} is missing")
        return found

    def finish(self) -> None:
        """To be called when every key was taken: others are mistakes."""
        for name in self._tree:
            if name not in self._known:
                raise self.wrong(f"no such key; there are {', '.join(self._known)}", name)

    def _join(self, name: str) -> str:
        return ".".join(part for part in (self._key, name) if part)

    def _take(self, name: str, kind: type[_T]) -> _T | None:
        self._known.append(name)
        found: Any = self._tree.get(name)
        if found is None:
            return None
        if kind is float and type(found) is int:
            found = float(found)
        # A boolean is an integer to Python.
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            raise self.wrong(f"{_NAMES[kind]} is due, not {found!r:.80}", name)
        return found
