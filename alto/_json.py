"""JSON as peers send it, read strictly: one meaning or an error (RFC 7285 section 8.2, RFC 8259)."""

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

Json: TypeAlias = Any
"""A JSON value: dict, list, str, int, float, bool or None."""

MAX_DEPTH = 64
"""Levels of nesting. ALTO needs some eight; a bomb of brackets must not reach code that recurses."""

# What may be beyond a double: an exponent of three digits, or so many digits that one of two is enough. A pattern that
# begins with one character is found many times faster than one that begins with a class of them, and a run of 200
# digits has 12 in every sixteenth place.
_EXPONENT = re.compile(rb"e(?<=[0-9]e)\+?[0-9]{3}")
_UPPER_EXPONENT = re.compile(rb"E(?<=[0-9]E)\+?[0-9]{3}")
_MANY_DIGITS = re.compile(rb"[0-9]{200}")
_SAMPLED_DIGITS = re.compile(rb"[0-9]{12}")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

_orjson_dumps: Callable[[Json], bytes] | None
try:
    from orjson import dumps as _orjson_dumps
except ModuleNotFoundError:  # the extra `alto-fast` is not installed
    _orjson_dumps = None


class JsonError(ValueError):
    """No JSON text, or one whose meaning is not certain; the text says what, and where it is known."""


def loads(body: bytes) -> Json:
    """The value of a JSON text in UTF-8.

    Raises JsonError for malformed text, duplicate names, NaN and infinities (also 1e999), nesting deeper than
    MAX_DEPTH, a byte order mark, and strings with lone surrogates.
    """
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 at octet {error.start}") from error
    except json.JSONDecodeError as error:
        raise JsonError(f"{error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise JsonError(f"nested more than {MAX_DEPTH} deep") from error
    except JsonError:
        raise
    except ValueError as error:  # an integer with more digits than Python reads
        raise JsonError("a number out of range") from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if (b"\\" in body and _SURROGATE.search(body)) or _may_overflow(body):
        try:
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
        except ValueError as error:
            raise JsonError("a number out of range, or half of a surrogate pair") from error
    return value


def dumps(value: Json) -> bytes:
    """The shortest JSON text of a value, in UTF-8. NaN and infinities, which JSON has not, are null or a ValueError."""
    if _orjson_dumps is not None:
        try:
            return _orjson_dumps(value)
        except TypeError:  # an integer beyond 64 bits
            pass
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def canonical(value: Json) -> bytes:
    """One text for one value, whatever the order of its members: what tags are made from."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False).encode("ascii")


def _may_overflow(body: bytes) -> bool:
    if _EXPONENT.search(body) or (b"E" in body and _UPPER_EXPONENT.search(body)):
        return True
    return _SAMPLED_DIGITS.search(body[::16]) is not None and _MANY_DIGITS.search(body) is not None


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise JsonError(f"the name {name!r:.80} twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is no JSON number")


def _check_depth(value: Json) -> None:
    level: list[Json] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise JsonError(f"nested more than {MAX_DEPTH} deep")
