"""What a person reads of RELOAD's numbers and octets: the RFC's names, addresses, times."""

import datetime
import ipaddress
from collections.abc import Callable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from reload import extensions, methods, security_block
from reload.addresses import IpAddressPort
from reload.contents import ErrorCode, ExtensionType, MessageCode
from reload.destinations import (
    Destination,
    NodeDestination,
    OpaqueDestination,
    ResourceDestination,
    UnknownDestination,
)
from reload.header import OptionFlag, OptionType
from reload.kinds import REGISTERED

_SHOWN_OCTETS = 32
"""Of longer octets a person reads no more than the start."""


def _lower(name: str) -> str:
    return name.lower()


def _hyphens(name: str) -> str:
    return name.replace("_", "-")


def _error(name: str) -> str:
    return "Error_" + name.title().replace("Ttl", "TTL").replace("_With_", "_with_")


_ENUMS: Mapping[tuple[str, str], tuple[type[IntEnum], Callable[[str], str]]] = MappingProxyType(
    {
        ("MessageContents", "message_code"): (MessageCode, _lower),
        ("MessagesSentRcvd", "message_code"): (MessageCode, _lower),
        ("MessageExtension", "type"): (ExtensionType, _lower),
        ("ErrorResponse", "error_code"): (ErrorCode, _error),
        ("ForwardingOption", "type"): (OptionType, _lower),
        ("IceCandidate", "overlay_link"): (methods.OverlayLinkType, _hyphens),
        ("IceCandidate", "type"): (methods.CandType, _lower),
        ("ProbeReq", "requested_info"): (methods.ProbeInformationType, _lower),
        ("ProbeInformation", "type"): (methods.ProbeInformationType, _lower),
        ("ConfigUpdateReq", "type"): (methods.ConfigUpdateType, _lower),
        ("ChordUpdate", "type"): (methods.ChordUpdateType, _lower),
        ("ChordLeaveData", "type"): (methods.ChordLeaveType, _lower),
        ("SignerIdentity", "identity_type"): (security_block.SignerIdentityType, _lower),
        ("SignatureAndHashAlgorithm", "hash"): (security_block.HashAlgorithm, _lower),
        ("SignatureAndHashAlgorithm", "signature"): (security_block.SignatureAlgorithm, _lower),
        ("CertificateHash", "hash_alg"): (security_block.HashAlgorithm, _lower),
        ("MetaData", "hash_algorithm"): (security_block.HashAlgorithm, _lower),
        ("ExtensiveRoutingModeOption", "routemode"): (extensions.RouteMode, str),
        ("ExtensiveRoutingModeOption", "transport"): (methods.OverlayLinkType, _hyphens),
        ("SipRegistration", "type"): (extensions.SipRegistrationType, lambda name: "sip_registration_" + name.lower()),
        ("DiagnosticExtension", "kind"): (extensions.DiagnosticKind, str),
        ("DiagnosticInfo", "kind"): (extensions.DiagnosticKind, str),
    }
)
"""By structure and member."""
_KIND_NAMES = {kind.id: name for name, kind in REGISTERED.items()}
_HEX = {"overlay": 8, "fragment": 8, "transaction_id": 16, "response_id": 16, "dmflags": 16}
"""Numbers that are read in hex, and their digits."""
_TIMES = frozenset({"storage_time", "time", "expiration", "timestamp_initiated", "timestamp_received"})
"""Milliseconds since 1970."""
_TEXTS = frozenset({"ufrag", "password", "role", "foundation", "name", "error_info", "data", "namespace", "uri"}) | {
    "contact_prefs"
}
"""Octets that are text, as a rule."""


def number(owner: str, member: str, value: int) -> str:
    """A number in a structure."""
    if (owner, member) in _ENUMS:
        enum, spelled = _ENUMS[owner, member]
        known = [spelled(each.name) for each in enum if each == value]
        return f"{known[0]} ({value})" if known else str(value)
    if (owner, member) == ("ForwardingOption", "flags"):
        names = [
            flag.name.replace("_", "-") if flag > 4 else flag.name for flag in OptionFlag if value & flag and flag.name
        ]
        return f"{value:#04x} {' '.join(names)}".rstrip()
    if member in ("kind", "kinds", "unknown_kinds"):
        return f"{value:#x} {_KIND_NAMES.get(value, '')}".rstrip()
    if member in _HEX:
        return f"{value:#0{_HEX[member] + 2}x}"
    if member in _TIMES:
        return f"{value}{_date(value)}"
    return str(value)


def _date(milliseconds: int) -> str:
    try:
        moment = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.strftime(" (%Y-%m-%d %H:%M:%S UTC)") if milliseconds else ""


def octets(member: str, value: bytes) -> str:
    """Octets in a structure: text where it is, hex otherwise, and no more of it than one can read."""
    if not value:
        return "(empty)"
    if member in _TEXTS and all(0x20 <= octet < 0x7F for octet in value[: 4 * _SHOWN_OCTETS]):
        shown = value[: 4 * _SHOWN_OCTETS].decode("ascii")
        return f'"{shown}"' + (f" ... ({len(value)} octets)" if len(value) > 4 * _SHOWN_OCTETS else "")
    more = f"... ({len(value)} octets)" if len(value) > _SHOWN_OCTETS else ""
    return value[:_SHOWN_OCTETS].hex() + more


def destination(value: Destination) -> str:
    """A Destination."""
    match value:
        case NodeDestination(node_id):
            return f"node {node_id.hex()}{' (wildcard)' if value.is_wildcard else ''}"
        case ResourceDestination(resource_id):
            return f"resource {resource_id.hex()}"
        case OpaqueDestination(opaque_id, is_compact):
            return f"opaque_id {opaque_id.hex()}{' (16 bits)' if is_compact else ''}"
        case UnknownDestination(kind, data):
            return f"type {kind} {data.hex()}"


def address(value: IpAddressPort) -> str:
    """An address and a port."""
    inner: Any = value.addr_port
    if isinstance(inner, bytes):
        return f"type {value.type} {inner.hex()}"
    host = ipaddress.ip_address(inner.addr)
    return f"[{host}]:{inner.port}" if host.version == 6 else f"{host}:{inner.port}"
