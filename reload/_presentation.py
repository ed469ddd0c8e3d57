"""TLS presentation language (RFC 6940 section 6.3.1): structures declared with attrs, compiled at import.

A structure is a class whose annotations carry field specifiers, in the order of the wire::

    @structure
    class SendUpdate:
        send_update: bool = boolean()
        ufrag: bytes = opaque(1)                  # opaque ufrag<0..2^8-1>: a length of one octet in front
        candidates: tuple[IceCandidate, ...] = vector(IceCandidate, 2)

`structure` turns the declaration into straight-line code: neighbouring numbers become one `struct` call, a check of
the room left stands before each read, and nothing is looked up while a message is read. A decoder never reads behind
`end`, and makes nothing for a length that is merely claimed.

Node-IDs have 16 to 20 octets, the same in a whole overlay (section 6.3.1.1): every function takes that length as `n`.
"""

from __future__ import annotations

from typing import Any, TypeVar, dataclass_transform

import attrs

from reload._decoding import compile_decode
from reload._encoding import compile_encode
from reload._specs import KEY, boolean, custom, fixed, nested, node_id, opaque, select, u8, u16, u32, u64, vector
from reload.errors import DecodeError

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(attrs.field,))
def value(cls: type[_T]) -> type[_T]:
    """A value class with slots. It is frozen for the type checker only: freezing makes construction threefold dear."""
    return attrs.define(cls, unsafe_hash=True)


@dataclass_transform(
    frozen_default=True,
    field_specifiers=(u8, u16, u32, u64, boolean, fixed, node_id, opaque, nested, custom, vector, select),
)
def structure(cls: type[_T]) -> type[_T]:
    """A value class (see `value`), and the compiled code that reads and writes it."""
    made = value(cls)
    members = [(field.name, field.metadata[KEY]) for field in attrs.fields(made)]  # type: ignore[arg-type]
    made._decode = staticmethod(compile_decode(made, members))  # type: ignore[attr-defined]
    made._encode = compile_encode(made, members)  # type: ignore[attr-defined]
    return made


def decode(cls: type[_T], data: bytes, *, node_id_length: int = 16) -> _T:
    """The structure that `data` is, all of it. Raises DecodeError."""
    value, at = cls._decode(data, 0, len(data), node_id_length)  # type: ignore[attr-defined]
    if at != len(data):
        raise DecodeError(f"{cls.__name__}: {len(data) - at} octets too many behind offset {at}")
    return value  # type: ignore[no-any-return]


def encode(value: Any, *, node_id_length: int = 16) -> bytes:
    """The octets of a structure. Raises EncodeError for a member that has none."""
    octets: bytes = value._encode(node_id_length)
    return octets
