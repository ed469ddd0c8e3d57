"""Errors on the wire: concise problem details with an entry of ours (RFC 9290)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from decade import cbor
from decade._maps import UINT, Kind, array, choice, text, uint
from decade.errors import DecodeError, Dimension, EncodeError, ErrorCode
from decade.values import HTTP_URI

PROBLEM_TYPE = "application/concise-problem-details+cbor"
PROBLEM_ENTRY = "tag:decade.invalid,2026:v1"
"""The key of our entry (RFC 9290 section 3.2)."""

_TITLE, _DETAIL = -1, -2
_TEXT = text()
_NUMBER = uint(1, 64)
_NAMED = frozenset(map(int, ErrorCode))


def _read_code(value: Any) -> int:
    number = _NUMBER.read(value)
    return ErrorCode(number) if number in _NAMED else number


ERROR_CODE: Kind[int] = Kind(_read_code, lambda value: _NUMBER.write(int(value)))
"""A code from 1 to 64; those without a name are kept as they are."""

_MEMBERS: Mapping[int, tuple[str, Kind[Any]]] = {
    0: ("code", ERROR_CODE),
    1: ("retry_after", UINT),
    2: ("dimension", choice(Dimension)),
    3: ("limit", UINT),
    4: ("used", UINT),
    5: ("alternates", array(HTTP_URI)),
}


@attrs.frozen(kw_only=True)
class Problem:
    """Why a request failed.

    `code` is for programs: an ErrorCode, or a number up to 64 that this version has no name for. `title` and `detail`
    are for people. `retry_after`: milliseconds. `limit`, `used`: of the dimension, in octets or pieces. `alternates`:
    servers that may do it instead.
    """

    code: int
    title: str | None = None
    detail: str | None = None
    retry_after: int | None = None
    dimension: Dimension | None = None
    limit: int | None = None
    used: int | None = None
    alternates: tuple[str, ...] | None = None


def read_problem(value: Any) -> Problem:
    """A map of CBOR as a problem; what is not known is ignored, as RFC 9290 section 3 has it. Raises DecodeError."""
    if not isinstance(value, Mapping):
        raise DecodeError("problem: no map")
    entry = value.get(PROBLEM_ENTRY)
    if not isinstance(entry, Mapping):
        raise DecodeError(f"problem: no {PROBLEM_ENTRY}")
    for key, item in value.items():
        if (type(key) is str or key >= 0) and not (isinstance(item, Mapping) and item):
            raise DecodeError("problem: an entry that is no map with a member")
    members: dict[str, Any] = {}
    for name, key in (("title", _TITLE), ("detail", _DETAIL)):
        if key in value:
            members[name] = _TEXT.read(value[key])
    for key, (name, kind) in _MEMBERS.items():
        if key in entry:
            members[name] = kind.read(entry[key])
    if "code" not in members:
        raise DecodeError("problem: no code")
    return Problem(**members)


def write_problem(problem: Problem) -> dict[int | str, Any]:
    """A problem as a map for CBOR. Raises DecodeError for a member that the CDDL does not allow."""
    entry = {
        key: kind.write(member)
        for key, (name, kind) in _MEMBERS.items()
        if (member := getattr(problem, name)) is not None
    }
    texts = ((_TITLE, problem.title), (_DETAIL, problem.detail))
    return {key: _TEXT.write(member) for key, member in texts if member is not None} | {PROBLEM_ENTRY: entry}


def decode_problem(octets: bytes) -> Problem | None:
    """The problem that a body spells, or None: a gateway may speak RFC 9290 without knowing us."""
    try:
        return read_problem(cbor.decode(octets))
    except DecodeError:
        return None


def encode_problem(problem: Problem) -> bytes:
    """The body of an error. Raises EncodeError."""
    try:
        return cbor.encode(write_problem(problem))
    except DecodeError as exc:
        raise EncodeError(f"problem: {exc}") from exc
