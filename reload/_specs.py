"""What a member of a structure looks like on the wire: the words of the presentation language (RFC 6940 section 6.3.1).

The functions stand as specifiers in a class (see `reload._presentation`), the capitals inside `vector` and `select`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

import attrs

KEY = "wire"
"""Where the metadata of an attrs field has its specification."""


# `code` is the letter for `struct`, where there is one: neighbours that have it are read by one call.
@attrs.frozen
class Number:
    """An unsigned integer, or an enum."""

    size: int

    @property
    def code(self) -> str:
        """By size."""
        return {1: "B", 2: "H", 4: "I", 8: "Q"}[self.size]


@attrs.frozen
class Boolean:
    """One octet, 0 or 1."""

    code: ClassVar[str] = "B"


@attrs.frozen
class Fixed:
    """So many octets."""

    size: int

    @property
    def code(self) -> str:
        """Octets as they are."""
        return f"{self.size}s"


@attrs.frozen
class NodeId:
    """As many octets as the overlay's Node-IDs have."""

    code: ClassVar[None] = None


@attrs.frozen
class Opaque:
    """Octets behind a length of `prefix` octets."""

    prefix: int
    code: ClassVar[None] = None


@attrs.frozen
class Nested:
    """Another structure, in place."""

    of: type[Any]
    code: ClassVar[None] = None


@attrs.frozen
class Custom:
    """Read and written by functions: `(data, at, end, n) -> (value, at)` and `(value, n) -> octets`."""

    decode: Callable[[bytes, int, int, int], tuple[Any, int]]
    encode: Callable[[Any, int], bytes]
    code: ClassVar[None] = None


@attrs.frozen
class Vector:
    """Items behind their length in octets, which is `least` at least; with `twice` that length stands there twice."""

    of: Spec
    prefix: int
    least: int = 0
    twice: bool = False
    code: ClassVar[None] = None


@attrs.frozen
class Select:
    """What the member `on` says, behind a length of `length` octets unless that is 0."""

    on: str
    cases: Mapping[int, Spec | None]
    length: int
    extensible: bool
    code: ClassVar[None] = None


Spec: TypeAlias = Number | Boolean | Fixed | NodeId | Opaque | Nested | Custom | Vector | Select
_Item: TypeAlias = "type[Any] | Spec"

U8, U16, U32, U64, NODE_ID = Number(1), Number(2), Number(4), Number(8), NodeId()
OPAQUE8, OPAQUE16, OPAQUE24, OPAQUE32 = (Opaque(size) for size in (1, 2, 3, 4))


def _declare(spec: Spec, default: Any) -> Any:
    return attrs.field(default=default, metadata={KEY: spec})


def u8(*, default: Any = attrs.NOTHING) -> Any:
    """uint8, or an enum of one octet."""
    return _declare(U8, default)


def u16(*, default: Any = attrs.NOTHING) -> Any:
    """uint16, or an enum of two octets."""
    return _declare(U16, default)


def u32(*, default: Any = attrs.NOTHING) -> Any:
    """uint32."""
    return _declare(U32, default)


def u64(*, default: Any = attrs.NOTHING) -> Any:
    """uint64."""
    return _declare(U64, default)


def boolean(*, default: Any = attrs.NOTHING) -> Any:
    """Boolean: one octet, 0 or 1, and nothing else (section 6.3.1.1)."""
    return _declare(Boolean(), default)


def fixed(size: int, *, default: Any = attrs.NOTHING) -> Any:
    """opaque x[size]: octets without a length in front."""
    return _declare(Fixed(size), default)


def node_id(*, default: Any = attrs.NOTHING) -> Any:
    """NodeId: as many octets as the overlay's Node-IDs have."""
    return _declare(NODE_ID, default)


def opaque(prefix: int, *, default: Any = attrs.NOTHING) -> Any:
    """opaque x<0..2^(8*prefix)-1>: octets behind a length of `prefix` octets."""
    return _declare(Opaque(prefix), default)


def nested(of: type[Any], *, default: Any = attrs.NOTHING) -> Any:
    """Another structure, in place."""
    return _declare(Nested(of), default)


def custom(of: Custom, *, default: Any = attrs.NOTHING) -> Any:
    """What has a form of its own, such as a Destination."""
    return _declare(of, default)


def vector(of: _Item, prefix: int, *, least: int = 0, twice: bool = False, default: Any = attrs.NOTHING) -> Any:
    """T x<least..2^(8*prefix)-1>: a tuple of structures, numbers, Node-IDs or opaques behind its length in octets.

    With `twice` a length of its own stands before the vector: both are on the wire, and must agree.
    """
    return _declare(Vector(_spec(of), prefix, least, twice), default)


def vector_of(of: _Item, prefix: int) -> Vector:
    """A vector as a case of `select`."""
    return Vector(_spec(of), prefix)


def select(
    on: str,
    cases: Mapping[int, _Item | None],
    *,
    length: int = 0,
    extensible: bool = False,
    default: Any = attrs.NOTHING,
) -> Any:
    """select (on): what the member `on` before it says; None for a case without octets, whose value is None.

    `length` is the size of a length field in front, 0 without one. With `extensible`, which needs that length, the
    octets of an unknown case are the value; otherwise it is an error (section 6.3.1.1). 0 is invalid in either.
    """
    assert length or not extensible
    known = {key: None if case is None else _spec(case) for key, case in cases.items()}
    return _declare(Select(on, known, length, extensible), default)


def _spec(of: _Item) -> Spec:
    return Nested(of) if isinstance(of, type) else of
