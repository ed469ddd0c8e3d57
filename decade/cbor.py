"""CBOR as the profile has it: one spelling for each value, and nothing that a message does not need.

The core deterministic encoding (RFC 8949 section 4.2.1) without floats and undefined, with few tags, eight levels deep
and 64 KiB at most. What another encoder has spelled otherwise is refused, so that a signature, an idempotency key or a
cache never sees two octet strings for one value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import cbor2

from decade.errors import DecodeError, EncodeError

MAX_MESSAGE = 65536
"""Octets of a message: a list of objects with a thousand entries, or two hundred tokens."""
MAX_DEPTH = 8
"""Levels of arrays, maps and tags; the deepest message has six."""
IPV4_PREFIX, IPV6_PREFIX = 52, 54
"""Tags of addresses and prefixes (RFC 9164)."""
_TAGS = frozenset({IPV4_PREFIX, IPV6_PREFIX})
# Tags that the library would make something of: dates, big numbers, patterns, networks, shared values.
_KNOWN_TO_LIBRARY = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
# An integer of more than 64 bits comes with a tag, which is kept and has no place.
_PLAIN = frozenset({int, bytes, str, bool, type(None)})
_MAX_UINT = 0xFFFFFFFFFFFFFFFF


Tag = cbor2.CBORTag
"""A tagged value: `tag` and `value`."""
_MAP = type(cbor2.loads(b"\xa0", immutable=True))


def is_map(value: Any) -> bool:
    """Whether a value is a map. Those that `decode` makes are of one type, which is known sooner than a Mapping is."""
    return type(value) is _MAP or isinstance(value, Mapping)


def _keep(number: int) -> Callable[[Any, bool], Tag]:
    return lambda value, _: Tag(number, value)


_KEEP: Mapping[int, Callable[[Any, bool], Any]] = {number: _keep(number) for number in _KNOWN_TO_LIBRARY}


def decode(octets: bytes, *, max_size: int = MAX_MESSAGE, tags: frozenset[int] = _TAGS) -> Any:
    """The value that the octets spell. Arrays are tuples, maps are mappings that cannot be changed.

    Raises DecodeError for octets that are not the one spelling of a value that the profile has.
    """
    if len(octets) > max_size:
        raise DecodeError(f"CBOR: {len(octets)} octets, over {max_size}")
    try:
        value = cbor2.loads(
            octets,
            semantic_decoders=_KEEP,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            immutable=True,
        )
        _check(value, tags)
        # Maps keep their order, which was checked: what is left to differ are heads, and octets behind the end.
        spelled = cbor2.dumps(value)
    except (cbor2.CBORError, EncodeError, ValueError, OverflowError, TypeError, RecursionError) as exc:
        raise DecodeError(f"CBOR: {exc}"[:200]) from exc
    if spelled != octets:
        raise DecodeError("CBOR: not the deterministic encoding (RFC 8949 section 4.2.1)")
    return value


def _check(value: Any, tags: frozenset[int]) -> None:
    """Raises EncodeError for what the profile does not have. The decoder has bounded the depth."""
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind is tuple:
        for item in value:
            if type(item) not in _PLAIN:
                _check(item, tags)
    elif kind is _MAP:
        last: tuple[int, int, bytes] = (-1, 0, b"")
        for key, item in value.items():
            place = (0, key, b"") if type(key) is int and key >= 0 else _place(key)
            if place <= last:
                raise EncodeError("a map whose keys are not in order")
            last = place
            if type(item) not in _PLAIN:
                _check(item, tags)
    elif kind is Tag:
        if value.tag not in tags:
            raise EncodeError(f"tag {value.tag} has no place here")
        _check(value.value, tags)
    else:
        raise EncodeError(f"{kind.__name__} has no place in a message")


def _place(key: Any) -> tuple[int, int, bytes]:
    """Where a key stands by its octets: first the major type, then the number or the length, then the text."""
    # True == 1 in Python: the type of a key counts, exactly.
    if type(key) is int:
        return (0, key, b"") if key >= 0 else (1, -1 - key, b"")
    if type(key) is str:
        text = key.encode()
        return (2, len(text), text)
    raise EncodeError(f"{type(key).__name__} as the key of a map")


def encode(value: Any, *, tags: frozenset[int] = _TAGS) -> bytes:
    """The deterministic encoding. Raises EncodeError for what the profile has no octets for."""
    parts: list[bytes] = []
    _encode(value, parts, tags, MAX_DEPTH)
    return b"".join(parts)


def _encode(value: Any, parts: list[bytes], tags: frozenset[int], depth: int) -> None:
    kind = type(value)
    if kind is bytes:
        parts.append(head_of(value) + value)
    elif isinstance(value, int) and kind is not bool:
        parts.append(_head(0x00, value) if value >= 0 else _head(0x20, -1 - value))
    elif kind is str:
        text = value.encode()
        parts.append(_head(0x60, len(text)) + text)
    elif value is None:
        parts.append(b"\xf6")
    elif kind is bool:
        parts.append(b"\xf5" if value else b"\xf4")
    elif depth == 0:
        raise EncodeError(f"CBOR: over {MAX_DEPTH} levels")
    elif kind is tuple or kind is list:
        parts.append(_head(0x80, len(value)))
        for item in value:
            _encode(item, parts, tags, depth - 1)
    elif is_map(value):
        _encode_map(value, parts, tags, depth)
    elif isinstance(value, cbor2.CBORTag):
        if value.tag not in tags:
            raise EncodeError(f"CBOR: tag {value.tag} has no place here")
        parts.append(_head(0xC0, value.tag))
        _encode(value.value, parts, tags, depth - 1)
    else:
        raise EncodeError(f"CBOR: {kind.__name__} has no place in a message")


def head_of(octets: bytes) -> bytes:
    """What stands before these octets where they are a byte string."""
    return _head(0x40, len(octets))


def _encode_map(value: Mapping[Any, Any], parts: list[bytes], tags: frozenset[int], depth: int) -> None:
    # Bytewise, as RFC 8949 section 4.2.1 has it, and not the shorter ones first.
    entries = sorted([(_place(key), key, item) for key, item in value.items()], key=_first)
    parts.append(_head(0xA0, len(entries)))
    for _, key, item in entries:
        _encode(key, parts, tags, depth - 1)
        _encode(item, parts, tags, depth - 1)


def _first(entry: tuple[tuple[int, int, bytes], Any, Any]) -> tuple[int, int, bytes]:
    return entry[0]


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes((major | number,))
    if number < 0x100:
        return bytes((major | 24, number))
    if number < 0x10000:
        return struct.pack(">BH", major | 25, number)
    if number < 0x100000000:
        return struct.pack(">BI", major | 26, number)
    if number <= _MAX_UINT:
        return struct.pack(">BQ", major | 27, number)
    raise EncodeError("CBOR: an integer of more than 64 bits")
