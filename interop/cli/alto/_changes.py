"""What differs between two ALTO documents, for people."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from alto._json import Json
from alto.patch import json_equal
from interop.cli import _show

_MAP = "network-map"
# Characters of a value that are shown.
_LONG = 120


@attrs.frozen
class Change:
    """`sign` is + for what is new, - for what is gone, ~ for what is different; `where` is a path with slashes."""

    sign: str
    where: str
    text: str

    @property
    def style(self) -> str:
        """Its colour."""
        return {"+": "green", "-": "red"}.get(self.sign, "yellow")

    def __str__(self) -> str:
        return f"{self.sign} {self.where}{': ' if self.text else ''}{self.text}"


def changes(old: Json, new: Json) -> Iterator[Change]:
    """Every change from one document to another. A prefix that is in another PID now is one change."""
    before, after = _prefixes(old), _prefixes(new)
    if before is None or after is None:
        yield from _differences(old, new, "")
        return
    yield from _differences(_without(old, _MAP), _without(new, _MAP), "")
    yield from (Change("-", f"{_MAP}/{name}", "") for name in old[_MAP] if name not in new[_MAP])
    yield from (Change("+", f"{_MAP}/{name}", "") for name in new[_MAP] if name not in old[_MAP])
    for prefix, pid in before.items():
        if prefix not in after:
            yield Change("-", f"{_MAP}/{pid}", prefix[1])
        elif after[prefix] != pid:
            yield Change("~", f"{_MAP}/{after[prefix]}", f"{prefix[1]}, before in {pid}")
    yield from (Change("+", f"{_MAP}/{pid}", prefix[1]) for prefix, pid in after.items() if prefix not in before)


def _prefixes(tree: Json) -> dict[tuple[str, str], str] | None:
    """The PID of each prefix of a network map, by address type and text; None for anything else."""
    pids = tree.get(_MAP) if isinstance(tree, dict) else None
    if not isinstance(pids, dict):
        return None
    found: dict[tuple[str, str], str] = {}
    for name, group in pids.items():
        for kind, prefixes in group.items() if isinstance(group, dict) else [("", None)]:
            if not isinstance(prefixes, list) or not all(isinstance(prefix, str) for prefix in prefixes):
                return None
            for prefix in prefixes:
                if found.setdefault((kind, prefix), name) != name:
                    return None
    return found


def _without(tree: Json, member: str) -> Json:
    return {name: value for name, value in tree.items() if name != member}


def _differences(old: Json, new: Json, path: str) -> Iterator[Change]:
    if json_equal(old, new):
        return
    where = path or "(document)"
    if isinstance(old, dict) and isinstance(new, dict):
        for name, value in old.items():
            below = f"{path}/{name}" if path else name
            if name not in new:
                yield Change("-", below, _short(value))
            else:
                yield from _differences(value, new[name], below)
        for name, value in new.items():
            if name not in old:
                yield Change("+", f"{path}/{name}" if path else name, _short(value))
    elif _are_names(old) and _are_names(new):
        before, after = set(old), set(new)
        yield from (Change("-", where, name) for name in old if name not in after)
        yield from (Change("+", where, name) for name in new if name not in before)
        if before == after:
            yield Change("~", where, "in another order")
    else:
        yield Change("~", where, f"{_short(old)} → {_short(new)}{_by(old, new)}")


def _short(value: Json) -> str:
    text = _show.value_text(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def _are_names(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(element, str) for element in value)


def _by(old: Json, new: Json) -> str:
    """How much more or less a number is."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (old, new)):
        return ""
    difference = float(new) - float(old)
    return f" ({'+' if difference > 0 else ''}{_show.number(difference)})"


def summary(tree: Json) -> str:
    """What a document holds, in a few words."""
    if not isinstance(tree, dict):
        return "a document"
    for member, name, plural in _MEMBERS:
        value = tree.get(member)
        if isinstance(value, dict | list):
            words = _show.counted(len(value), name, plural)
            if member == _MAP and (prefixes := _prefixes(tree)) is not None:
                words += f", {_show.counted(len(prefixes), 'prefix', 'prefixes')}"
            return words
    return _show.counted(len(tree), "member")


_MEMBERS = (
    (_MAP, "PID", ""),
    ("cost-map", "source", ""),
    ("endpoint-cost-map", "source", ""),
    ("endpoint-properties", "endpoint", ""),
    ("property-map", "entity", "entities"),
    ("resources", "resource", ""),
    ("cdni-advertisement", "member", ""),
)
