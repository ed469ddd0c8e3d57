"""The small values that messages and tokens share, and how they are read and written (decade.cddl)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, IntEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, TypeAlias

import attrs

from decade._maps import UINT, Kind, array, choice, octets, text, uint
from decade.cbor import IPV4_PREFIX, IPV6_PREFIX, Tag
from decade.errors import DecodeError, ErrorCode
from decade.names import Name, read_binary

MAX_COLLECTION = 64
"""Octets of the name of a collection, and of the label of a signed name."""
MAX_URI = 2048
MAX_KID = 64
MAX_WEIGHT = 65535
MAX_PATH_LEVELS = 4
"""Levels of an application's path in the tree of an account."""


class Absent(Enum):
    """The type of ABSENT."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""The member is not in the message, where None says that it is there and null."""


class Priority(IntEnum):
    """The order of a transfer among those that share a node's bandwidth (RFC 7069 appendix A.3)."""

    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


@attrs.frozen
class Weight:
    """A share of the bandwidth in proportion to other weights: 1 to 65535."""

    value: int


@attrs.frozen
class BitRate:
    """A bandwidth in bits per second."""

    bps: int


Bandwidth: TypeAlias = Weight | BitRate
"""As RFC 7069 appendix A.3 has it: a weight or bit/s."""
IpPrefix: TypeAlias = IPv4Network | IPv6Network
"""Addresses that share their first bits (RFC 9164)."""


@attrs.frozen
class SignedName:
    """The name of an object by who has signed it: the ni name of a key, and a label of 1 to 64 octets."""

    publisher: Name
    label: bytes


ObjectName: TypeAlias = Name | SignedName
CoseKey: TypeAlias = Mapping[int | str, Any]
"""A COSE_Key (RFC 9052 section 7) as it stands: 1 is its type, and each type has its own members."""


def _read_hash_name(value: Any) -> Name:
    if type(value) is not bytes:
        raise DecodeError(f"{value!r:.60} is no name")
    # The reserved bits are cleared on receipt (RFC 6920 section 6); a name cut short binds no object.
    return _whole(read_binary(value))


def _whole(name: Name) -> Name:
    if not isinstance(name, Name):
        raise DecodeError(f"{name!r:.60} is no name")
    if not name.is_whole:
        raise DecodeError(f"{name.algorithm} is not the algorithm of an object's name", ErrorCode.DIGEST_UNSUPPORTED)
    return name


def _write_hash_name(name: Name) -> bytes:
    return _whole(name).binary


_LABEL = octets(1, MAX_COLLECTION)


def _read_object_name(value: Any) -> ObjectName:
    if type(value) is not tuple:
        return _read_hash_name(value)
    if len(value) != 2:
        raise DecodeError("a signed name has a publisher and a label")
    return SignedName(_read_hash_name(value[0]), _LABEL.read(value[1]))


def _write_object_name(name: ObjectName) -> Any:
    if isinstance(name, SignedName):
        return _write_hash_name(name.publisher), _LABEL.write(name.label)
    return _write_hash_name(name)


_WEIGHT = uint(1, MAX_WEIGHT)


def _read_bandwidth(value: Any) -> Bandwidth:
    match value:
        case (0, weight) if type(value[0]) is int:
            return Weight(_WEIGHT.read(weight))
        case (1, bps) if type(value[0]) is int:
            return BitRate(UINT.read(bps))
    raise DecodeError(f"{value!r:.60} is neither a weight nor a bit rate")


def _write_bandwidth(bandwidth: Bandwidth) -> Any:
    match bandwidth:
        case Weight(value):
            return 0, _WEIGHT.write(value)
        case BitRate(bps):
            return 1, UINT.write(bps)
    raise DecodeError(f"{bandwidth!r:.60} is neither a weight nor a bit rate")


_ADDRESS_SIZES = {IPV4_PREFIX: 4, IPV6_PREFIX: 16}


def _read_ip_prefix(value: Any) -> IpPrefix:
    """RFC 9164 section 4: what is behind the prefix is zero, and zeros at the end are left out."""
    size = _ADDRESS_SIZES.get(value.tag) if type(value) is Tag else None
    if size is None or type(value.value) is not tuple or len(value.value) != 2:
        raise DecodeError(f"{value!r:.60} is no prefix of addresses")
    network: Callable[[tuple[bytes, int]], IpPrefix] = IPv4Network if size == 4 else IPv6Network
    bits = uint(0, size * 8).read(value.value[0])
    address = octets(0, size).read(value.value[1])
    if address.endswith(b"\x00"):
        raise DecodeError("a prefix with zeros at its end")
    try:
        return network((address.ljust(size, b"\x00"), bits))
    except ValueError as exc:
        raise DecodeError(f"a prefix with bits behind its length of {bits}") from exc


def _write_ip_prefix(prefix: IpPrefix) -> Tag:
    if not isinstance(prefix, IPv4Network | IPv6Network):
        raise DecodeError(f"{prefix!r:.60} is no prefix of addresses")
    tag = IPV4_PREFIX if prefix.version == 4 else IPV6_PREFIX
    return Tag(tag, (prefix.prefixlen, prefix.network_address.packed.rstrip(b"\x00")))


def _check_cose_key(value: Any) -> CoseKey:
    if not isinstance(value, Mapping) or type(value.get(1)) is not int:
        raise DecodeError("no COSE_Key: a map with a type of key")
    return value


HASH_NAME = Kind(_read_hash_name, _write_hash_name)
OBJECT_NAME = Kind(_read_object_name, _write_object_name)
BANDWIDTH = Kind(_read_bandwidth, _write_bandwidth)
IP_PREFIX = Kind(_read_ip_prefix, _write_ip_prefix)
PRIORITY = choice(Priority)
COLLECTION = octets(1, MAX_COLLECTION)
COLLECTIONS = array(COLLECTION)
APP_PATH = array(text(1, 64), 0, MAX_PATH_LEVELS)
HTTP_URI = text(1, MAX_URI)
KID = octets(1, MAX_KID)
EPOCH = UINT
"""Seconds since 1970-01-01T00:00:00Z."""
COSE_KEY = Kind(_check_cose_key, _check_cose_key, is_hashable=False)
