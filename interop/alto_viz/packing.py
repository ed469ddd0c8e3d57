"""Prefixes and costs as text that a page can hold by the million: columns of octets, compressed, in Base64.

Numbers are little-endian, and their octets of equal weight stand together: those hardly differ, so that zlib finds
them small. The page's `tables.js` reads what is written here.
"""

from __future__ import annotations

import base64
import contextlib
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
_SCALES = (1, 100, 10_000)
_SAMPLE = 1_000
_NONE = -(2**31)
"""Among scaled integers: no number."""


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


@frozen
class PackedNumbers:
    """Doubles: as they are, or where they are decimals as integers that are to be divided by `scale`."""

    scale: int
    """0 for doubles."""
    data: str


def pack_numbers(numbers: array[float]) -> PackedNumbers:
    """Pack doubles, of which NaN stands for none. They come back as the very same."""
    for scale in _SCALES:
        # Most sets of numbers show in the first few that a scale does not do.
        if _scaled(numbers[:_SAMPLE], scale) is not None:
            scaled = _scaled(numbers, scale)
            if scaled is not None:
                return PackedNumbers(scale, _packed([_planes(scaled)]))
    return PackedNumbers(0, _packed([_planes(numbers)]))


def _scaled(numbers: array[float], scale: int) -> array[int] | None:
    """The numbers times `scale` as 32-bit integers; None where any of them is not that integer divided by it.

    The quotient of two integers is the double nearest to it, and so is what a decimal was read as.
    """
    if scale == 1:
        # Most costs are integers of which none is missing: that is found out many times faster.
        with contextlib.suppress(ValueError, OverflowError):
            integers = array("i", map(int, numbers))
            if array("d", integers) == numbers and _NONE not in integers:
                return integers
    try:
        found = array("i", [round(number * scale) if number == number else _NONE for number in numbers])
    except OverflowError:
        return None
    same = all(
        number != number or (integer != _NONE and number == integer / scale)
        for number, integer in zip(numbers, found, strict=True)
    )
    return found if same else None


def _planes(numbers: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    octets, size = numbers.tobytes(), numbers.itemsize
    return b"".join(octets[place::size] for place in range(size))


def _packed(columns: Iterable[bytes]) -> str:
    return base64.b64encode(zlib.compress(b"".join(columns), _LEVEL)).decode("ascii")
