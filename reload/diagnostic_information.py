"""The values of diagnostic information, by Kind (RFC 7851 section 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from reload._presentation import decode, encode, structure
from reload._specs import u16, u32, u64
from reload.errors import DecodeError, EncodeError
from reload.extensions import DiagnosticKind

_SIZES: Mapping[int, int] = MappingProxyType(
    {
        DiagnosticKind.STATUS_INFO: 1,
        DiagnosticKind.ROUTING_TABLE_SIZE: 4,
        DiagnosticKind.PROCESS_POWER: 8,
        DiagnosticKind.UPSTREAM_BANDWIDTH: 8,
        DiagnosticKind.DOWNSTREAM_BANDWIDTH: 8,
        DiagnosticKind.MACHINE_UPTIME: 8,
        DiagnosticKind.APP_UPTIME: 8,
        DiagnosticKind.MEMORY_FOOTPRINT: 8,
        DiagnosticKind.DATASIZE_STORED: 8,
        DiagnosticKind.EWMA_BYTES_SENT: 4,
        DiagnosticKind.EWMA_BYTES_RCVD: 4,
        DiagnosticKind.UNDERLAY_HOP: 1,
        DiagnosticKind.BATTERY_STATUS: 1,
    }
)
"""Octets of the single numbers."""


@structure
class InstancesStored:
    """How many values of a Kind are stored."""

    kind: int = u32()
    instances: int = u64()


@structure
class MessagesSentRcvd:
    """How many messages with a code were sent and received. The width of the code is ours: the RFC is silent."""

    message_code: int = u16()
    sent: int = u64()
    received: int = u64()


_ENTRIES = {
    DiagnosticKind.INSTANCES_STORED: (InstancesStored, 12),
    DiagnosticKind.MESSAGES_SENT_RCVD: (MessagesSentRcvd, 18),
}
"""The entry of an array, and its octets: an array has no length but that of its octets."""

DiagnosticValue: TypeAlias = int | str | bytes | tuple[InstancesStored | MessagesSentRcvd, ...]
"""A number, the text of SOFTWARE_VERSION, the entries of an array; octets for a Kind without a form of its own."""


def decode_information(kind: int, contents: bytes) -> DiagnosticValue:
    """What the diagnostic_info_contents of a Kind say. Raises DecodeError."""
    size = _SIZES.get(kind)
    if size is not None:
        if len(contents) != size:
            raise DecodeError(f"DiagnosticInfo: kind {kind} has {size} octets, not {len(contents)}")
        return int.from_bytes(contents, "big")
    if kind == DiagnosticKind.SOFTWARE_VERSION:
        text, end, rest = contents.partition(b"\0")
        if not end or rest or not text.isascii():
            raise DecodeError("DiagnosticInfo: SOFTWARE_VERSION is no ASCII text with one NUL, at its end")
        return text.decode("ascii")
    if kind in _ENTRIES:
        of, size = _ENTRIES[DiagnosticKind(kind)]
        return tuple([decode(of, contents[at : at + size]) for at in range(0, len(contents), size)])
    return contents


def encode_information(kind: int, value: DiagnosticValue) -> bytes:
    """The diagnostic_info_contents of a Kind. Raises EncodeError for a value that it does not take."""
    match value:
        case int() if kind in _SIZES:
            try:
                return value.to_bytes(_SIZES[kind], "big")
            except OverflowError as error:
                raise EncodeError(f"DiagnosticInfo: kind {kind} has {_SIZES[kind]} octets: {error}") from error
        case str() if kind == DiagnosticKind.SOFTWARE_VERSION and value.isascii() and "\0" not in value:
            return value.encode("ascii") + b"\0"
        case tuple() if kind in _ENTRIES and all(type(each) is _ENTRIES[DiagnosticKind(kind)][0] for each in value):
            return b"".join([encode(each) for each in value])
        case bytes() if kind not in (*_SIZES, *_ENTRIES, DiagnosticKind.SOFTWARE_VERSION):
            return value
    raise EncodeError(f"DiagnosticInfo: {type(value).__name__} is no value of kind {kind}, or not one that it takes")
