"""Addresses and prefixes as text and as numbers: one strict reading, one form to write (RFC 7285 section 10.4).

An address is its family, 4 or 6, and its value as an integer; a prefix is the value of its first address and a length.
What is read is exactly what RFC 3986 (IPv4), RFC 4291 (IPv6), RFC 4632 and RFC 5952 (prefixes) spell, whatever the
platform's own functions let through: no octal, no missing octets, no zone, no white space. What is written has the one
form of RFC 5952 section 4; section 10.4 lets either side choose its spelling, so compare values and not texts.
"""

import re
import struct
from collections.abc import Callable

BITS = {4: 32, 6: 128}
"""The length of an address of each family, in bits."""
FAMILIES = {"ipv4": 4, "ipv6": 6}
"""The registered address types that are IP addresses, and their families (section 10.4.2)."""
ADDRESS_TYPES = {4: "ipv4", 6: "ipv6"}
"""The address type of each family."""

_ADDRESS_TYPE = re.compile(r"[0-9A-Za-z]+")
# The octets of an IPv4 address by their one spelling, in their places.
_A, _B, _C, _D = ({str(octet): octet << shift for octet in range(256)} for shift in (24, 16, 8, 0))
_LENGTHS = {family: {str(length): length for length in range(bits + 1)} for family, bits in BITS.items()}
_IPV6 = re.compile(r"[0-9A-Fa-f:]{2,39}")
# The last two groups may be written as an IPv4 address (RFC 4291 section 2.2, form 3).
_MIXED = re.compile(r"([0-9A-Fa-f:]{1,30}:)([0-9.]{7,15})")
_GROUPS = struct.Struct("!8H")
_ZEROS = tuple(":" + "0:" * count for count in range(8, 1, -1))
_PADDED = "%4s" * 8
_MAPPED = 0xFFFF


class HostBitsError(ValueError):
    """A prefix with bits set behind its length; `value` and `length` are the prefix without them."""

    def __init__(self, text: str, family: int, value: int, length: int) -> None:
        super().__init__(f"{text} has host bits set; its prefix is {format_prefix(family, value, length)}")
        self.value = value
        self.length = length


def is_address_type(text: str) -> bool:
    """Whether `text` has the syntax of an AddressType: alphanumeric characters only (section 10.4.2)."""
    return _ADDRESS_TYPE.fullmatch(text) is not None


def parse_address(text: str) -> tuple[int, int]:
    """Family and value of an address without a type in front. Raises ValueError."""
    return (6, _parse_ipv6(text)) if ":" in text else (4, _parse_ipv4(text))


def parse_of_family(family: int) -> Callable[[str], int]:
    """What reads the value of an address of that family, and raises ValueError for any other text."""
    return _parse_ipv4 if family == 4 else _parse_ipv6


def parse_endpoint(text: str) -> tuple[int, int]:
    """Family and value of a typed endpoint address such as `ipv4:192.0.2.1` (section 10.4.1). Raises ValueError."""
    kind, colon, address = text.partition(":")
    if kind == "ipv4" and colon:
        return 4, _parse_ipv4(address)
    if kind == "ipv6" and colon:
        return 6, _parse_ipv6(address)
    raise ValueError(f"{text!r:.80} is no typed endpoint address: ipv4: or ipv6: and an address are due")


def parse_prefix(text: str, family: int) -> tuple[int, int]:
    """The value and length of a prefix. Raises ValueError; HostBitsError where only host bits are wrong."""
    address, _, digits = text.partition("/")
    length = _LENGTHS[family].get(digits)
    if length is None:
        raise ValueError(f"{text!r:.80} is no {ADDRESS_TYPES[family]} prefix: an address, / and a length are due")
    value = _parse_ipv4(address) if family == 4 else _parse_ipv6(address)
    shift = BITS[family] - length
    network = value >> shift << shift
    if network != value:
        raise HostBitsError(text, family, network, length)
    return value, length


def format_address(family: int, value: int) -> str:
    """The one text of an address: dotted decimal, or RFC 5952 section 4."""
    if family == 4:
        return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"
    text = ":{:x}:{:x}:{:x}:{:x}:{:x}:{:x}:{:x}:{:x}:".format(*_GROUPS.unpack(value.to_bytes(16, "big")))
    # The longest run of zero groups is left out, the first of several (RFC 5952 section 4.2).
    for run in _ZEROS:
        at = text.find(run)
        if at >= 0:
            return f"{text[1:at]}::{text[at + len(run) : -1]}"
    return text[1:-1]


def format_endpoint(family: int, value: int) -> str:
    """The typed endpoint address, such as `ipv6:2001:db8::1`."""
    return f"{ADDRESS_TYPES[family]}:{format_address(family, value)}"


def format_prefix(family: int, value: int, length: int) -> str:
    """The one text of a prefix."""
    return f"{format_address(family, value)}/{length}"


def canonical_endpoint(text: str) -> str:
    """The one text of a typed endpoint address, for comparisons. Raises ValueError."""
    family, value = parse_endpoint(text)
    return text if family == 4 or is_plainly_canonical(text) else format_endpoint(family, value)


def is_plainly_canonical(text: str) -> bool:
    """Whether a typed IPv6 address is seen at a glance to be the one text of its value; False says nothing."""
    # Where no group is zero or begins with one, a "::" that stands for two groups or more is the longest run.
    if "." in text or ":0" in text or text != text.lower():
        return False
    return "::" not in text or text.count(":", 5) <= 6


def client_endpoint(text: str) -> str | None:
    """The typed endpoint address of a connection's far end, whose address a socket names `text`; None for no address.

    A zone is removed. An IPv4 address mapped into IPv6, as a socket for both families has it, is an IPv4 address.
    """
    try:
        family, value = parse_address(text.partition("%")[0])
    except ValueError:
        return None
    if family == 6 and value >> 32 == _MAPPED:
        return format_endpoint(4, value & 0xFFFFFFFF)
    return format_endpoint(family, value)


def _parse_ipv4(text: str) -> int:
    try:
        a, b, c, d = text.split(".", 4)
        return _A[a] | _B[b] | _C[c] | _D[d]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{text!r:.80} is no IPv4 address") from error


def _parse_ipv6(text: str) -> int:
    plain = text
    if _IPV6.fullmatch(text) is None:
        mixed = _MIXED.fullmatch(text)
        if mixed is None:
            raise ValueError(f"{text!r:.80} is no IPv6 address")
        last = _parse_ipv4(mixed[2])
        plain = f"{mixed[1]}{last >> 16:x}:{last & 0xFFFF:x}"
    head, gap, tail = plain.partition("::")
    groups = head.split(":") if head else []
    if gap:
        rest = tail.split(":") if tail else []
        missing = 8 - len(groups) - len(rest)
        groups = [*groups, *("0" * missing), *rest] if missing > 0 else []
    # Groups of more than 4 digits make the whole longer than 32; an empty group is a colon too many.
    if len(groups) == 8 and "" not in groups:
        digits = (_PADDED % tuple(groups)).replace(" ", "0")
        if len(digits) == 32:
            return int(digits, 16)
    raise ValueError(f"{text!r:.80} is no IPv6 address")
