"""Prefixes and costs as text that a page can hold by the million: columns of octets, compressed, in Base64.

Numbers are little-endian, and their octets of equal weight stand together: those hardly differ, so that zlib finds
them small. The page's `tables.js` reads what is written here.
"""

from __future__ import annotations

import base64
import sys
import zlib
from array import array
from collections.abc import Iterable
from itertools import islice

from attrs import frozen

from alto.lpm import PrefixTable

_WORD = 0xFFFFFFFF
_SHIFTS = {4: (0,), 6: (96, 64, 32, 0)}
"""The 32-bit words of an address of each family, the first one first."""
_LEVEL = 6


@frozen
class PackedPrefixes:
    """The prefixes of one family, by address and then by length: words, lengths, and the places of their PIDs."""

    count: int
    left_out: int
    """The longest prefixes, beyond the limit: so what is left is right but for addresses in those."""
    data: str


def pack_prefixes(table: PrefixTable, family: int, limit: int) -> PackedPrefixes:
    """At most `limit` prefixes of a family, shorter ones first."""
    found = table.prefixes(family)
    rows = sorted((match.value, match.length, match.index) for match in islice(found, limit))
    left_out = sum(1 for _ in found)
    columns = [_planes(array("I", [row[0] >> shift & _WORD for row in rows])) for shift in _SHIFTS[family]]
    columns.append(bytes(row[1] for row in rows))
    columns.append(_planes(array("I", [row[2] for row in rows])))
    return PackedPrefixes(len(rows), left_out, _packed(columns))


def pack_numbers(numbers: array[float]) -> str:
    """Doubles, NaN for none."""
    return _packed([_planes(numbers)])


def _planes(numbers: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    octets, size = numbers.tobytes(), numbers.itemsize
    return b"".join(octets[place::size] for place in range(size))


def _packed(columns: Iterable[bytes]) -> str:
    return base64.b64encode(zlib.compress(b"".join(columns), _LEVEL)).decode("ascii")
