"""JSON as peers send it: read strictly where it could be a weapon, and member by member, noting what was forgiven."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeAlias, TypeVar

from ppsp.errors import DecodeError

Notes: TypeAlias = list[str]
"""What was forgiven: one line each, beginning with the path of the member."""
T = TypeVar("T")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return members


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number beyond what a double holds")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_not_json, parse_float=_finite)


def read_object(body: bytes, name: str, notes: Notes) -> dict[str, Any]:
    """The object that is member `name` of the object in `body`; DecodeError for anything else, JSON bombs included.

    Nesting is limited by Python's recursion limit and integers by its limit of digits: both end as DecodeError.
    """
    if body.startswith(b"\xef\xbb\xbf"):
        notes.append("a byte order mark before the text")
        body = body[3:]
    try:
        message = _DECODER.decode(body.decode())
    except RecursionError:
        raise DecodeError("not JSON that this can read: nested too deeply") from None
    except ValueError as error:
        raise DecodeError(f"not JSON in UTF-8: {str(error)[:200]}") from error
    if not isinstance(message, dict):
        raise DecodeError("the message is not an object")
    root = message.get(name)
    if not isinstance(root, dict):
        raise DecodeError(f"{name} is not an object")
    return root


class Members:
    """The members of one JSON object. Unknown ones are ignored (section 4.4); null counts as absent."""

    __slots__ = ("_members", "notes", "path")

    def __init__(self, members: dict[str, Any], path: str, notes: Notes) -> None:
        self._members = members
        self.path = path
        self.notes = notes

    def where(self, name: str) -> str:
        """The path of member `name`, for people to read."""
        return f"{self.path}.{name}" if self.path else name

    def forgive(self, name: str, what: str) -> None:
        """Note a deviation that was understood all the same."""
        self.notes.append(f"{self.where(name)}: {what}")

    def has(self, name: str) -> bool:
        """Whether the member is there, and not null."""
        return self._members.get(name) is not None

    def get(self, name: str) -> Any:
        """The member as it is; None when it is absent."""
        value = self._members.get(name)
        if value is None and name in self._members:
            self.forgive(name, "null, taken as absent")
        return value

    def any_case(self, name: str) -> str:
        """`name` as this object spells it: itself where it is there, else one that differs only in case."""
        if name not in self._members:
            for other in self._members:
                if other.lower() == name:
                    self.forgive(other, f"stands for {name}")
                    return other
        return name

    def text(self, name: str) -> str:
        """A string that has to be there."""
        value = self.get(name)
        if not isinstance(value, str):
            raise DecodeError(f"{self.where(name)}: not a string")
        return value

    def integer(self, name: str) -> int:
        """A number that has to be there; whole, or a string of decimal digits."""
        value = self.get(name)
        if isinstance(value, str) and 0 < len(value) <= 20 and value.isascii() and value.isdigit():
            self.forgive(name, "a string of digits for a number")
            return int(value)
        if isinstance(value, float) and value.is_integer():
            self.forgive(name, "a fraction for a whole number")
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise DecodeError(f"{self.where(name)}: not a whole number")
        return value

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """What `read` makes of an optional member; one that nobody can understand is left out, and noted."""
        if self.get(name) is None:
            return None
        try:
            return read(name)
        except (DecodeError, ValueError):
            self.forgive(name, "not understood, left out")
            return None

    def object(self, name: str) -> "Members":
        """An object that has to be there."""
        value = self.get(name)
        if not isinstance(value, dict):
            raise DecodeError(f"{self.where(name)}: not an object")
        return Members(value, self.where(name), self.notes)

    def objects(self, name: str) -> "Iterator[Members]":
        """The objects of an array; a single object counts as an array of one, an absent member as none."""
        value = self.get(name)
        if isinstance(value, dict):
            self.forgive(name, "one object for an array")
            value = [value]
        if value is not None and not isinstance(value, list):
            raise DecodeError(f"{self.where(name)}: not an array")
        for number, element in enumerate(value or ()):
            where = f"{self.where(name)}[{number}]"
            if not isinstance(element, dict):
                raise DecodeError(f"{where}: not an object")
            yield Members(element, where, self.notes)
