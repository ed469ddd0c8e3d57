"""Many addresses read at once with numpy: a list of texts becomes an array of values, or nothing if any is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

try:
    import numpy
except ModuleNotFoundError:  # the extra `alto-fast` is not installed
    HAS_NUMPY = False
else:
    HAS_NUMPY = True

if TYPE_CHECKING:
    from numpy import uint8, uint64
    from numpy.typing import NDArray

_COLON, _END, _OTHER = 16, 17, 18


def _hexadecimal() -> bytes:
    kinds = [_OTHER] * 256
    for digit, (lower, upper) in enumerate(zip(b"0123456789abcdef", b"0123456789ABCDEF", strict=True)):
        kinds[lower] = kinds[upper] = digit
    kinds[ord(":")], kinds[ord("\n")] = _COLON, _END
    return bytes(kinds)


_HEXADECIMAL = _hexadecimal()
"""What each octet is in the text of an IPv6 address: a digit by its value, or one of the above."""


def ipv4_values(texts: Sequence[str]) -> NDArray[uint64] | None:
    """The values of IPv4 addresses; None if any of them is none."""
    octets = _octets(texts)
    if octets is None:
        return None
    digits = octets - numpy.uint8(48)  # a dot and a line feed become more than 9
    ends = numpy.flatnonzero(digits > 9)
    if len(ends) != 4 * len(texts) or (octets[ends].reshape(-1, 4) != (46, 46, 46, 10)).any():
        return None
    sizes = numpy.diff(ends, prepend=-1) - 1
    if sizes.min() < 1 or sizes.max() > 3:
        return None
    # In front of a text's first octet lies the end of the one before, so that a digit that is not there is masked.
    units, tens, hundreds = (
        numpy.where(sizes >= place, digits[numpy.maximum(ends - place, 0)], 0).astype(numpy.uint16)
        for place in (1, 2, 3)
    )
    numbers = hundreds * 100 + tens * 10 + units
    # The least number that needs so many digits: less means leading zeros.
    if (numbers > 255).any() or (numbers < numpy.array([0, 0, 10, 100])[sizes]).any():
        return None
    a, b, c, d = numbers.reshape(-1, 4).T.astype(numpy.uint64)
    values: NDArray[uint64] = a << numpy.uint64(24) | b << numpy.uint64(16) | c << numpy.uint64(8) | d
    return values


def ipv6_halves(texts: Sequence[str]) -> NDArray[uint64] | None:
    """The upper 64 bits of IPv6 addresses; None if any of them is none, or ends as an IPv4 address does."""
    octets = _octets(texts)
    if octets is None:
        return None
    digits = numpy.frombuffer(_HEXADECIMAL, numpy.uint8)[octets]
    ends = numpy.flatnonzero(digits >= _COLON)
    is_last = digits[ends] == _END
    sizes = numpy.diff(ends, prepend=-1) - 1
    if (digits == _OTHER).any() or is_last.sum() != len(texts) or sizes.max() > 4:
        return None
    # A "::" at either end leaves two empty groups there, where one stands for it in the middle.
    is_empty = sizes == 0
    is_first = numpy.roll(is_last, 1)
    is_before, is_behind = is_first & is_empty, is_last & is_empty
    is_spare = is_before & numpy.roll(is_empty, -1) | is_behind & numpy.roll(is_empty, 1)
    if ((is_before | is_behind) & ~is_spare).any():
        return None
    kept = numpy.flatnonzero(~is_spare)
    owner = (numpy.cumsum(is_first) - 1)[kept]
    is_empty = is_empty[kept]
    counts = numpy.bincount(owner, minlength=len(texts))
    gaps = numpy.bincount(owner[is_empty], minlength=len(texts))
    if gaps.max() > 1 or counts.max() > 8 or (counts[gaps == 0] != 8).any():
        return None
    # Where each group belongs: behind the "::" they are counted from the end.
    places = numpy.arange(len(owner)) - (numpy.cumsum(counts) - counts)[owner]
    gap_at = numpy.full(len(texts), 8)
    gap_at[owner[is_empty]] = places[is_empty]
    places += numpy.where(places > gap_at[owner], (8 - counts)[owner], 0)
    wanted = numpy.flatnonzero(places < 4)
    ends, sizes = ends[kept[wanted]], sizes[kept[wanted]]
    groups = numpy.zeros(len(wanted), numpy.uint64)
    for place in range(1, 5):
        digit = numpy.where(sizes >= place, digits[numpy.maximum(ends - place, 0)], 0)
        groups |= digit.astype(numpy.uint64) << numpy.uint64(4 * (place - 1))
    table = numpy.zeros((len(texts), 4), numpy.uint64)
    table[owner[wanted], places[wanted]] = groups
    a, b, c, d = table.T
    halves: NDArray[uint64] = a << numpy.uint64(48) | b << numpy.uint64(32) | c << numpy.uint64(16) | d
    return halves


def _octets(texts: Sequence[str]) -> NDArray[uint8] | None:
    """All texts, each with a line feed behind it; None where there is anything but ASCII."""
    try:
        return numpy.frombuffer("\n".join([*texts, ""]).encode("ascii"), numpy.uint8)
    except UnicodeEncodeError:
        return None
